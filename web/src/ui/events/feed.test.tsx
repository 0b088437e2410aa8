import { screen } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { loggedIn, oms } from "../testing/oms";
import { at } from "../testing/page";

it("has a page ask once, and again when an event is about it", async () => {
  const { readable, writable } = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>();
  const writer = writable.getWriter();
  const say = (kind: string): void => {
    const event = { kind, sequence: 1, host: "node1", guest: null, job: "", user: "", data: {} };
    void writer.write(new TextEncoder().encode(`data: ${JSON.stringify(event)}\n\n`));
  };
  const asked = oms(
    {
      "taskservices.list_tasks": [],
      "tagservices.list_tags": [],
      "fleetservices.list_guests": { guests: [], total: 0 },
    },
    readable,
  );
  const lists = (): number => asked.filter(({ method }) => method === "fleetservices.list_guests").length;
  loggedIn();
  at("/guests");
  await screen.findByRole("heading", { name: "Guests" });
  await vi.waitUntil(() => lists() > 0, { timeout: 30_000 });
  say("host.measured");
  say("session.begun");
  await new Promise((done) => setTimeout(done, 600)); // longer than events wait for each other
  expect(lists()).toBe(1);
  say("guest.changed");
  await vi.waitUntil(() => lists() === 2, { timeout: 30_000 });
});
