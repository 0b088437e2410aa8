import { screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import type { Whoever } from "../../api/contract";
import { OmsError } from "../../api/errors";
import { end, session } from "../../api/session";
import { loggedIn, oms } from "../../testing/oms";
import { at } from "../../testing/page";

const ANNA: Whoever = { name: "anna", role: "admin", source: "local", must_change_password: false, token: "" };

it("leads to where one wanted to go", async () => {
  const asked = oms({
    "authservices.authenticate": "B".repeat(40),
    "userservices.whoami": ANNA,
    "taskservices.list_tasks": [],
  });
  const { user, path } = at("/jobs?state=failed");
  await user.type(await screen.findByLabelText(/User/), "anna");
  await user.type(screen.getByLabelText(/^Password/), "a good password{Enter}");
  await waitFor(() => expect(path()).toBe("/jobs?state=failed"));
  expect(asked.slice(0, 2)).toEqual([
    { method: "authservices.authenticate", params: { username: "anna", password: "a good password" } },
    { method: "userservices.whoami", params: { SESSID: "B".repeat(40), cache_timeout: 0 } },
  ]);
});

it("shows OMS's own words where it refuses, and asks nothing where nothing is given", async () => {
  const asked = oms({
    "authservices.authenticate": () => {
      throw new OmsError("AuthError", "User or password is not right.");
    },
  });
  const { user } = at("/login");
  await user.click(await screen.findByRole("button", { name: "Log in" }));
  expect(await screen.findByText("Give a user and a password.")).toBeVisible();
  expect(asked).toEqual([]);
  await user.type(screen.getByLabelText(/User/), "anna");
  await user.type(screen.getByLabelText(/^Password/), "wrong{Enter}");
  expect(await screen.findByText("User or password is not right.")).toBeVisible();
});

it("is where a page goes when the session ends, and says so", async () => {
  oms({ "taskservices.list_tasks": [] });
  loggedIn();
  const { path } = at("/jobs");
  await screen.findByRole("heading", { name: "Jobs" });
  end("ended");
  expect(await screen.findByText(/Your session has ended/)).toBeVisible();
  expect(path()).toBe("/login");
});

it("lets nobody further with a password that somebody else knows", async () => {
  const asked = oms({
    "userservices.change_password": ({ old_password }) => {
      if (old_password !== "given to me") throw new OmsError("AuthError", "The old password is not right.");
      return 0;
    },
    "taskservices.list_tasks": [],
  });
  loggedIn("admin", true);
  const { user } = at("/jobs");
  const type = async (field: string, text: string): Promise<void> => {
    await user.clear(await screen.findByLabelText(new RegExp(`^${field}\\W*$`)));
    await user.type(screen.getByLabelText(new RegExp(`^${field}\\W*$`)), text);
  };
  await type("Password so far", "guessed");
  await type("New password", "short");
  await user.click(screen.getByRole("button", { name: "Change the password" }));
  expect(screen.getByLabelText(/^New password\W*$/)).toHaveAccessibleDescription(/fewer than 12/);
  await type("New password", "many good words");
  await type("New password, again", "many good wards");
  await user.click(screen.getByRole("button", { name: "Change the password" }));
  expect(screen.getByLabelText(/again/)).toHaveAccessibleDescription(/not the same/);
  expect(asked).toEqual([]);
  await type("New password, again", "many good words");
  await user.click(screen.getByRole("button", { name: "Change the password" }));
  expect(await screen.findByText("The old password is not right.")).toBeVisible();
  expect(session.get().isIn).toBe(true);
  await type("Password so far", "given to me");
  await user.click(screen.getByRole("button", { name: "Change the password" }));
  expect(await screen.findByRole("heading", { name: "Jobs" })).toBeVisible();
});
