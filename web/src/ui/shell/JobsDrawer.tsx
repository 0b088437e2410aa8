// The jobs beside every page: those under way with how far they are, and how the last ones ended.
import {
  Button,
  NotificationDrawer,
  NotificationDrawerBody,
  NotificationDrawerHeader,
  Title,
} from "@patternfly/react-core";
import { useState } from "react";
import { Link } from "react-router";
import type { Task } from "../api/contract";
import { useAnswer, useMayCancel } from "../api/queries";
import { usePace } from "../events/feed";
import { words } from "../messages";
import { CancelJob } from "../parts/jobs/CancelJob";
import { isOpen, JobProgress, JobState } from "../parts/jobs/JobState";
import { jobInWords } from "../parts/jobs/names";
import { Side } from "../parts/jobs/Side";
import { type Sides, withSides } from "../parts/jobs/sides";
import { When } from "../parts/When";
import "./jobs.css";

const said = words.jobs;
const ENDED = 10;

export function JobsDrawer({ close }: { close: () => void }): React.ReactNode {
  const { data = [] } = useAnswer("taskservices.list_tasks", {}, { every: usePace(3000) });
  const [cancelled, setCancelled] = useState<Task | null>(null);
  const jobs = withSides(data);
  const open = jobs.filter(({ job }) => isOpen(job));
  const ended = jobs.filter(({ job }) => !isOpen(job)).slice(0, ENDED);
  return (
    <NotificationDrawer>
      <NotificationDrawerHeader title={said.title} onClose={close} customText={said.count(open.length)}>
        <Link to="/jobs">{said.open}</Link>
      </NotificationDrawerHeader>
      <NotificationDrawerBody className="oms-jobs">
        <Title headingLevel="h2" size="md">
          {said.under}
        </Title>
        {open.length === 0 && <p className="oms-subtle">{said.nothing}</p>}
        <Jobs jobs={open} cancel={setCancelled} />
        {ended.length > 0 && (
          <Title headingLevel="h2" size="md">
            {said.ended}
          </Title>
        )}
        <Jobs jobs={ended} />
      </NotificationDrawerBody>
      {cancelled !== null && <CancelJob job={cancelled} close={() => setCancelled(null)} />}
    </NotificationDrawer>
  );
}

function Jobs({ jobs, cancel }: { jobs: readonly Sides[]; cancel?: (job: Task) => void }): React.ReactNode {
  const mayCancel = useMayCancel();
  return (
    <ul>
      {jobs.map(({ job, there }) => (
        <li key={job.id} className="oms-job">
          <div className="oms-job-head">
            <Link to={`/jobs/${job.id}`} className="oms-break">
              {jobInWords(job)}
            </Link>
            <JobState job={job} />
          </div>
          <div className="oms-subtle oms-break">
            {said.on(job.host)}, {said.by(job.owner)}, <When at={job.finished || job.created} />
          </div>
          {there && <Side there={there} />}
          <JobProgress job={job} />
          {job.error !== null && <div className="oms-break">{job.error.message}</div>}
          {cancel && mayCancel(job) && (
            <Button variant="link" isInline size="sm" onClick={() => cancel(job)}>
              {said.cancel.action}
            </Button>
          )}
        </li>
      ))}
    </ul>
  );
}
