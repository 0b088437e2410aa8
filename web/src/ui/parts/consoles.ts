// Consoles in a tab of their own. Who asks is left where that tab looks for it, and is in no address.
import { call, type Params } from "../api/client";
import { session } from "../api/session";
import type { Guest } from "./guest/actions";
import { sayWrong } from "./toasts";

/** Open a guest's console; where OMS refuses it, say why at the corner. */
export function openConsole(guest: Guest, kind: "vnc" | "text"): Promise<void> {
  return open({ server_hostname: guest.host, kind, guest: guest.id, guest_kind: guest.kind });
}

/** Open a terminal on a host. */
export function openTerminal(host: string): Promise<void> {
  return open({ server_hostname: host, kind: "ssh" });
}

async function open(wanted: Params<"consoleservices.open_console">): Promise<void> {
  // At once, since browsers let no page open a tab later than the click; it is led to the console then.
  const tab = window.open("about:blank");
  try {
    const opened = await call("consoleservices.open_console", wanted);
    if (tab === null) return;
    tab.sessionStorage.setItem(`console ${opened.id}`, session.get().sessid);
    tab.sessionStorage.setItem(`console ${opened.id} by`, "session");
    tab.opener = null;
    tab.location.replace(opened.page);
  } catch (failure) {
    tab?.close();
    sayWrong(failure);
  }
}
