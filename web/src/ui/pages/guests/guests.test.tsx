import { screen, waitFor, within } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import type { FleetGuest, GuestPage } from "../../api/contract";
import { OmsError } from "../../api/errors";
import { type Asked, loggedIn, oms } from "../../testing/oms";
import { at } from "../../testing/page";

const PER_PAGE = 25;

function guest(number: number): FleetGuest {
  return {
    kind: "kvm",
    id: `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`,
    name: `web-${number}`,
    host: "node1",
    state: "shutdown",
    vcpus: 1,
    memory_mb: 1024,
    tags: [],
  };
}

const ALL = Array.from({ length: 60 }, (_, number) => guest(number));

interface Asking {
  search?: string;
  offset?: number;
  most: number;
}

function listed({ search = "", offset = 0, most }: Asking): GuestPage {
  if (search !== "") throw new OmsError("FuncManError", "OMS is busy.");
  return { guests: ALL.slice(offset, offset + most), total: ALL.length };
}

function begun(): Asked[] {
  const asked = oms({
    "taskservices.list_tasks": [],
    "tagservices.list_tags": [],
    "kvmservices.describe_vm": () => new OmsError("FuncManError", "node1 is busy.") as never,
    "fleetservices.list_guests": listed as never,
  });
  loggedIn();
  return asked;
}

it("asks for the page after this one ahead, as nobody's use of the session, and goes on to it", async () => {
  const asked = begun();
  const { user } = at(`/guests?perPage=${PER_PAGE}`);
  await screen.findByText("web-0");
  const ahead = await vi.waitUntil(
    () => asked.find(({ method, params }) => method === "fleetservices.list_guests" && params.offset === PER_PAGE),
    { timeout: 30_000 },
  );
  expect(ahead).toMatchObject({ isByItself: true });
  await user.click(screen.getAllByRole("button", { name: /next page/ })[0] as HTMLElement);
  expect(await screen.findByText(`web-${PER_PAGE}`)).toBeVisible();
  expect(screen.queryByText("web-0")).toBeNull();
});

it("asks at once for where a pointer is about to lead, and for what is beyond it then", async () => {
  const asked = begun();
  const { user } = at(`/guests?perPage=${PER_PAGE}`);
  await screen.findByText("web-0");
  const isAsked = (wanted: object) =>
    vi.waitUntil(
      () => asked.some(({ params }) => Object.entries(wanted).every(([name, value]) => params[name] === value)),
      { timeout: 30_000 },
    );
  await user.hover(screen.getByRole("button", { name: "Memory" }));
  await isAsked({ sort: "memory", descending: false });
  const next = screen.getAllByRole("button", { name: /next page/ })[0] as HTMLElement;
  await user.click(next);
  await screen.findByText(`web-${PER_PAGE}`);
  await isAsked({ sort: "name", offset: 2 * PER_PAGE });
});

it("leaves what a browser does with links to the browser", async () => {
  begun();
  const { user, path } = at(`/guests?perPage=${PER_PAGE}`);
  const link = await screen.findByText("web-3");
  const before = path();
  await user.keyboard("{Control>}");
  await user.click(link);
  await user.keyboard("{/Control}");
  expect(path()).toBe(before);
  await user.click(link);
  await waitFor(() => expect(path()).toContain("/guests/node1/kvm/"));
});

it("opens a guest with what the list has told of it", async () => {
  begun();
  const { user } = at(`/guests?perPage=${PER_PAGE}`);
  const row = (await screen.findByText("web-3")).closest("tr") as HTMLElement;
  const titles: string[] = [];
  const watch = new MutationObserver(() => {
    const title = document.querySelector("h1")?.textContent ?? "";
    if (titles.at(-1) !== title) titles.push(title);
  });
  watch.observe(document.body, { childList: true, subtree: true, characterData: true });
  await user.click(within(row).getByText("web-3"));
  await screen.findByText("OMS is busy.");
  watch.disconnect();
  await waitFor(() => expect(titles).toContain("web-3"));
});

it("opens the menu of a row, and closes it", async () => {
  begun();
  const { user } = at(`/guests?perPage=${PER_PAGE}`);
  await screen.findByText("web-3");
  const button = screen.getByRole("button", { name: /web-3$/ });
  await user.click(button);
  expect(button).toHaveAttribute("aria-expanded", "true");
  expect(await screen.findByRole("menuitem", { name: "Start" })).toBeVisible();
  await user.click(button);
  await waitFor(() => expect(button).toHaveAttribute("aria-expanded", "false"));
});
