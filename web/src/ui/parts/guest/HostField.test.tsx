import { QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { useState } from "react";
import { expect, it } from "vitest";
import { queryClient } from "../../api/queries";
import { HOST } from "../../testing/fleet";
import { loggedIn, oms } from "../../testing/oms";
import { HostField } from "./HostField";

const NAMES = Array.from({ length: 500 }, (_, number) => `node${number + 1}`);

function Asking(): React.ReactNode {
  const [host, setHost] = useState("");
  return (
    <>
      <HostField id="to" label="To" kind="kvm" but="node2" value={host} onChange={setHost} none="There is none." />
      <p>{host === "" ? "nothing chosen" : `chosen: ${host}`}</p>
    </>
  );
}

it("asks OMS for a few hosts that fit, and chooses the one whose name was typed", async () => {
  const asked = oms({
    "fleetservices.list_hosts": ({ search = "", most = 0 }) => {
      const found = NAMES.filter((name) => name.includes(search));
      return { hosts: found.slice(0, most).map((name) => ({ ...HOST, name })), total: found.length };
    },
  });
  loggedIn();
  const user = userEvent.setup();
  render(
    <QueryClientProvider client={queryClient()}>
      <Asking />
    </QueryClientProvider>,
  );
  const field = screen.getByLabelText(/^To/);
  await user.type(field, "node31");
  expect(await screen.findByText("chosen: node31")).toBeVisible();
  expect(asked.at(-1)?.params).toMatchObject({ search: "node31", state: "connected", hypervisor: "kvm" });
  expect(asked.every(({ params }) => Number(params.most) > 0 && Number(params.most) < 100)).toBe(true);

  await user.clear(field);
  expect(screen.getByText("nothing chosen")).toBeVisible();
  await user.type(field, "node2");
  await waitFor(() => expect(asked.at(-1)?.params).toMatchObject({ search: "node2" }));
  await waitFor(() => expect(document.querySelector("datalist option[value=node20]")).not.toBeNull());
  expect(document.querySelector("datalist option[value=node2]")).toBeNull();
  expect(screen.getByText("nothing chosen")).toBeVisible();

  await user.clear(field);
  await user.type(field, "nowhere");
  expect(await screen.findByText(/called nowhere/)).toBeVisible();
  expect(field).toHaveAttribute("aria-invalid", "true");
});
