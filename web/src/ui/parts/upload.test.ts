import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { OutOfReach } from "../api/errors";
import { bring } from "./upload";

const MB = 1024 * 1024;
const ADDRESS = "/transfers/0123456789abcdef0123456789abcdef";
const FILE = new Blob([new Uint8Array(20 * MB)]);

beforeEach(() => {
  vi.useFakeTimers({ shouldAdvanceTime: true, advanceTimeDelta: 1000 });
});
afterEach(() => {
  vi.useRealTimers();
});

/** OMS and a host that has so many bytes; some pieces are broken off, by their number, after some bytes. */
function host({ has = 0, breaks = {} }: { has?: number; breaks?: Record<number, number> } = {}): string[] {
  const ranges: string[] = [];
  let number = 0;
  vi.stubGlobal("fetch", async (_: string, init: RequestInit) => {
    number += 1;
    const range = String(new Headers(init.headers).get("Content-Range"));
    ranges.push(range);
    const first = Number(/^bytes (\d+)-/.exec(range)?.[1]);
    const stand = (status: number): Response =>
      Response.json(
        { job: "", state: "running", offset: has },
        { status, headers: { "Upload-Offset": String(has) } },
      );
    if (first !== has) return stand(409);
    const left = breaks[number];
    has += left ?? (init.body as Blob).size;
    if (left === undefined) return stand(200);
    if (number % 2) throw new TypeError("the connection broke");
    return stand(503);
  });
  return ranges;
}

it("goes on from where the host has come after each break, and after a lost answer", async () => {
  const ranges = host({ breaks: { 1: 3 * MB, 4: MB, 5: 8 * MB } });
  const told: number[] = [];
  await bring(FILE, ADDRESS, (percent) => told.push(percent), new AbortController().signal);
  const starts = ranges.map((range) => Number(/^bytes (\d+)-/.exec(range)?.[1]) / MB);
  expect(starts).toEqual([0, 0, 3, 11, 12, 12]);
  expect(told.at(-1)).toBe(100);
});

it("goes on with nothing that was brought from elsewhere: it may be another file", async () => {
  const ranges = host({ has: 3 * MB });
  await expect(bring(FILE, ADDRESS, () => undefined, new AbortController().signal)).rejects.toThrow(OutOfReach);
  expect(ranges).toHaveLength(1);
});

it("says why in words where OMS gives none", async () => {
  host({ has: 3 * MB });
  await expect(bring(FILE, ADDRESS, () => undefined, new AbortController().signal)).rejects.toThrow(
    /did not take/,
  );
});
