import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";
import { OmsError } from "../api/errors";
import { sayWrong } from "../parts/toasts";
import { loggedIn, oms } from "../testing/oms";
import { at } from "../testing/page";

const IDLE = { "taskservices.list_tasks": [], "authservices.deauthenticate": 0 };

it("shows the pages that a role may see, and which one is open", async () => {
  oms(IDLE);
  loggedIn("operator");
  at("/jobs");
  const pages = await screen.findByRole("navigation", { name: "Pages" });
  const names = within(pages)
    .getAllByRole("link")
    .map((link) => link.textContent);
  expect(names).toEqual(["Overview", "Hosts", "Guests", "Jobs"]);
  expect(within(pages).getByRole("link", { current: "page" })).toHaveTextContent("Jobs");
});

it("says at an address that is no page's that nothing is there", async () => {
  oms(IDLE);
  loggedIn();
  at("/nothing/here");
  expect(await screen.findByText(/Nothing is at \/nothing\/here/)).toBeVisible();
  expect(document.title).toBe("There is no such page · OMS");
});

it("says at the corner what was not done, and leads to a job that goes on", async () => {
  oms({
    ...IDLE,
    "taskservices.get_task": () => {
      throw new OmsError("FuncManError", "There is no such job.");
    },
  });
  loggedIn();
  const { user, path } = at("/nothing");
  await screen.findByRole("navigation", { name: "Pages" });
  sayWrong(new OmsError("FuncManError", "node1 is not connected."));
  expect(await screen.findByText("node1 is not connected.")).toBeVisible();
  sayWrong(new OmsError("FuncMethodTimeoutError", "Not known yet.", { job: "0".repeat(32) }));
  await user.click(await screen.findByRole("link", { name: "Look at the job" }));
  await waitFor(() => expect(path()).toBe(`/jobs/${"0".repeat(32)}`));
});

it("logs out at once, here and at OMS", async () => {
  const asked = oms(IDLE);
  loggedIn();
  const { user, path } = at("/");
  await user.click(await screen.findByRole("button", { name: /anna/ }));
  await user.click(await screen.findByText("Log out"));
  expect(await screen.findByText("You are logged out.")).toBeVisible();
  expect(path()).toBe("/login");
  expect(asked.at(-1)?.method).toBe("authservices.deauthenticate");
});
