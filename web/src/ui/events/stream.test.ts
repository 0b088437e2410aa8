import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { listen, type StreamState } from "./stream";

interface Connection {
  path: string;
  authorization: string;
  send: (text: string) => void;
  close: () => void;
}

let connections: Connection[];
let told: string[];
let states: StreamState[];
let status: number;
let stop: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  [connections, told, states, status] = [[], [], [], 200];
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    if (status !== 200) return new Response("", { status });
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    init.signal?.addEventListener("abort", () => void writer.abort().catch(() => undefined));
    connections.push({
      path,
      authorization: new Headers(init.headers).get("authorization") ?? "",
      send: (text) => void writer.write(new TextEncoder().encode(text)),
      close: () => void writer.close(),
    });
    return new Response(readable);
  });
  stop = listen("S", {
    state: (now) => states.push(now),
    event: ({ kind }) => told.push(kind),
    gap: () => told.push("gap"),
    refused: () => told.push("refused"),
  });
});

afterEach(() => {
  stop();
  vi.useRealTimers();
});

async function settled(ms = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

it("says who listens, tells of events, and goes on after the last one when it broke", async () => {
  await settled();
  expect(connections[0]).toMatchObject({ path: "/events", authorization: "Bearer S" });
  connections[0]?.send('id: 41\ndata: {"kind": "job.begun"}\n\nid: 42\ndata: {"kind": "job.');
  connections[0]?.send('ended"}\n\n');
  await settled(10);
  expect(told).toEqual(["gap", "job.begun", "job.ended"]);
  connections[0]?.close();
  await settled(10);
  expect(states).toEqual(["connecting", "open", "lost"]);
  await settled(1000);
  expect(connections[1]?.path).toBe("/events?after=42");
  expect(states.at(-1)).toBe("open");
  expect(told).toHaveLength(3);
});

it("tells of a gap, and of what it cannot read as one", async () => {
  await settled();
  connections[0]?.send('event: gap\nid: 90\ndata: {}\n\ndata: {"kin\n\n: still here\n\n');
  await settled(10);
  expect(told).toEqual(["gap", "gap", "gap"]);
});

it("takes a long silence for a break", async () => {
  await settled();
  connections[0]?.send(": still here\n\n");
  await settled(44_000);
  expect(connections).toHaveLength(1);
  await settled(3000);
  expect(connections).toHaveLength(2);
});

it("waits longer each time that OMS is away, and stops where the session is over", async () => {
  await settled();
  status = 503;
  connections[0]?.close();
  await settled(30_000);
  expect(states.at(-1)).toBe("lost");
  status = 401;
  await settled(30_000);
  expect(told.at(-1)).toBe("refused");
  expect(states.at(-1)).toBe("off");
});
