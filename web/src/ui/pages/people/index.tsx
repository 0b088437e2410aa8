// Accounts: who may come in and what he may do, who is here, and the programs that are.
import { PageSection, Tab, Tabs, TabTitleText } from "@patternfly/react-core";
import { useSearchParams } from "react-router";
import { words } from "../../messages";
import { PageHead } from "../../parts/PageHead";
import { Sessions } from "../../parts/people/Sessions";
import { Tokens } from "../../parts/people/Tokens";
import { Users } from "./Users";

const said = words.people;

const TABS = { users: Users, sessions: Sessions, tokens: Tokens };
type TabName = keyof typeof TABS;

export function Component(): React.ReactNode {
  const [address, setAddress] = useSearchParams();
  const asked = address.get("tab") ?? "users";
  const tab: TabName = asked in TABS ? (asked as TabName) : "users";
  const Shown = TABS[tab];
  return (
    <>
      <PageHead title={said.title} />
      <PageSection type="tabs">
        <Tabs
          activeKey={tab}
          onSelect={(_, next) => setAddress(next === "users" ? {} : { tab: String(next) })}
          usePageInsets
          aria-label={said.title}
        >
          {Object.keys(TABS).map((name) => (
            <Tab
              key={name}
              eventKey={name}
              title={<TabTitleText>{said.tabs[name as TabName]}</TabTitleText>}
              tabContentId="people-tab"
            />
          ))}
        </Tabs>
      </PageSection>
      <PageSection isFilled id="people-tab" role="tabpanel" aria-label={said.tabs[tab]}>
        <Shown />
      </PageSection>
    </>
  );
}
