// What a host says of itself, and by which key it is known.
import { Label, LabelGroup } from "@patternfly/react-core";
import type { HostDescription } from "../../../api/contract";
import { useAnswer } from "../../../api/queries";
import { usePace } from "../../../events/feed";
import { words } from "../../../messages";
import { Fingerprint } from "../../../parts/Copyable";
import { type Detail, Details } from "../../../parts/Details";
import { Failure } from "../../../parts/Failure";
import { mb } from "../../../parts/units";
import { When } from "../../../parts/When";

const said = words.hosts;

export function About({ name }: { name: string }): React.ReactNode {
  const { data, error, refetch } = useAnswer(
    "funcservices.describe_host",
    { server_hostname: name },
    { every: usePace() },
  );
  if (data === undefined) return <Failure of={error} retry={() => void refetch()} />;
  return <Details title={words.host.about} lines={lines(data)} />;
}

function lines(host: HostDescription): Detail[] {
  const { one } = said;
  return [
    [one.type, host.type],
    [one.tags, <Tags key="tags" host={host} />],
    [one.seen, <When key="seen" at={host.last_seen} isExact />],
    [one.agent, host.agent_version],
    ...Object.entries(host.facts).map(([fact, value]): [string, React.ReactNode] => [
      one.facts[fact as keyof typeof one.facts] ?? fact,
      shown(fact, value),
    ]),
    [one.signed, <When key="signed" at={host.signed_at} isExact />],
    [one.ends, <When key="ends" at={host.certificate_not_after} isExact />],
    [one.key, <Fingerprint key="key" sha256={host.key_sha256} what={one.key} />],
  ];
}

function shown(fact: string, value: unknown): React.ReactNode {
  if (fact === "memory_mb") return mb(Number(value));
  const text = Array.isArray(value) ? value.join(", ") : String(value);
  return fact === "ssh_host_keys" && text !== "" ? <code className="oms-subtle">{text}</code> : text;
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
