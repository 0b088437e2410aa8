// The list of pages at the side: who may not call what a page lives by does not see it.
import type { Method } from "../api/contract";
import { words } from "../messages";

export interface Place {
  readonly to: string;
  readonly name: string;
  /** What the page lives by. */
  readonly needs: Method;
}

export const PLACES: readonly Place[] = [
  { to: "/", name: words.shell.nav.overview, needs: "funcservices.list_signed" },
  { to: "/hosts", name: words.shell.nav.hosts, needs: "funcservices.list_signed" },
  { to: "/guests", name: words.shell.nav.guests, needs: "kvmservices.list_vms" },
  { to: "/jobs", name: words.shell.nav.jobs, needs: "taskservices.list_tasks" },
  { to: "/people", name: words.shell.nav.people, needs: "userservices.list_users" },
  { to: "/audit", name: words.shell.nav.audit, needs: "auditservices.list_events" },
];
