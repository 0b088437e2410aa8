// The way in: who asks stands in the address that the page was opened with, and is out of it before anything else is
// done. For a WebSocket he gets a ticket, which is good once.

export interface Ticket {
  ticket: string;
  kind: "vnc" | "text" | "ssh";
  title: string;
  view_only: boolean;
  host: string;
  guest: string;
  guest_kind: "kvm" | "openvz";
}

/** Who asks, and for which console: the one at a port, or of an id, or that a link leads to. */
export interface Asked {
  sessid: string;
  wanted: { port: number } | { console: string } | { share: string };
}

/** Why there is no console, in words for a person. */
export class Refused extends Error {}

/** Nobody is logged in any more. */
export class LoggedOut extends Refused {}

/** No server has that console (any more). */
export class NotThere extends Refused {}

/** What closes a WebSocket until somebody asks for it: removed, taken over, not reached. The server's own numbers. */
export const GONE = 4001;
export const TAKEN_OVER = 4002;
export const NOT_REACHED = 4003;

/** Whether the page came from the main address, where everything is below /console. */
export const BELOW = location.pathname.startsWith("/console/") ? "/console" : "";

/** What the page was opened for. The address keeps nothing secret; this tab does, for when it is loaded anew. */
export function asked(): Asked {
  const words = new URLSearchParams(location.search);
  const share = new URLSearchParams(location.hash.slice(1)).get("share");
  const id = words.get("console");
  const port = Number(words.get("port") ?? location.port);
  const kept = `console ${id ?? port}`;
  const given = words.get("SESSID") ?? share;
  if (given !== null) {
    sessionStorage.setItem(kept, given);
    words.delete("SESSID");
    const rest = words.toString();
    history.replaceState(null, "", location.pathname + (rest ? `?${rest}` : ""));
    sessionStorage.setItem(`${kept} by`, share === null ? "session" : "link");
  }
  const host = words.get("host");
  if (host !== null && host !== location.hostname && `[${host}]` !== location.hostname) {
    throw new Refused(`This page shows consoles of ${location.hostname} alone, and was asked for one of “${host}”.`);
  }
  const secret = sessionStorage.getItem(kept) ?? "";
  if (sessionStorage.getItem(`${kept} by`) === "link") {
    return { sessid: "", wanted: { share: secret } };
  }
  return { sessid: secret, wanted: id === null ? { port } : { console: id } };
}

/** A ticket for the console. */
export async function ticket(to: Asked): Promise<Ticket> {
  const answer = await fetch(`${BELOW}/ticket`, {
    method: "POST",
    headers: { Authorization: `Bearer ${to.sessid}` },
    body: JSON.stringify(to.wanted),
  });
  if (answer.status === 401) {
    throw new LoggedOut("Your session has ended. Log in, and open the console anew.");
  }
  if (answer.status === 404) {
    throw new NotThere(await answer.text());
  }
  if (answer.status >= 500) {
    throw new Error(await answer.text()); // perhaps not so in a moment
  }
  if (!answer.ok) {
    throw new Refused(await answer.text());
  }
  return (await answer.json()) as Ticket;
}

/** Whether a console that was here can be opened anew from this page: not one that somebody else let us look at, nor
 * one with a port of its own, which is gone with it. */
export function canBeAnew(to: Asked): boolean {
  return BELOW !== "" && "console" in to.wanted;
}

/** The console of the same thing, opened anew. The address and this tab know that one from now on. */
export async function anew(to: Asked, was: Ticket): Promise<Asked> {
  const params = [to.sessid, 0, was.host, was.kind, was.guest, was.guest_kind];
  const answer = await fetch("/", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ service: "consoleservices", method: "open_console", id: 1, params }),
  });
  if (answer.status >= 500) {
    throw new Error(await answer.text());
  }
  const { error, result } = (await answer.json()) as {
    error: { message: string } | null;
    result: { result: { id: string } };
  };
  if (error) {
    throw new Refused(error.message);
  }
  const id = result.result.id;
  sessionStorage.setItem(`console ${id}`, to.sessid);
  sessionStorage.setItem(`console ${id} by`, "session");
  const words = new URLSearchParams(location.search);
  words.set("console", id);
  history.replaceState(null, "", `${location.pathname}?${words}`);
  return { sessid: to.sessid, wanted: { console: id } };
}

/** The WebSocket that a ticket lets in: at the port of the console, or through the main address. */
export function opened(to: Asked, given: Ticket): WebSocket {
  const port = "port" in to.wanted ? to.wanted.port : location.port;
  const at = BELOW ? `${location.host}${BELOW}/ws` : `${location.hostname}:${port}/`;
  const socket = new WebSocket(`wss://${at}?ticket=${given.ticket}`);
  socket.binaryType = "arraybuffer";
  return socket;
}
