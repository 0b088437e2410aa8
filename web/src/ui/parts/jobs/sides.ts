// A move is two jobs: that of the host where the guest is, and that of the host which takes it in. They are shown as one.
import type { Task } from "../../api/contract";

const TAKES_IN: Readonly<Record<string, string>> = {
  "agent.receive_machine": "kvmservices.migrate_vm",
  "agent.receive_container": "ovzservices.migrate_vm",
};

/** A job, and what another host does because of it. */
export interface Sides {
  readonly job: Task;
  readonly there?: Task;
}

/** Jobs, the newest first, with those that are another one's side beside it, where that is among them. */
export function withSides(jobs: readonly Task[]): readonly Sides[] {
  const sides = new Map<Task, Task>();
  for (const [place, there] of jobs.entries()) {
    const job = TAKES_IN[there.method] && jobs.slice(place + 1).find((one) => isSideOf(there, one));
    if (job && !sides.has(job)) sides.set(job, there);
  }
  const shown = new Set(sides.values());
  return jobs
    .filter((job) => !shown.has(job))
    .map((job) => {
      const there = sides.get(job);
      return there ? { job, there } : { job };
    });
}

/** The last move of that guest from another host that was asked for before. */
function isSideOf(there: Task, job: Task): boolean {
  const isSame = there.name === "" ? there.target === job.target : there.name === job.name;
  return job.method === TAKES_IN[there.method] && job.host !== there.host && job.owner === there.owner && isSame;
}
