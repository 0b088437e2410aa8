import { METHODS, type Permission } from "../../api/contract";
import { suffices, useSession } from "../../api/session";
import { words } from "../../messages";
import { openConsole } from "../consoles";
import { HeadMenu, type Offered } from "../RowMenu";
import { type ActionName, type Guest, possible } from "./actions";

const said = words.guests.actions;
export type Asking = "migrate" | "delete" | ActionName;

interface Props {
  guest: Guest;
  /** Something that is asked for first, or done at once: whoever shows the menu sees to it. */
  onAsk: (what: Asking) => void;
  /** Words for the button. */
  label: string;
}

export function GuestMenu({ guest, onAsk, label }: Props): React.ReactNode {
  const { role } = useSession();
  return <HeadMenu of={guest.name} label={label} items={guestActions(guest, role, onAsk)} />;
}

/** All that somebody of that role can do with a guest as it is. */
export function guestActions(guest: Guest, role: Permission, onAsk: (what: Asking) => void): Offered {
  const service = guest.kind === "kvm" ? "kvmservices" : "ovzservices";
  const mayChange = suffices(role, METHODS[`${service}.delete_vm`].may) && guest.state !== "unknown";
  const mayLook = suffices(role, METHODS["consoleservices.open_console"].may) && guest.state === "running";
  return [
    ...possible(guest, role).map((what) => ({ title: said[what], onClick: () => onAsk(what) })),
    mayLook && guest.kind === "kvm" && { title: said.screen, onClick: () => void openConsole(guest, "vnc") },
    mayLook && { title: said.text, onClick: () => void openConsole(guest, "text") },
    mayChange && { title: said.migrate, onClick: () => onAsk("migrate"), isParted: true },
    mayChange && { title: said.delete, onClick: () => onAsk("delete"), isDanger: true },
  ];
}
