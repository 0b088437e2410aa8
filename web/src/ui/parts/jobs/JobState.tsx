import { Label, Progress, ProgressSize } from "@patternfly/react-core";
import type { Task } from "../../api/contract";
import { words } from "../../messages";
import { apart } from "../When";
import { jobInWords } from "./names";

const said = words.jobs;
const STATUS: Record<Task["state"], "info" | "success" | "danger" | "warning"> = {
  queued: "info",
  sent: "info",
  running: "info",
  done: "success",
  failed: "danger",
  cancelled: "warning",
};

/** Whether a job is not over yet. */
export function isOpen({ state }: Pick<Task, "state">): boolean {
  return state === "queued" || state === "sent" || state === "running";
}

/** How a job is, in one word. */
export function JobState({ job }: { job: Task }): React.ReactNode {
  return (
    <Label isCompact variant="outline" status={STATUS[job.state]}>
      {said.states[job.state]}
    </Label>
  );
}

/** How far a job is, and when it should end by its pace. Nothing where it tells of no steps. */
export function JobProgress({ job }: { job: Task }): React.ReactNode {
  if (!isOpen(job) || job.progress === 0) return null;
  const end = Date.parse(job.eta ?? "");
  return (
    <>
      <Progress value={job.progress} size={ProgressSize.sm} aria-label={said.progress(jobInWords(job))} />
      {!Number.isNaN(end) && <small className="oms-subtle">{said.eta(apart(end, Date.now()))}</small>}
    </>
  );
}
