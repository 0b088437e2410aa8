// One host: how it is and was, its network, its images and its volumes.
import {
  Alert,
  Button,
  EmptyState,
  EmptyStateActions,
  EmptyStateBody,
  EmptyStateFooter,
  PageSection,
  Tab,
  Tabs,
  TabTitleText,
} from "@patternfly/react-core";
import { SearchIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import type { FleetHost } from "../../../api/contract";
import { useAnswer, useMay } from "../../../api/queries";
import { usePace } from "../../../events/feed";
import { words } from "../../../messages";
import { openTerminal } from "../../../parts/consoles";
import { Failure } from "../../../parts/Failure";
import { Loading } from "../../../parts/Loading";
import { PageHead } from "../../../parts/PageHead";
import { useTitle } from "../../../parts/title";
import { HostState } from "../HostList";
import { RemoveHost } from "../RemoveHost";
import { Images } from "./Images";
import { Network } from "./Network";
import { Overview } from "./Overview";
import { Volumes } from "./Volumes";

const said = words.host;
const TABS = [
  { key: "overview", Body: Overview },
  { key: "network", Body: Network },
  { key: "images", Body: Images },
  { key: "volumes", Body: Volumes },
] as const;

export function Component(): React.ReactNode {
  const { host = "" } = useParams();
  const pace = usePace();
  const listed = useAnswer(
    "fleetservices.list_hosts",
    { search: host, most: 0 },
    pace === undefined ? {} : { every: pace },
  );
  if (listed.isPending) return <Loading />;
  const found = listed.data?.hosts.find(({ name }) => name === host);
  if (found !== undefined) return <Page key={host} host={found} />;
  return (
    <PageSection>
      {listed.error ? <Failure of={listed.error} retry={() => void listed.refetch()} /> : <Gone name={host} />}
    </PageSection>
  );
}

function Gone({ name }: { name: string }): React.ReactNode {
  useTitle(said.gone);
  return (
    <EmptyState titleText={said.gone} headingLevel="h1" icon={SearchIcon}>
      <EmptyStateBody>{said.goneText(name)}</EmptyStateBody>
      <EmptyStateFooter>
        <EmptyStateActions>
          <Button variant="link" component={(props) => <Link {...props} to="/hosts" />}>
            {said.all}
          </Button>
        </EmptyStateActions>
      </EmptyStateFooter>
    </EmptyState>
  );
}

function Page({ host }: { host: FleetHost }): React.ReactNode {
  const { tab } = useParams();
  const go = useNavigate();
  const isHere = host.state === "connected";
  // A host whose connection breaks for a moment takes no dialog away from somebody, and no upload.
  const [wasHere, setWasHere] = useState(isHere);
  if (isHere && !wasHere) setWasHere(true);
  const shown = TABS.find(({ key }) => key === tab)?.key ?? "overview";
  return (
    <>
      <PageHead
        title={host.name}
        within={words.shell.nav.hosts}
        status={<HostState host={host} />}
        text={<Link to={`/guests?host=${host.name}`}>{said.guests(host.guests)}</Link>}
        actions={<HeadActions host={host} isHere={isHere} />}
      />
      <PageSection type="tabs">
        <Tabs
          activeKey={shown}
          onSelect={(_, key) => void go(key === "overview" ? `/hosts/${host.name}` : `/hosts/${host.name}/${key}`)}
          aria-label={host.name}
          usePageInsets
          mountOnEnter
          unmountOnExit
        >
          {TABS.map(({ key, Body }) => (
            <Tab key={key} eventKey={key} title={<TabTitleText>{said.tabs[key]}</TabTitleText>}>
              <div className="oms-stack oms-tab">
                {host.attention.map((why) => (
                  <Alert
                    key={why}
                    isInline
                    variant="warning"
                    title={
                      why === "away" ? (key === "overview" ? said.away : said.awayElsewhere) : said.attention[why]
                    }
                  />
                ))}
                {(wasHere || key === "overview") && <Body host={host} />}
              </div>
            </Tab>
          ))}
        </Tabs>
      </PageSection>
    </>
  );
}

function HeadActions({ host, isHere }: { host: FleetHost; isHere: boolean }): React.ReactNode {
  const mayCreate = useMay("kvmservices.deploy_template_for_vm");
  const mayRemove = useMay("funcservices.remove_signed");
  const [isRemoving, setRemoving] = useState(false);
  const go = useNavigate();
  return (
    <div className="oms-buttons">
      {mayCreate && isHere && (
        <Button component={(props) => <Link {...props} to={`/guests/create?host=${host.name}`} />}>
          {said.createGuest}
        </Button>
      )}
      {mayRemove && isHere && (
        <Button variant="secondary" onClick={() => void openTerminal(host.name)}>
          {said.terminal}
        </Button>
      )}
      {mayRemove && (
        <Button variant="secondary" isDanger onClick={() => setRemoving(true)}>
          {words.hosts.remove.action}
        </Button>
      )}
      {isRemoving && (
        <RemoveHost name={host.name} close={() => setRemoving(false)} removed={() => void go("/hosts")} />
      )}
    </div>
  );
}
