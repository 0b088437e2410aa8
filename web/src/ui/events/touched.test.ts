import { expect, it } from "vitest";
import type { Event } from "./event";
import { touches } from "./touched";

function event(kind: string, host = "node1"): Event {
  return { sequence: 1, kind, host, guest: null, job: "", user: "", data: {} };
}

it("makes old what an event is about, and nothing else", () => {
  expect(touches(event("job.ended"), "taskservices.list_tasks", { state: "" })).toBe(true);
  expect(touches(event("job.ended"), "userservices.list_users", {})).toBe(false);
  expect(touches(event("guest.changed"), "kvmservices.describe_vm", { server_hostname: "node1" })).toBe(true);
  expect(touches(event("guest.changed"), "kvmservices.describe_vm", { server_hostname: "node2" })).toBe(false);
  expect(touches(event("host.signed"), "funcservices.list_signed", {})).toBe(true);
  expect(touches(event("isos.changed"), "isoservices.list_images", { server_hostname: "node1" })).toBe(true);
  expect(touches(event("server.started", ""), "auditservices.describe_head", {})).toBe(true);
  expect(touches(event("host.measured"), "fleetservices.list_hosts", {})).toBe(true);
  expect(touches(event("host.measured"), "fleetservices.list_guests", {})).toBe(false);
  expect(touches(event("host.connected"), "netinterfaceservices.list_bridges", { server_name: "node1" })).toBe(
    true,
  );
  expect(touches(event("host.connected"), "netinterfaceservices.list_bridges", { server_name: "node2" })).toBe(
    false,
  );
  expect(touches(event("host.connected"), "lvmservices.list_vg", { server_hostname: "node1" })).toBe(true);
  expect(touches(event("something.new"), "userservices.whoami", {})).toBe(false);
});
