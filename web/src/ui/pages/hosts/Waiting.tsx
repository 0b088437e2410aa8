// Hosts that ask to be let in: what there is to compare, and the two answers.
import {
  Alert,
  Button,
  Card,
  CardBody,
  CardHeader,
  CardTitle,
  Checkbox,
  Content,
  PageSection,
} from "@patternfly/react-core";
import { useState } from "react";
import type { WaitingHost } from "../../api/contract";
import { useAnswer, useChange, useMay } from "../../api/queries";
import { usePace } from "../../events/feed";
import { words } from "../../messages";
import { Confirm } from "../../parts/Confirm";
import { Fingerprint } from "../../parts/Copyable";
import { say } from "../../parts/toasts";
import { mb } from "../../parts/units";
import { When } from "../../parts/When";
import "./waiting.css";

const said = words.hosts.waiting;

/** What is asked of one of them. */
interface Asked {
  host: WaitingHost;
  what: "sign" | "reject";
}

export function Waiting(): React.ReactNode {
  const { data = [] } = useAnswer("fleetservices.describe_requests", {}, { every: usePace(5000) });
  const [asked, setAsked] = useState<Asked | null>(null);
  if (data.length === 0 && asked === null) return null;
  return (
    <PageSection>
      <Card isCompact className="oms-waiting" component="section" aria-labelledby="waiting">
        <CardHeader>
          <CardTitle component="h2" id="waiting">
            {said.title} ({data.length})
          </CardTitle>
        </CardHeader>
        <CardBody>
          <Content component="p">{said.text}</Content>
          <ul>
            {data.map((host) => (
              <Request key={host.key_sha256} host={host} ask={(what) => setAsked({ host, what })} />
            ))}
          </ul>
        </CardBody>
      </Card>
      {asked?.what === "sign" && <Sign host={asked.host} close={() => setAsked(null)} />}
      {asked?.what === "reject" && <Reject name={asked.host.name} close={() => setAsked(null)} />}
    </PageSection>
  );
}

function Request({ host, ask }: { host: WaitingHost; ask: (what: Asked["what"]) => void }): React.ReactNode {
  const maySign = useMay("funcservices.sign_key");
  const facts = [
    host.distribution,
    host.architecture,
    host.hypervisors.join(" + "),
    host.cpus > 0 ? said.facts(host.cpus, mb(host.memory_mb)) : "",
  ];
  return (
    <li className="oms-request">
      <div className="oms-request-about">
        <strong className="oms-break">{host.name}</strong>
        <span className="oms-subtle">
          <When at={host.asked} />, {said.from(host.address)}
        </span>
        <span className="oms-subtle">{facts.filter(Boolean).join(" · ")}</span>
        <Fingerprint sha256={host.key_sha256} what={said.key(host.name)} />
        {host.rival && <Alert isInline isPlain variant="danger" title={said.rival} />}
      </div>
      {maySign && (
        <div className="oms-request-answers">
          <Button
            variant="secondary"
            isDisabled={host.rival}
            aria-label={said.signFor(host.name)}
            onClick={() => ask("sign")}
          >
            {said.sign}
          </Button>
          <Button variant="link" isDanger aria-label={said.rejectFor(host.name)} onClick={() => ask("reject")}>
            {said.reject}
          </Button>
        </div>
      )}
    </li>
  );
}

function Sign({ host, close }: { host: WaitingHost; close: () => void }): React.ReactNode {
  const [isCompared, setCompared] = useState(false);
  const { sign: here } = words.hosts;
  const sign = useChange("funcservices.sign_key", {
    quiet: true,
    done: () => {
      say("success", here.done(host.name), { text: here.doneText });
      close();
    },
  });
  return (
    <Confirm
      title={here.title(host.name)}
      confirm={here.button}
      isBusy={sign.isPending}
      isReady={isCompared}
      failure={sign.error}
      // OMS signs this key or none, should another one ask by now.
      onConfirm={() => sign.mutate({ server_hostname: host.name, key_sha256: host.key_sha256 })}
      onClose={close}
    >
      <Content component="p">{here.text}</Content>
      <Fingerprint sha256={host.key_sha256} what={said.key(host.name)} />
      <Checkbox
        id="compared"
        label={here.compared}
        isChecked={isCompared}
        onChange={(_, now) => setCompared(now)}
        className="oms-compared"
      />
    </Confirm>
  );
}

function Reject({ name, close }: { name: string; close: () => void }): React.ReactNode {
  const { reject: here } = words.hosts;
  const reject = useChange("funcservices.remove_requests", {
    quiet: true,
    done: () => {
      say("success", here.done(name));
      close();
    },
  });
  return (
    <Confirm
      title={here.title(name)}
      confirm={here.button}
      isDanger
      isBusy={reject.isPending}
      failure={reject.error}
      onConfirm={() => reject.mutate({ hostname_list: [name] })}
      onClose={close}
    >
      <Content component="p">{here.text}</Content>
    </Confirm>
  );
}
