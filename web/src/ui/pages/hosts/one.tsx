// One host: how it is, what it says of itself, and by which key it is known.
import {
  Button,
  Card,
  CardBody,
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
  Label,
  LabelGroup,
  PageSection,
} from "@patternfly/react-core";
import { useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import type { HostDescription } from "../../api/contract";
import { useAnswer, useMay } from "../../api/queries";
import { usePace } from "../../events/feed";
import { words } from "../../messages";
import { Fingerprint } from "../../parts/Copyable";
import { Failure } from "../../parts/Failure";
import { Loading } from "../../parts/Loading";
import { PageHead } from "../../parts/PageHead";
import { When } from "../../parts/When";
import { HostState } from "./HostList";
import { RemoveHost } from "./RemoveHost";

const said = words.hosts;

export function Component(): React.ReactNode {
  const { host: name = "" } = useParams();
  const { data, error, refetch } = useAnswer(
    "funcservices.describe_host",
    { server_hostname: name },
    { every: usePace() },
  );
  const mayRemove = useMay("funcservices.remove_signed");
  const [removes, setRemoves] = useState(false);
  const go = useNavigate();
  return (
    <>
      <PageHead
        title={name}
        within={said.title}
        status={data && <HostState host={{ state: data.status === 1 ? "connected" : "away", attention: [] }} />}
        text={<Link to={`/guests?host=${name}`}>{said.one.guests}</Link>}
        actions={
          mayRemove &&
          data && (
            <Button variant="secondary" isDanger onClick={() => setRemoves(true)}>
              {said.remove.action}
            </Button>
          )
        }
      />
      <PageSection isFilled>
        <Failure of={error} retry={() => void refetch()} />
        {data === undefined && error === null && <Loading />}
        {data !== undefined && <Described host={data} />}
      </PageSection>
      {removes && <RemoveHost name={name} close={() => setRemoves(false)} removed={() => void go("/hosts")} />}
    </>
  );
}

function Described({ host }: { host: HostDescription }): React.ReactNode {
  return (
    <Card>
      <CardBody>
        <DescriptionList isHorizontal isCompact>
          {rows(host).map(([term, value]) => (
            <DescriptionListGroup key={term}>
              <DescriptionListTerm>{term}</DescriptionListTerm>
              <DescriptionListDescription className="oms-break">{value}</DescriptionListDescription>
            </DescriptionListGroup>
          ))}
        </DescriptionList>
      </CardBody>
    </Card>
  );
}

function rows(host: HostDescription): [term: string, value: React.ReactNode][] {
  const { one } = said;
  return [
    [one.type, host.type],
    [one.tags, <Tags key="tags" host={host} />],
    [one.seen, <When key="seen" at={host.last_seen} />],
    [one.agent, host.agent_version],
    ...Object.entries(host.facts).map(([fact, value]): [string, React.ReactNode] => [
      one.facts[fact as keyof typeof one.facts] ?? fact,
      Array.isArray(value) ? value.join(", ") : value,
    ]),
    [one.signed, <When key="signed" at={host.signed_at} />],
    [one.ends, <When key="ends" at={host.certificate_not_after} />],
    [one.key, <Fingerprint key="key" sha256={host.key_sha256} what={one.key} />],
  ];
}

function Tags({ host }: { host: HostDescription }): React.ReactNode {
  return (
    <LabelGroup numLabels={10} aria-label={said.one.tags}>
      {host.tags.map(({ tag, level }) => (
        <Label key={`${level} ${tag}`} isCompact color={level === 1 ? "blue" : "grey"}>
          {tag}
        </Label>
      ))}
    </LabelGroup>
  );
}
