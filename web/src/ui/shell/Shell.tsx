import {
  Alert,
  Masthead,
  MastheadBrand,
  MastheadContent,
  MastheadLogo,
  MastheadMain,
  MastheadToggle,
  Nav,
  NavItem,
  NavList,
  Page,
  PageSection,
  PageSidebar,
  PageSidebarBody,
  PageToggleButton,
  SkipToContent,
  Toolbar,
  ToolbarContent,
  ToolbarGroup,
  ToolbarItem,
} from "@patternfly/react-core";
import { memo, Suspense, useState } from "react";
import { Link, Outlet, useLocation } from "react-router";
import { METHODS } from "../api/contract";
import { suffices, useSession } from "../api/session";
import { Feed, streamState, useListening } from "../events/feed";
import { words } from "../messages";
import { Loading } from "../parts/Loading";
import { useStore } from "../parts/store";
import { Crumbs } from "./Crumbs";
import { JobsDrawer } from "./JobsDrawer";
import { JobsToggle } from "./JobsToggle";
import { Logo } from "./Logo";
import { NotAllowed } from "./NotAllowed";
import { PLACES } from "./navigation";
import { Search } from "./Search";
import { UserMenu } from "./UserMenu";

const MAIN = "page";

/** The frame around every page of somebody who is logged in. It stays as it is while pages come and go in it. */
export const Shell = memo(function Shell() {
  const [showsJobs, setShowsJobs] = useState(false);
  return (
    <>
      <Feed />
      <Page
        masthead={<Head showsJobs={showsJobs} toggleJobs={() => setShowsJobs(!showsJobs)} />}
        sidebar={<Side />}
        isManagedSidebar
        skipToContent={<SkipToContent href={`#${MAIN}`}>{words.shell.skip}</SkipToContent>}
        mainContainerId={MAIN}
        notificationDrawer={showsJobs ? <JobsDrawer close={() => setShowsJobs(false)} /> : undefined}
        isNotificationDrawerExpanded={showsJobs}
        breadcrumb={<Crumbs />}
        isContentFilled
      >
        <Connection />
        <Suspense fallback={<Loading />}>
          <Allowed />
        </Suspense>
      </Page>
    </>
  );
});

/** The page, or that it is not for this role, where it lives by what its user may not call. */
function Allowed(): React.ReactNode {
  const { role } = useSession();
  const { pathname } = useLocation();
  const isListening = useListening();
  const place = PLACES.find(({ to }) => to !== "/" && (pathname === to || pathname.startsWith(`${to}/`)));
  if (place !== undefined && !suffices(role, METHODS[place.needs].may)) return <NotAllowed page={place.name} />;
  return isListening ? <Outlet /> : <Loading />;
}

function Head({ showsJobs, toggleJobs }: { showsJobs: boolean; toggleJobs: () => void }): React.ReactNode {
  return (
    <Masthead display={{ default: "inline" }}>
      <MastheadMain>
        <MastheadToggle>
          <PageToggleButton isHamburgerButton aria-label={words.shell.toggleNavigation} />
        </MastheadToggle>
        <MastheadBrand>
          <MastheadLogo
            component={(props) => (
              <Link {...props} to="/" aria-label={`${words.shell.short}: ${words.shell.product}`} />
            )}
          >
            <Logo />
          </MastheadLogo>
        </MastheadBrand>
      </MastheadMain>
      <MastheadContent>
        <Toolbar isStatic>
          <ToolbarContent>
            <ToolbarItem className="oms-search">
              <Search />
            </ToolbarItem>
            <ToolbarGroup align={{ default: "alignEnd" }} gap={{ default: "gapSm" }}>
              <ToolbarItem>
                <JobsToggle isExpanded={showsJobs} onClick={toggleJobs} />
              </ToolbarItem>
              <ToolbarItem>
                <UserMenu />
              </ToolbarItem>
            </ToolbarGroup>
          </ToolbarContent>
        </Toolbar>
      </MastheadContent>
    </Masthead>
  );
}

function Side(): React.ReactNode {
  const { pathname } = useLocation();
  const here = PLACES.find(({ to }) =>
    to === "/" ? pathname === "/" : pathname === to || pathname.startsWith(`${to}/`),
  );
  return <Places here={here?.to} />;
}

/** It stays while one goes about in the same place: whenever it is drawn, PatternFly has the page laid out at once. */
const Places = memo(function Places({ here }: { here: string | undefined }) {
  const { role } = useSession();
  return (
    <PageSidebar>
      <PageSidebarBody>
        <Nav aria-label={words.shell.navigation}>
          <NavList>
            {PLACES.filter(({ needs }) => suffices(role, METHODS[needs].may)).map(({ to, name }) => (
              <NavItem key={to} itemId={to} isActive={to === here}>
                <Link to={to} aria-current={to === here ? "page" : undefined}>
                  {name}
                </Link>
              </NavItem>
            ))}
          </NavList>
        </Nav>
      </PageSidebarBody>
    </PageSidebar>
  );
});

function Connection(): React.ReactNode {
  const state = useStore(streamState);
  return (
    <div aria-live="polite">
      {state === "lost" && (
        <PageSection type="subnav" hasBodyWrapper={false}>
          <Alert isInline isPlain variant="warning" title={words.shell.connection.lost} />
        </PageSection>
      )}
    </div>
  );
}
