// A new guest: only what can succeed is offered, with the limits and what is free.
import { Card, CardBody, Form, FormGroup, PageSection, Radio } from "@patternfly/react-core";
import { useEffect, useState } from "react";
import { useNavigate, useSearchParams } from "react-router";
import type { FleetHost } from "../../../api/contract";
import { useAnswer } from "../../../api/queries";
import { words } from "../../../messages";
import { Failure } from "../../../parts/Failure";
import { Choice } from "../../../parts/form/Choice";
import { TextField } from "../../../parts/form/TextField";
import { HostField } from "../../../parts/guest/HostField";
import { PageHead } from "../../../parts/PageHead";
import { mb } from "../../../parts/units";
import { FromIso } from "./FromIso";
import { FromTemplate } from "./FromTemplate";

const said = words.guests.creation;
const WHATS = ["machine", "container", "iso"] as const;
type What = (typeof WHATS)[number];

export function Component(): React.ReactNode {
  const go = useNavigate();
  const [asked] = useSearchParams();
  const [what, setWhat] = useState<What>(WHATS.find((it) => it === asked.get("what")) ?? "machine");
  const [host, setHost] = useState(asked.get("host") ?? "");
  const [source, setSource] = useState(asked.get("source") ?? "");
  const [name, setName] = useState("");
  const [at, setAt] = useState<FleetHost>();
  const kind = what === "container" ? "openvz" : "kvm";
  const isReady = at !== undefined && source !== "";
  const made = (): void => void go(`/guests?host=${host}`);

  return (
    <>
      <PageHead title={said.title} within={words.shell.nav.guests} />
      <PageSection>
        <Card>
          <CardBody>
            <Form isWidthLimited onSubmit={(event) => event.preventDefault()}>
              <FormGroup role="radiogroup" label={said.what} fieldId="what">
                {WHATS.map((it) => (
                  <Radio
                    key={it}
                    id={`what-${it}`}
                    name="what"
                    label={said.whats[it]}
                    isChecked={what === it}
                    onChange={() => {
                      setWhat(it);
                      setSource("");
                    }}
                  />
                ))}
              </FormGroup>
              <HostChoice
                kind={kind}
                value={host}
                onFound={setAt}
                onChange={(chosen) => {
                  setHost(chosen);
                  setSource("");
                }}
              />
              {at && (
                <Source key={`${what} ${host}`} what={what} host={host} value={source} onChange={setSource} />
              )}
              {isReady && (
                <TextField
                  id="name"
                  label={said.name}
                  value={name}
                  onChange={setName}
                  help={said.nameHelp}
                  isRequired
                />
              )}
            </Form>
            {isReady && what === "iso" && <FromIso host={host} iso={source} name={name} onMade={made} />}
            {isReady && what !== "iso" && (
              <FromTemplate
                key={`${kind} ${host} ${source}`}
                kind={kind}
                host={host}
                template={source}
                name={name}
                onMade={made}
              />
            )}
          </CardBody>
        </Card>
      </PageSection>
    </>
  );
}

interface HostProps {
  kind: "kvm" | "openvz";
  value: string;
  onChange: (host: string) => void;
  /** The host that is chosen, if it can have such a guest. */
  onFound: (host: FleetHost | undefined) => void;
}

function HostChoice({ kind, value, onChange, onFound }: HostProps): React.ReactNode {
  const hosts = useAnswer(
    "fleetservices.list_hosts",
    { search: value, state: "connected", hypervisor: kind, most: 0 },
    { enabled: value !== "" },
  );
  const there = hosts.data?.hosts.find((it) => it.name === value);
  const [before, setBefore] = useState<FleetHost>();
  if (there !== undefined && there !== before) setBefore(there);
  // A host whose connection breaks for a moment takes nothing away of what was typed for it.
  const isAway = there === undefined && before?.name === value && before.hypervisors.includes(kind);
  const at = isAway ? before : there;
  useEffect(() => onFound(at), [at, onFound]);
  return (
    <HostField
      id="host"
      label={said.host}
      kind={kind}
      value={value}
      onChange={onChange}
      help={at && free(at)}
      wrong={isAway ? said.away(value) : undefined}
      none={said.noHost}
    />
  );
}

function free(host: FleetHost): string | undefined {
  if (host.memory_used_mb === null || host.disk_mb === null || host.disk_used_mb === null) return undefined;
  return said.free(mb(host.memory_mb - host.memory_used_mb), mb(host.disk_mb - host.disk_used_mb));
}

const LISTS = {
  machine: "kvmservices.list_templates",
  container: "ovzservices.list_templates",
  iso: "isoservices.list_images",
} as const;

interface SourceProps {
  what: What;
  host: string;
  value: string;
  onChange: (source: string) => void;
}

/** What it is made of: a template or an ISO image that the host has. */
function Source({ what, host, value, onChange }: SourceProps): React.ReactNode {
  const listed = useAnswer(LISTS[what], { server_hostname: host });
  const isIso = what === "iso";
  if (listed.data === undefined && listed.error)
    return <Failure of={listed.error} retry={() => void listed.refetch()} />;
  return (
    <Choice
      id="source"
      label={isIso ? said.iso : said.template}
      value={value}
      onChange={onChange}
      placeholder={isIso ? said.chooseIso : said.chooseTemplate}
      options={(listed.data ?? []).map((it) => ({ value: it, label: it }))}
      wrong={listed.data?.length === 0 ? (isIso ? said.noIso : said.noTemplate) : undefined}
    />
  );
}
