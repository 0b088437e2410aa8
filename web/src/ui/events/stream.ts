// The stream of events: `GET /events` with the session behind `Authorization`, which a browser's own EventSource
// cannot send. It is opened anew whenever it ends, each time after the last event that was heard.
import { createParser } from "eventsource-parser";
import type { Event } from "./event";

/** `open`: events come as they happen; `lost`: they do not, and it is tried again; `off`: nobody listens. */
export type StreamState = "off" | "connecting" | "open" | "lost";

export interface StreamHandlers {
  state(now: StreamState): void;
  event(heard: Event): void;
  /** Events were missed: everything is to be looked at anew. */
  gap(): void;
  /** OMS does not know the session any more. */
  refused(): void;
}

const WAITS_MS = [500, 1000, 2000, 4000, 8000, 15_000];
/** OMS says something at least every 15 seconds; a stream that is silent for longer is broken. */
const SILENT_MS = 45_000;

/** Listen until the function is called that is answered. */
export function listen(sessid: string, on: StreamHandlers): () => void {
  const over = new AbortController();
  void stayOpen(sessid, on, over.signal);
  return () => over.abort();
}

async function stayOpen(sessid: string, on: StreamHandlers, over: AbortSignal): Promise<void> {
  const at: Place = { after: undefined };
  let tried = 0;
  on.state("connecting");
  while (!over.aborted) {
    const heard = await once(sessid, at, on, over);
    if (over.aborted) break;
    if (heard === "refused") {
      on.refused();
      break;
    }
    on.state("lost");
    tried = heard === "opened" ? 0 : tried + 1;
    await slept(WAITS_MS[Math.min(tried, WAITS_MS.length - 1)] ?? 0, over);
  }
  on.state("off");
}

interface Place {
  /** The last event that was heard; undefined until OMS has told of one. */
  after: number | undefined;
}

/** One connection, until it ends. */
async function once(
  sessid: string,
  at: Place,
  on: StreamHandlers,
  over: AbortSignal,
): Promise<"opened" | "failed" | "refused"> {
  const silence = new Silence();
  let how: "opened" | "failed" = "failed";
  try {
    const answer = await fetch(at.after === undefined ? "/events" : `/events?after=${at.after}`, {
      headers: { Authorization: `Bearer ${sessid}`, Accept: "text/event-stream" },
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.any([over, silence.signal]),
    });
    if (answer.status === 401 || answer.status === 403) return "refused";
    if (!answer.ok || answer.body === null) return "failed";
    how = "opened";
    on.state("open");
    // Without a number to go on from, what happened since the pages were filled is not known.
    if (at.after === undefined) on.gap();
    await heard(answer.body, silence, at, on);
  } catch {
    // It broke: that is what another connection is for.
  } finally {
    silence.end();
  }
  return how;
}

/** Tell of each event that a connection brings, until it ends. */
async function heard(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  silence: Silence,
  at: Place,
  on: StreamHandlers,
): Promise<void> {
  const parser = createParser({ onEvent: (frame) => told(frame, at, on) });
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    silence.broken();
    parser.feed(value);
  }
}

/** Ends a connection on which nothing is said for too long. */
class Silence {
  private readonly controller = new AbortController();
  private timer = this.begun();
  readonly signal = this.controller.signal;

  broken(): void {
    clearTimeout(this.timer);
    this.timer = this.begun();
  }

  end(): void {
    clearTimeout(this.timer);
    this.controller.abort();
  }

  private begun(): ReturnType<typeof setTimeout> {
    return setTimeout(() => this.controller.abort(), SILENT_MS);
  }
}

function told(
  frame: { event?: string | undefined; id?: string | undefined; data: string },
  at: Place,
  on: StreamHandlers,
): void {
  const number = Number(frame.id);
  if (frame.id !== undefined && frame.id !== "" && Number.isSafeInteger(number)) at.after = number;
  if (frame.event === "gap") {
    on.gap();
    return;
  }
  try {
    const heard = JSON.parse(frame.data) as Event;
    if (typeof heard.kind === "string") on.event(heard);
  } catch {
    on.gap();
  }
}

function slept(wait: number, over: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(done, wait * (0.75 + Math.random() / 2));
    over.addEventListener("abort", () => {
      clearTimeout(timer);
      done();
    });
  });
}
