import { QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it, vi } from "vitest";
import { toasts } from "../parts/toasts";
import { loggedIn, oms } from "../testing/oms";
import { BY_ITSELF, queryClient, useAnswer, useChange } from "./queries";

const EVERY_MS = 20;

function Jobs({ every }: { every?: number }): React.ReactNode {
  useAnswer("taskservices.list_tasks", {}, { every });
  const change = useChange("userservices.revoke_token");
  return (
    <button type="button" onClick={() => change.mutate({ token_id: "t" })}>
      Take it back
    </button>
  );
}

function shown(jobs: React.ReactNode): ReturnType<typeof queryClient> {
  loggedIn();
  const client = queryClient();
  render(<QueryClientProvider client={client}>{jobs}</QueryClientProvider>);
  return client;
}

it("tells OMS which questions no person asks: those of a clock", async () => {
  const asked = oms({ "taskservices.list_tasks": [] });
  shown(<Jobs every={EVERY_MS} />);
  await waitFor(() => expect(asked.length).toBeGreaterThan(3));
  expect(asked[0]?.isByItself).toBeUndefined();
  expect(asked.slice(1).every(({ isByItself }) => isByItself)).toBe(true);
});

it("tells apart what an event makes it ask, also when it asks anew for want of an answer, and what a person does", async () => {
  const asked = oms({ "taskservices.list_tasks": [], "userservices.revoke_token": 0 });
  const client = shown(<Jobs />);
  await waitFor(() => expect(asked).toHaveLength(1));
  const answering = globalThis.fetch;
  let broken = 0;
  vi.stubGlobal("fetch", (...request: Parameters<typeof fetch>) => {
    broken += 1;
    return broken === 1 ? Promise.reject(new TypeError("cut off")) : answering(...request);
  });
  await client.invalidateQueries({}, BY_ITSELF);
  expect(asked.map(({ isByItself }) => isByItself)).toEqual([undefined, true]);
  await userEvent.click(screen.getByRole("button"));
  await waitFor(() => expect(asked).toHaveLength(4));
  expect(asked.slice(2).map(({ isByItself }) => isByItself)).toEqual([undefined, undefined]);
});

it("says at the corner how a change ended whose form has been left", async () => {
  loggedIn();
  let refuse = (): void => undefined;
  oms({ "taskservices.list_tasks": [] });
  const answering = globalThis.fetch;
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    if (!String(init.body).includes("revoke_token")) return answering(path, init);
    await new Promise<void>((go) => {
      refuse = go;
    });
    return Response.json({ error: { message: "Not that one.", data: { name: "FuncManError" } } });
  });
  const client = queryClient();
  const form = (
    <QueryClientProvider client={client}>
      <Quiet />
    </QueryClientProvider>
  );
  const { unmount } = render(form);
  await userEvent.click(screen.getByRole("button"));
  unmount();
  refuse();
  await waitFor(() => expect(toasts.get().map(({ text }) => text)).toEqual(["Not that one."]));
});

function Quiet(): React.ReactNode {
  const change = useChange("userservices.revoke_token", { quiet: true });
  return (
    <button type="button" onClick={() => change.mutate({ token_id: "t" })}>
      Take it back
    </button>
  );
}
