import { screen, within } from "@testing-library/react";
import { expect, it } from "vitest";
import type { Summary, WaitingHost } from "../../api/contract";
import { OmsError } from "../../api/errors";
import { HOST } from "../../testing/fleet";
import { loggedIn, oms } from "../../testing/oms";
import { at } from "../../testing/page";

const KEY = "ab".repeat(32);

const WAITING: WaitingHost = {
  name: "node2",
  key_sha256: KEY,
  address: "192.0.2.7",
  asked: "2026-01-01T12:00:00Z",
  agent_version: "1.0",
  architecture: "x86_64",
  distribution: "Debian 12",
  kernel: "6.1",
  hypervisors: ["kvm"],
  cpus: 4,
  memory_mb: 8192,
  rival: false,
};

function fleet(signed: number, waiting: number): Summary {
  return {
    hosts: { signed, connected: signed, waiting },
    guests: { kvm: 5, openvz: 0, states: { running: 3 } },
    capacity: { cpus: 8, cpu_percent: 12, memory_mb: 1, memory_used_mb: 1, disk_mb: 1, disk_used_mb: 1 },
    unfinished_jobs: 0,
    failed_jobs: 0,
    attention: [],
    needing_attention: 0,
  };
}

const NOBODY = {
  "taskservices.list_tasks": [],
  "fleetservices.summarize": fleet(0, 0),
  "fleetservices.describe_requests": [],
  "funcservices.ca_sha256": { sha256: "cd".repeat(32) },
  "tagservices.list_tags": [],
};

it("tells whoever has no host yet how one joins", async () => {
  oms(NOBODY);
  loggedIn();
  at("/hosts");
  expect(await screen.findByText("No host yet")).toBeVisible();
  expect(await screen.findByText(new RegExp(`--ca-sha256 ${"cd".repeat(32)}$`))).toBeVisible();
});

it("signs the key that was compared, after that was said", async () => {
  const asked = oms({
    ...NOBODY,
    "fleetservices.summarize": fleet(0, 1),
    "fleetservices.describe_requests": [WAITING],
    "funcservices.sign_key": { type: "KVM" },
  });
  loggedIn();
  const { user } = at("/hosts");
  await user.click(await screen.findByRole("button", { name: "Sign node2" }));
  const dialog = await screen.findByRole("dialog");
  expect(dialog).toHaveTextContent(KEY);
  expect(within(dialog).getByRole("button", { name: "Sign the host" })).toBeDisabled();
  await user.click(within(dialog).getByRole("checkbox"));
  await user.click(within(dialog).getByRole("button", { name: "Sign the host" }));
  expect(await screen.findByText("node2 is signed")).toBeVisible();
  const signing = asked.find(({ method }) => method === "funcservices.sign_key");
  expect(signing?.params).toMatchObject({ server_hostname: "node2", key_sha256: KEY });
});

it("keeps the question open where OMS refuses, in its own words", async () => {
  oms({
    ...NOBODY,
    "fleetservices.describe_requests": [WAITING],
    "funcservices.sign_key": () => {
      throw new OmsError("FuncManError", "node2 does not ask with the key that was compared.");
    },
  });
  loggedIn();
  const { user } = at("/hosts");
  await user.click(await screen.findByRole("button", { name: "Sign node2" }));
  await user.click(await screen.findByRole("checkbox"));
  await user.click(screen.getByRole("button", { name: "Sign the host" }));
  expect(await screen.findByText("node2 does not ask with the key that was compared.")).toBeVisible();
});

it("offers no key for signing whose name another one wants, and nothing to a viewer", async () => {
  const answers = { ...NOBODY, "fleetservices.describe_requests": [{ ...WAITING, rival: true }] };
  oms(answers);
  loggedIn();
  at("/hosts");
  expect(await screen.findByRole("button", { name: "Sign node2" })).toBeDisabled();
  expect(screen.getByText(/Another key asks for this name/)).toBeVisible();
});

it("lists what hosts have and use, and asks for what the address says", async () => {
  const asked = oms({
    ...NOBODY,
    "fleetservices.summarize": fleet(1, 0),
    "fleetservices.list_hosts": { hosts: [HOST], total: 1 },
  });
  loggedIn("viewer");
  at("/hosts?search=deb&state=connected&sort=memory&descending=true");
  expect(await screen.findByRole("link", { name: "node1" })).toHaveAttribute("href", "/hosts/node1");
  expect(screen.getByText("3 of 5")).toBeVisible();
  expect(screen.getByText("4 GB / 16 GB")).toBeVisible();
  expect(screen.getByRole("button", { name: "A file system is more than 90 % full" })).toBeVisible();
  expect(screen.queryByRole("button", { name: "Add a host" })).toBeNull();
  const listing = asked.find(({ method }) => method === "fleetservices.list_hosts");
  expect(listing?.params).toMatchObject({
    search: "deb",
    state: "connected",
    sort: "memory",
    descending: true,
    offset: 0,
  });
});
