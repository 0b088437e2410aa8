// All jobs that OMS remembers, the newest first: it tells of 500 at once, which are leafed through here.
import { EmptyState, EmptyStateBody, PageSection } from "@patternfly/react-core";
import { useCallback, useMemo, useState } from "react";
import { useNavigate } from "react-router";
import type { Methods, Task } from "../../api/contract";
import { useAnswer, useMayCancel } from "../../api/queries";
import { usePace } from "../../events/feed";
import { words } from "../../messages";
import { Failure } from "../../parts/Failure";
import { CancelJob } from "../../parts/jobs/CancelJob";
import { isOpen, JobProgress, JobState } from "../../parts/jobs/JobState";
import { jobInWords } from "../../parts/jobs/names";
import { Side } from "../../parts/jobs/Side";
import { type Sides, withSides } from "../../parts/jobs/sides";
import { useListAddress } from "../../parts/list/address";
import { type Column, ListTable } from "../../parts/list/ListTable";
import { type Filter, ListToolbar } from "../../parts/list/ListToolbar";
import { RowLink } from "../../parts/list/links";
import { PageHead } from "../../parts/PageHead";
import type { Offered } from "../../parts/RowMenu";
import { took, When } from "../../parts/When";

type State = NonNullable<Methods["taskservices.list_tasks"]["params"]["state"]>;

const said = words.jobs;
const SORTS = ["created"] as const;
const FILTERS = ["state", "host"] as const;
type FilterName = (typeof FILTERS)[number];
const STATES: readonly State[] = ["unfinished", "done", "failed", "cancelled"];

export function Component(): React.ReactNode {
  const at = useListAddress<"created", FilterName>(SORTS, FILTERS);
  const filters = useFilters();
  const [cancelled, setCancelled] = useState<Task | null>(null);
  const actions = useActions(setCancelled);
  const { data, error, refetch } = useAnswer(
    "taskservices.list_tasks",
    { state: at.filters.state as State, server_hostname: at.filters.host },
    { keepBefore: true, every: usePace(3000) },
  );
  const found = useMemo(
    () =>
      data &&
      withSides(data).filter(({ job, there }) => fits(job, at.search) || (there && fits(there, at.search))),
    [data, at.search],
  );
  return (
    <>
      <PageHead title={said.title} text={said.text} />
      <PageSection isFilled>
        <ListToolbar at={at} filters={filters} total={found?.length} />
        <Failure of={error} retry={() => void refetch()} />
        {(data !== undefined || error === null) && (
          <ListTable
            label={said.title}
            at={at}
            columns={COLUMNS}
            rows={found?.slice(at.offset, at.offset + at.perPage)}
            keyOf={({ job }) => job.id}
            nameOf={({ job }) => jobInWords(job)}
            actions={actions}
            empty={<NoJobs />}
          />
        )}
      </PageSection>
      {cancelled !== null && <CancelJob job={cancelled} close={() => setCancelled(null)} />}
    </>
  );
}

function useFilters(): readonly Filter<FilterName>[] {
  const { data: hosts = [] } = useAnswer("funcservices.list_signed", {});
  return useMemo(
    () => [
      {
        name: "state",
        label: said.stateFilter,
        options: STATES.map((value) => ({
          value,
          label: value === "unfinished" ? said.unfinished : said.states[value as Task["state"]],
        })),
      },
      {
        name: "host",
        label: said.hostFilter,
        options: hosts.map(({ name }) => ({ value: name, label: name })),
      },
    ],
    [hosts],
  );
}

function useActions(cancel: (job: Task) => void): (sides: Sides) => Offered {
  const go = useNavigate();
  const mayCancel = useMayCancel();
  return useCallback(
    ({ job }) => [
      { title: said.details, onClick: () => void go(`/jobs/${job.id}`) },
      mayCancel(job) && isOpen(job) && { title: said.cancel.action, isDanger: true, onClick: () => cancel(job) },
    ],
    [go, mayCancel, cancel],
  );
}

function NoJobs(): React.ReactNode {
  return (
    <EmptyState titleText={said.nothingYet} headingLevel="h2">
      <EmptyStateBody>{said.nothingYetText}</EmptyStateBody>
    </EmptyState>
  );
}

/** Whether every word is found in what a job is about. */
function fits(job: Task, sought: string): boolean {
  const text = [job.id, job.method, jobInWords(job), job.target, job.host, job.owner, job.error?.message ?? ""]
    .join(" ")
    .toLowerCase();
  return sought
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

const COLUMNS: readonly Column<Sides, never>[] = [
  {
    title: said.columns.what,
    width: [4, 14],
    cell: ({ job, there }) => (
      <div>
        <RowLink to={`/jobs/${job.id}`}>{jobInWords(job)}</RowLink>
        {job.error !== null && <div className="oms-subtle oms-break">{job.error.message}</div>}
        {there && <Side there={there} />}
        <JobProgress job={job} />
      </div>
    ),
  },
  {
    title: said.columns.host,
    width: [2, 7],
    cell: ({ job: { host } }) => <RowLink to={`/hosts/${host}`}>{host}</RowLink>,
  },
  { title: said.columns.state, width: [1, 7], cell: ({ job }) => <JobState job={job} /> },
  {
    title: said.columns.owner,
    width: [1, 7],
    cell: ({ job: { owner } }) => <span className="oms-break">{owner}</span>,
  },
  { title: said.columns.begun, width: [1, 7.5], cell: ({ job: { created } }) => <When at={created} /> },
  { title: said.columns.took, width: [0.7, 5.5], cell: ({ job }) => took(job.started, job.finished) },
];
