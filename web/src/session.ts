// Keeps a console connected: opens it, says how it stands, and opens it again when the connection broke.

import { asked, type Asked, GONE, NOT_REACHED, opened, Refused, TAKEN_OVER, ticket, type Ticket } from "./door";
import { hush, say } from "./notice";

const WAITS_MS = [500, 1000, 2000, 4000, 8000];

/** Show what a WebSocket brings. */
export type Show = (socket: WebSocket, given: Ticket) => void;

/** Open the console of this page's address, and keep it open. */
export function keepOpen(show: Show): void {
  try {
    const to = asked();
    void open(to, show, 0);
  } catch (why) {
    say(words(why));
  }
}

async function open(to: Asked, show: Show, tried: number): Promise<void> {
  say("Connecting …");
  let given: Ticket;
  try {
    given = await ticket(to);
  } catch (why) {
    if (why instanceof Refused) {
      say(why.message);
    } else {
      again(to, show, tried);
    }
    return;
  }
  document.title = given.title;
  const socket = opened(to, given);
  let here = false;
  socket.addEventListener("open", () => {
    here = true;
    hush();
  });
  socket.addEventListener("close", (end) => {
    closed(end, to, show, here ? 0 : tried + 1);
  });
  show(socket, given);
}

function closed(end: CloseEvent, to: Asked, show: Show, tried: number): void {
  const reopen = { label: "Open it again", run: () => void open(to, show, 0) };
  switch (end.code) {
    case GONE:
      say(end.reason);
      break;
    case 1000:
    case TAKEN_OVER:
    case NOT_REACHED:
      say(end.reason || "The console was closed.", reopen);
      break;
    default:
      again(to, show, tried);
  }
}

function again(to: Asked, show: Show, tried: number): void {
  const wait = WAITS_MS[tried];
  if (wait === undefined) {
    say("OMS cannot be reached.", { label: "Try again", run: () => void open(to, show, 0) });
    return;
  }
  say("The connection was lost. Connecting again …");
  setTimeout(() => void open(to, show, tried + 1), wait);
}

function words(why: unknown): string {
  return why instanceof Error ? why.message : String(why);
}
