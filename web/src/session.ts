// Keeps a console connected: opens it, says how it stands, and opens it again when the connection broke: less and
// less often, and after some minutes only when somebody asks for it.

import {
  anew,
  asked,
  type Asked,
  BELOW,
  canBeAnew,
  GONE,
  LoggedOut,
  NOT_REACHED,
  NotThere,
  opened,
  Refused,
  TAKEN_OVER,
  ticket,
  type Ticket,
} from "./door";
import { hush, say } from "./notice";

/** Between one try and the next; two minutes and a half in all. */
const WAITS_MS = [500, 1000, 2000, 4000, 8000, 15_000, 30_000, 45_000, 45_000];
/** A connection that held so long was a good one: what breaks then breaks for the first time. */
const STEADY_MS = 20_000;
/** Below this a wait is not worth a word on how long it is. */
const WORTH_TELLING_MS = 1500;

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

/** `was`: what was shown here before the connection broke. */
async function open(to: Asked, show: Show, tried: number, was?: Ticket): Promise<void> {
  stands("connecting");
  say("Connecting …");
  let given: Ticket;
  try {
    given = await ticket(to);
  } catch (why) {
    stands("closed");
    if (why instanceof NotThere && was && canBeAnew(to)) {
      lost(to, show, tried, was);
    } else if (why instanceof Refused) {
      const logIn = { label: "Log in", run: () => location.assign("/ui/") };
      say(why.message, why instanceof LoggedOut && BELOW ? logIn : undefined); // at other ports there is no GUI
    } else {
      again(to, show, tried, was);
    }
    return;
  }
  document.title = given.title;
  const socket = opened(to, given);
  let since = Number.POSITIVE_INFINITY;
  socket.addEventListener("open", () => {
    since = performance.now();
    stands("open");
    hush();
  });
  socket.addEventListener("close", (end) => {
    stands("closed");
    closed(end, to, show, performance.now() - since > STEADY_MS ? 0 : tried, given);
  });
  show(socket, given);
}

/** The server that had it has ended, or nobody looked at it for too long. */
function lost(to: Asked, show: Show, tried: number, was: Ticket): void {
  if (was.kind === "vnc") {
    void openAnew(to, show, tried, was);
    return;
  }
  say("This terminal is over: the way to it was lost.", {
    label: "Open it again",
    run: () => void openAnew(to, show, 0, was),
  });
}

async function openAnew(to: Asked, show: Show, tried: number, was: Ticket): Promise<void> {
  say("Opening it again …");
  try {
    void open(await anew(to, was), show, tried, was);
  } catch (why) {
    if (why instanceof Refused) {
      say(why.message, { label: "Try again", run: () => void openAnew(to, show, 0, was) });
    } else {
      again(to, show, tried, was);
    }
  }
}

function closed(end: CloseEvent, to: Asked, show: Show, tried: number, was: Ticket): void {
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
      again(to, show, tried, was);
  }
}

function again(to: Asked, show: Show, tried: number, was?: Ticket): void {
  const wait = WAITS_MS[tried];
  if (wait === undefined) {
    say("The connection was lost, and OMS cannot be reached.", {
      label: "Try again",
      run: () => void open(to, show, 0, was),
    });
    return;
  }
  // Many pages lose one server at the same moment, and are not to come back at the same moment.
  const later = wait * (0.75 + Math.random() / 2);
  const due = performance.now() + later;
  const now = (): void => {
    clearTimeout(waiting);
    clearInterval(telling);
    removeEventListener("online", now);
    void open(to, show, tried + 1, was);
  };
  const tell = (): void => {
    const seconds = Math.max(1, Math.ceil((due - performance.now()) / 1000));
    say(`The connection was lost. Connecting again in ${seconds}\u00a0s\u00a0…`, { label: "Connect now", run: now });
  };
  const waiting = setTimeout(now, later);
  const telling = later > WORTH_TELLING_MS ? setInterval(tell, 1000) : undefined;
  addEventListener("online", now);
  if (telling === undefined) {
    say("The connection was lost. Connecting again …");
  } else {
    tell();
  }
}

/** For the style sheet, and for whoever has to know whether the console is there. */
function stands(state: "connecting" | "open" | "closed"): void {
  document.body.dataset.state = state;
}

function words(why: unknown): string {
  return why instanceof Error ? why.message : String(why);
}
