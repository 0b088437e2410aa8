// What a job does and to what, in words: `kvmservices.migrate_vm` is "Move machine", and its guest has a name.
import type { Task } from "../../api/contract";
import { words } from "../../messages";

const said = words.jobs.deeds;

/** Methods without words of their own are told by theirs. */
export function methodInWords(method: string): string {
  const [service = "", name = ""] = method.split(".");
  const guest = said.guests[service] ?? said.anyGuest;
  const deed = said.named[name]?.(guest) ?? name.replaceAll("_", " ").replace(/\bvm\b/, guest);
  return deed.charAt(0).toUpperCase() + deed.slice(1);
}

/** What it is done to: a guest by its name, everything else as its caller called it. */
export function targetOf({ name, target }: Pick<Task, "name" | "target">): string {
  return name || target;
}

/** Both in one line. */
export function jobInWords(job: Pick<Task, "method" | "name" | "target">): string {
  return `${methodInWords(job.method)} ${targetOf(job)}`.trim();
}
