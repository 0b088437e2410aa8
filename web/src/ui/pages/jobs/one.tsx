// One job: what it is, how it is, and why.
import {
  Button,
  Card,
  CardBody,
  CodeBlock,
  CodeBlockCode,
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
  EmptyState,
  EmptyStateBody,
  PageSection,
} from "@patternfly/react-core";
import { SearchIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { Link, useParams } from "react-router";
import type { Task } from "../../api/contract";
import { OmsError } from "../../api/errors";
import { useAnswer, useMayCancel } from "../../api/queries";
import { usePace } from "../../events/feed";
import { words } from "../../messages";
import { Failure } from "../../parts/Failure";
import { CancelJob } from "../../parts/jobs/CancelJob";
import { isOpen, JobProgress, JobState } from "../../parts/jobs/JobState";
import { jobInWords } from "../../parts/jobs/names";
import { Loading } from "../../parts/Loading";
import { PageHead } from "../../parts/PageHead";
import { took, When } from "../../parts/When";
import { useCrumb } from "../../shell/Crumbs";

const said = words.jobs;

export function Component(): React.ReactNode {
  const { job: id = "" } = useParams();
  const {
    data: job,
    error,
    refetch,
  } = useAnswer("taskservices.get_task", { task_id: id }, { every: usePace(2000) });
  const mayCancel = useMayCancel();
  const [cancels, setCancels] = useState(false);
  useCrumb(job === undefined ? "" : jobInWords(job));
  if (job === undefined) {
    return (
      <>
        <PageHead title={said.one.id} within={said.title} />
        <PageSection>
          {error === null && <Loading />}
          {error instanceof OmsError && error.reason === "no_such_task" ? (
            <EmptyState titleText={said.one.gone} headingLevel="h2" icon={SearchIcon}>
              <EmptyStateBody>{said.one.goneText}</EmptyStateBody>
            </EmptyState>
          ) : (
            <Failure of={error} retry={() => void refetch()} />
          )}
        </PageSection>
      </>
    );
  }
  return (
    <>
      <PageHead
        title={jobInWords(job)}
        within={said.title}
        status={<JobState job={job} />}
        actions={
          mayCancel(job) &&
          isOpen(job) && (
            <Button variant="danger" onClick={() => setCancels(true)}>
              {said.cancel.action}
            </Button>
          )
        }
      />
      <PageSection isFilled>
        <Card>
          <CardBody>
            <JobProgress job={job} />
            <DescriptionList orientation={{ sm: "horizontal" }} isCompact>
              {rows(job).map(([term, value]) => (
                <DescriptionListGroup key={term}>
                  <DescriptionListTerm>{term}</DescriptionListTerm>
                  <DescriptionListDescription className="oms-break">{value}</DescriptionListDescription>
                </DescriptionListGroup>
              ))}
            </DescriptionList>
          </CardBody>
        </Card>
      </PageSection>
      {cancels && <CancelJob job={job} close={() => setCancels(false)} />}
    </>
  );
}

function rows(job: Task): [term: string, value: React.ReactNode][] {
  const { one } = said;
  const all: [string, React.ReactNode][] = [
    [one.error, job.error === null ? "" : `${job.error.message} (${job.error.name})`],
    [
      one.host,
      <Link key="host" to={`/hosts/${job.host}`}>
        {job.host}
      </Link>,
    ],
    [one.target, job.name && job.name !== job.target ? `${job.name} (${job.target})` : job.target],
    [one.owner, job.owner],
    [one.created, <When key="created" at={job.created} isExact />],
    [one.started, job.started && <When key="started" at={job.started} isExact />],
    [one.finished, job.finished && <When key="finished" at={job.finished} isExact />],
    [said.columns.took, took(job.started, job.finished)],
    [one.deadline, isOpen(job) && !job.started && <When key="deadline" at={job.deadline} isExact />],
    ...Object.entries(job.notes).map(([what, note]): [string, React.ReactNode] => [`${one.notes}: ${what}`, note]),
    [one.result, job.result !== null && job.result !== 0 && <Json key="result" value={job.result} />],
    [one.method, <code key="method">{job.method}</code>],
    [one.id, <code key="id">{job.id}</code>],
  ];
  return all.filter(([, value]) => value !== "" && value !== false);
}

function Json({ value }: { value: unknown }): React.ReactNode {
  return (
    <CodeBlock>
      <CodeBlockCode>{JSON.stringify(value, null, 2)}</CodeBlockCode>
    </CodeBlock>
  );
}
