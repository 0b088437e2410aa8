// The fleet at a glance: how much there is, how much of it is used, and where somebody should look.
import { Card, CardBody, CardTitle, Icon, PageSection, Stack, StackItem } from "@patternfly/react-core";
import { ExclamationTriangleIcon } from "@patternfly/react-icons";
import { Link } from "react-router";
import type { Summary } from "../../api/contract";
import { useAnswer, useMay } from "../../api/queries";
import { usePace } from "../../events/feed";
import { words } from "../../messages";
import { Failure } from "../../parts/Failure";
import { Loading } from "../../parts/Loading";
import { Meter, share } from "../../parts/Meter";
import { PageHead } from "../../parts/PageHead";
import { mb } from "../../parts/units";
import { EmptyFleet } from "../hosts/Join";
import "./overview.css";

const said = words.overview;

export function Component(): React.ReactNode {
  const { data, error, refetch } = useAnswer("fleetservices.summarize", {}, { every: usePace() });
  const maySign = useMay("funcservices.sign_requests");
  return (
    <>
      <PageHead title={said.title} />
      <PageSection isFilled>
        <Failure of={error} retry={() => void refetch()} />
        {data === undefined && error === null && <Loading />}
        {data !== undefined && data.hosts.signed + data.hosts.waiting === 0 && <EmptyFleet mayAdd={maySign} />}
        {data !== undefined && data.hosts.signed + data.hosts.waiting > 0 && <Fleet fleet={data} />}
      </PageSection>
    </>
  );
}

function Fleet({ fleet }: { fleet: Summary }): React.ReactNode {
  return (
    <Stack hasGutter>
      <StackItem>
        <div className="oms-even">
          <Hosts {...fleet} />
          <Guests {...fleet} />
          <Jobs {...fleet} />
        </div>
      </StackItem>
      <StackItem>
        <Capacity {...fleet} />
      </StackItem>
      <StackItem>
        <Attention {...fleet} />
      </StackItem>
    </Stack>
  );
}

function Figure({
  title,
  to,
  number,
  children,
}: {
  title: string;
  to: string;
  number: number;
  children: React.ReactNode;
}): React.ReactNode {
  return (
    <Card isFullHeight>
      <CardTitle component="h2">
        <Link to={to}>{title}</Link>
      </CardTitle>
      <CardBody>
        <div className="oms-figure">{number}</div>
        {children}
      </CardBody>
    </Card>
  );
}

function Hosts({ hosts }: Pick<Summary, "hosts">): React.ReactNode {
  return (
    <Figure title={said.hosts} to="/hosts" number={hosts.signed}>
      <div>{said.connected(hosts.connected, hosts.signed)}</div>
      {hosts.waiting > 0 && <Link to="/hosts">{said.waiting(hosts.waiting)}</Link>}
    </Figure>
  );
}

function Guests({ guests }: Pick<Summary, "guests">): React.ReactNode {
  const { running = 0, crashed = 0, unknown = 0 } = guests.states;
  const all = guests.kvm + guests.openvz;
  return (
    <Figure title={said.guests} to="/guests" number={all}>
      <div>{said.running(running, all)}</div>
      <div className="oms-subtle">{said.kinds(guests.kvm, guests.openvz)}</div>
      {crashed > 0 && <Link to="/guests?state=crashed">{said.crashed(crashed)}</Link>}
      {unknown > 0 && <Link to="/guests?state=unknown">{said.unknown(unknown)}</Link>}
    </Figure>
  );
}

function Jobs({ unfinished_jobs: unfinished, failed_jobs: failed }: Summary): React.ReactNode {
  return (
    <Figure title={said.jobs} to="/jobs" number={unfinished}>
      <div>{said.unfinished(unfinished)}</div>
      {failed > 0 ? (
        <Link to="/jobs?state=failed">{said.failed(failed)}</Link>
      ) : (
        <div className="oms-subtle">{said.failed(failed)}</div>
      )}
    </Figure>
  );
}

function Capacity({ capacity }: Pick<Summary, "capacity">): React.ReactNode {
  const { cpus, cpu_percent: cpu, memory_mb, memory_used_mb, disk_mb, disk_used_mb } = capacity;
  const rows = [
    { name: said.cpu(cpus), percent: cpus > 0 ? cpu : null },
    {
      name: said.memory,
      percent: share(memory_used_mb, memory_mb),
      text: said.used(mb(memory_used_mb), mb(memory_mb)),
    },
    {
      name: said.disks,
      percent: share(disk_used_mb, disk_mb),
      text: said.used(mb(disk_used_mb), mb(disk_mb)),
    },
  ];
  return (
    <Card>
      <CardTitle component="h2">{said.capacity}</CardTitle>
      <CardBody>
        <dl className="oms-capacity">
          {rows.map(({ name, percent, text }) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>
                <Meter percent={percent} label={name} text={text} form="wide" />
              </dd>
            </div>
          ))}
        </dl>
      </CardBody>
    </Card>
  );
}

function Attention({ attention, needing_attention: all }: Summary): React.ReactNode {
  return (
    <Card>
      <CardTitle component="h2">{said.attention}</CardTitle>
      <CardBody>
        {attention.length === 0 && said.allWell}
        <ul className="oms-attention-list">
          {attention.slice(0, 10).map(({ host, attention: reasons }) => (
            <li key={host}>
              <Icon status="warning">
                <ExclamationTriangleIcon />
              </Icon>{" "}
              <Link to={`/hosts/${host}`} className="oms-break">
                {host}
              </Link>{" "}
              <span className="oms-subtle">
                {reasons.map((reason) => words.hosts.attention[reason]).join(". ")}
              </span>
            </li>
          ))}
        </ul>
        {all > 10 && <Link to="/hosts?state=attention">{said.more(all - 10)}</Link>}
      </CardBody>
    </Card>
  );
}
