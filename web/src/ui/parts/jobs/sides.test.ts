import { expect, it } from "vitest";
import type { Task } from "../../api/contract";
import { withSides } from "./sides";

function job(id: string, method: string, host: string, name: string): Task {
  return {
    id,
    method,
    host,
    name,
    target: name,
    owner: "admin",
    state: "done",
    progress: 100,
    created: "2026-11-26T10:00:00Z",
    deadline: "",
    started: "",
    finished: "",
    error: null,
    result: 0,
    notes: {},
    eta: "",
  };
}

function told(jobs: readonly Task[]): (string | undefined)[][] {
  return withSides(jobs).map(({ job: { id }, there }) => [id, there?.id]);
}

it("shows what another host does for a move with the move, also where a guest goes to and fro", () => {
  const back = job("back", "kvmservices.migrate_vm", "node2", "web1");
  const backThere = job("back there", "agent.receive_machine", "node1", "web1");
  const away = job("away", "kvmservices.migrate_vm", "node1", "web1");
  const awayThere = job("away there", "agent.receive_machine", "node2", "web1");
  const other = job("other", "kvmservices.start_vm", "node1", "web1");
  expect(told([other, backThere, back, awayThere, away])).toEqual([
    ["other", undefined],
    ["back", "back there"],
    ["away", "away there"],
  ]);
});

it("shows it by itself where the move is not among them", () => {
  const there = job("there", "agent.receive_machine", "node2", "web1");
  const others = [
    job("another guest", "kvmservices.migrate_vm", "node1", "web2"),
    job("another kind", "ovzservices.migrate_vm", "node1", "web1"),
    job("the host itself", "kvmservices.migrate_vm", "node2", "web1"),
  ];
  expect(told([there, ...others])).toHaveLength(4);
  expect(told([there])).toEqual([["there", undefined]]);
});
