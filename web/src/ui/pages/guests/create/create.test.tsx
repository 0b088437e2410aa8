import { screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { OmsError } from "../../../api/errors";
import { HOST } from "../../../testing/fleet";
import { loggedIn, oms } from "../../../testing/oms";
import { at } from "../../../testing/page";

it("keeps what was typed for a host whose connection breaks for a moment", async () => {
  let isAway = false;
  const there = <T,>(answer: T): T => {
    if (isAway) throw new OmsError("FuncManError", "node1 is not connected.");
    return answer;
  };
  oms({
    "taskservices.list_tasks": [],
    "fleetservices.list_hosts": () => ({ hosts: isAway ? [] : [HOST], total: isAway ? 0 : 1 }),
    "isoservices.list_images": () => there(["debian.iso"]),
    "kvmservices.parse_system_min_max": () =>
      there({ min_memory: "64", max_memory: "8192", min_vcpu: "1", max_vcpu: "8" }),
  });
  loggedIn();
  const { user, changed } = at("/guests/create?what=iso&host=node1&source=debian.iso");
  await user.type(await screen.findByLabelText(/^Name/), "web1");
  const memory = await screen.findByLabelText(/^Memory/);
  await user.clear(memory);
  await user.type(memory, "2048");

  isAway = true;
  await changed();
  expect(await screen.findByText(/node1 is not connected now/)).toBeVisible();
  expect(screen.getByLabelText(/^Host/)).toHaveValue("node1");
  expect(screen.getByLabelText(/^Memory/)).toHaveValue("2048");

  isAway = false;
  await changed();
  await waitFor(() => expect(screen.queryByText(/not connected now/)).toBeNull());
  expect(screen.getByLabelText(/^Memory/)).toHaveValue("2048");
});

it("keeps what was typed while the name is typed anew", async () => {
  oms({
    "taskservices.list_tasks": [],
    "fleetservices.list_hosts": { hosts: [HOST], total: 1 },
    "isoservices.list_images": ["debian.iso"],
    "kvmservices.parse_system_min_max": { min_memory: "64", max_memory: "8192", min_vcpu: "1", max_vcpu: "8" },
  });
  loggedIn();
  const { user } = at("/guests/create?what=iso&host=node1&source=debian.iso");
  const name = await screen.findByLabelText(/^Name/);
  await user.type(name, "web1");
  const memory = screen.getByLabelText(/^Memory/);
  await user.clear(memory);
  await user.type(memory, "2048");
  await user.clear(name);
  expect(screen.getByRole("button", { name: "Create" })).toBeDisabled();
  await user.type(name, "web2");
  expect(screen.getByLabelText(/^Memory/)).toHaveValue("2048");
  expect(screen.getByRole("button", { name: "Create" })).toBeEnabled();
});
