import { describe, expect, it, vi } from "vitest";
import { loggedIn, oms } from "../testing/oms";
import { call } from "./client";
import { OmsError, OutOfReach } from "./errors";
import { session } from "./session";

describe("a call", () => {
  it("puts session and cache in front, and takes the answer out of its envelopes", async () => {
    loggedIn();
    const asked = oms({ "kvmservices.list_vms": [] });
    expect(await call("kvmservices.list_vms", { server_hostname: "node1" }, { cache: 5 })).toEqual([]);
    expect(asked).toEqual([
      {
        method: "kvmservices.list_vms",
        params: { SESSID: "A".repeat(40), cache_timeout: 5, server_hostname: "node1" },
      },
    ]);
  });

  it("ends the session here when OMS knows it no more", async () => {
    loggedIn();
    oms({
      "funcservices.list_signed": () => {
        throw new OmsError("AuthError", "It has ended.", { reason: "no_session" });
      },
    });
    await expect(call("funcservices.list_signed", {})).rejects.toThrow("It has ended.");
    expect(session.get()).toEqual({ isIn: false, sessid: "", why: "ended" });
    expect(sessionStorage.length).toBe(0);
  });

  it("keeps the session when a role or a password is what was refused", async () => {
    loggedIn("viewer");
    const no = new OmsError("AuthError", "No.");
    oms({
      "userservices.list_users": () => {
        throw no;
      },
      "userservices.change_password": () => {
        throw no;
      },
    });
    await expect(call("userservices.list_users", {})).rejects.toThrow("No.");
    await expect(call("userservices.change_password", { old_password: "a", new_password: "b" })).rejects.toThrow(
      "No.",
    );
    expect(session.get().isIn).toBe(true);
  });

  it("is out of reach where nothing, or something else, answers", async () => {
    loggedIn();
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("refused")));
    await expect(call("userservices.whoami", {})).rejects.toThrow(OutOfReach);
    vi.stubGlobal("fetch", async () => new Response("<html>", { status: 502 }));
    await expect(call("userservices.whoami", {})).rejects.toThrow(OutOfReach);
    expect(session.get().isIn).toBe(true);
  });
});
