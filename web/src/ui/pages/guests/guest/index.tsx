// One guest: how it is, what it uses, its settings and snapshots, and all that can be done with it.
import { Button, EmptyState, EmptyStateBody, PageSection, Tab, Tabs, TabTitleText } from "@patternfly/react-core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate, useParams } from "react-router";
import type { FleetGuest, GuestPage } from "../../../api/contract";
import { useAnswer, useMay } from "../../../api/queries";
import { useSession } from "../../../api/session";
import { usePace } from "../../../events/feed";
import { words } from "../../../messages";
import { openConsole } from "../../../parts/consoles";
import { Failure } from "../../../parts/Failure";
import { type ActionName, pageOf, possible } from "../../../parts/guest/actions";
import { GuestAsking, isAsked, useAct } from "../../../parts/guest/GuestAsking";
import { type Asking, GuestMenu } from "../../../parts/guest/GuestMenu";
import { GuestState } from "../../../parts/guest/GuestState";
import { Loading } from "../../../parts/Loading";
import { PageHead } from "../../../parts/PageHead";
import { useCrumb } from "../../../shell/Crumbs";
import { Overview } from "./Overview";
import { Settings } from "./Settings";
import { Snapshots } from "./Snapshots";
import { GuestTags } from "./Tags";
import { Elsewhere, KindAndHost } from "./Whereabouts";

const said = words.guests;
const FIRST: readonly ActionName[] = ["start", "resume", "shutdown"];

export function Component(): React.ReactNode {
  const { host = "", kind = "kvm", id = "" } = useParams();
  const pace = usePace();
  const listed = useAnswer(
    "fleetservices.list_guests",
    { search: id, host, kind: kind === "openvz" ? "openvz" : "kvm", most: 0 },
    { every: pace, known: useListed({ host, kind, id }) },
  );
  if (listed.isPending) return <Loading />;
  const guest = listed.data?.guests.find((found) => found.id === id);
  if (guest !== undefined) return <Page key={pageOf(guest)} guest={guest} />;
  return (
    <PageSection>
      {listed.error ? (
        <Failure of={listed.error} retry={() => void listed.refetch()} />
      ) : (
        <EmptyState titleText={said.page.gone} headingLevel="h1">
          <EmptyStateBody>
            {said.page.goneText(id, host)}
            <Elsewhere id={id} kind={kind === "openvz" ? "openvz" : "kvm"} />
          </EmptyStateBody>
        </EmptyState>
      )}
    </PageSection>
  );
}

/** The guest as a list said of it that somebody has looked at: its page is there at once. */
function useListed(asked: { host: string; kind: string; id: string }): () => GuestPage | undefined {
  const client = useQueryClient();
  return () => {
    const lists = client.getQueriesData<GuestPage>({ queryKey: ["fleetservices.list_guests"] });
    const listed = lists.flatMap(([, list]) => list?.guests ?? []);
    const guest = listed.find(
      ({ host, kind, id }) => host === asked.host && kind === asked.kind && id === asked.id,
    );
    return guest && { guests: [guest], total: 1 };
  };
}

function Page({ guest }: { guest: FleetGuest }): React.ReactNode {
  const { tab = "overview" } = useParams();
  const go = useNavigate();
  const [asked, setAsked] = useState<Asking>();
  const actNow = useAct();
  const mayChange = useMay("kvmservices.update_vm_settings");
  useCrumb(guest.name);
  const tabs = [
    { key: "overview", title: said.tabs.overview, Body: Overview },
    ...(mayChange ? [{ key: "settings", title: said.tabs.settings, Body: Settings }] : []),
    ...(guest.kind === "kvm" ? [{ key: "snapshots", title: said.tabs.snapshots, Body: Snapshots }] : []),
  ];

  function ask(what: Asking): void {
    if (isAsked(what)) setAsked(what);
    else void actNow(what as ActionName, guest);
  }

  return (
    <>
      <PageHead
        title={guest.name}
        within={words.shell.nav.guests}
        status={<GuestState state={guest.state} />}
        text={<KindAndHost guest={guest} />}
        actions={<HeadActions guest={guest} onAsk={ask} />}
      />
      <PageSection type="tabs">
        <Tabs
          activeKey={tabs.some(({ key }) => key === tab) ? tab : "overview"}
          onSelect={(_, key) => void go(key === "overview" ? pageOf(guest) : `${pageOf(guest)}/${key}`)}
          aria-label={guest.name}
          usePageInsets
          mountOnEnter
          unmountOnExit
        >
          {tabs.map(({ key, title, Body }) => (
            <Tab key={key} eventKey={key} title={<TabTitleText>{title}</TabTitleText>}>
              <div className="oms-stack oms-tab">
                {Body === Overview && <GuestTags guest={guest} mayChange={mayChange} />}
                <Body guest={guest} />
              </div>
            </Tab>
          ))}
        </Tabs>
      </PageSection>
      {asked && (
        <GuestAsking
          guest={guest}
          what={asked}
          onClose={() => setAsked(undefined)}
          onGone={() => void go("/guests", { replace: true })}
        />
      )}
    </>
  );
}

function HeadActions({ guest, onAsk }: { guest: FleetGuest; onAsk: (what: Asking) => void }): React.ReactNode {
  const { role } = useSession();
  const mayLook = useMay("consoleservices.open_console") && guest.state === "running";
  const first = FIRST.filter((name) => possible(guest, role).includes(name));
  return (
    <div className="oms-buttons">
      {first.map((name) => (
        <Button key={name} variant={name === "shutdown" ? "secondary" : "primary"} onClick={() => onAsk(name)}>
          {said.actions[name]}
        </Button>
      ))}
      {mayLook && (
        <Button variant="secondary" onClick={() => void openConsole(guest, guest.kind === "kvm" ? "vnc" : "text")}>
          {guest.kind === "kvm" ? said.actions.screen : said.actions.text}
        </Button>
      )}
      <GuestMenu guest={guest} onAsk={onAsk} label={words.parts.actions} />
    </div>
  );
}
