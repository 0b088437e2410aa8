// What can be done with a guest at once, whether it is a machine or a container: the calls, and when each makes sense.
import { call } from "../../api/client";
import { type FleetGuest, METHODS, type Method, type Permission } from "../../api/contract";
import { suffices } from "../../api/session";

export type ActionName = "start" | "shutdown" | "reboot" | "suspend" | "resume" | "stop" | "reset";
/** So much of a guest as its actions need. */
export type Guest = Pick<FleetGuest, "kind" | "id" | "host" | "name" | "state">;

interface Action {
  readonly kvm?: Method;
  readonly openvz?: Method;
  readonly when: readonly FleetGuest["state"][];
  /** Whether something may be lost by it, so that it is asked for first. */
  readonly loses?: boolean;
}

export const ACTIONS: Readonly<Record<ActionName, Action>> = {
  start: { kvm: "kvmservices.start_vm", openvz: "ovzservices.start_vm", when: ["shutdown", "crashed"] },
  // A container is always asked first, and stopped then.
  shutdown: { kvm: "kvmservices.shutdown_vm", openvz: "ovzservices.stop_vm", when: ["running"] },
  reboot: { kvm: "kvmservices.reboot_vm", openvz: "ovzservices.reboot_vm", when: ["running"] },
  suspend: { kvm: "kvmservices.suspend_vm", openvz: "ovzservices.suspend_vm", when: ["running"] },
  resume: { kvm: "kvmservices.resume_vm", openvz: "ovzservices.resume_vm", when: ["paused"] },
  reset: { kvm: "kvmservices.reset_vm", when: ["running", "paused"], loses: true },
  stop: { kvm: "kvmservices.stop_vm", when: ["running", "paused", "crashed"], loses: true },
};

const NAMES = Object.keys(ACTIONS) as ActionName[];

/** What makes sense for a guest as it is, and may be done by somebody of that role. */
export function possible(guest: Guest, role: Permission): ActionName[] {
  return NAMES.filter((name) => {
    const method = ACTIONS[name][guest.kind];
    return method !== undefined && ACTIONS[name].when.includes(guest.state) && suffices(role, METHODS[method].may);
  });
}

/** Do it; comes back when it is done. Throws OmsError and OutOfReach. */
export async function act(name: ActionName, guest: Guest): Promise<void> {
  const method = ACTIONS[name][guest.kind];
  if (method === undefined) throw new Error(`${name} is nothing for ${guest.kind}`);
  await call(method, named(guest) as never);
}

/** A guest, as the methods of its kind call it. */
export function named(guest: Pick<Guest, "kind" | "id" | "host">): Record<string, string> {
  return guest.kind === "kvm"
    ? { server_hostname: guest.host, kvm_vm_name: guest.id }
    : { server_hostname: guest.host, container_id: guest.id };
}

export function keyOf(guest: Pick<Guest, "kind" | "id" | "host">): string {
  return `${guest.host}/${guest.kind}/${guest.id}`;
}

/** Where its page is. */
export function pageOf(guest: Pick<Guest, "kind" | "id" | "host">): string {
  return `/guests/${guest.host}/${guest.kind}/${encodeURIComponent(guest.id)}`;
}
