import {
  Button,
  EmptyState,
  EmptyStateActions,
  EmptyStateBody,
  EmptyStateFooter,
  PageSection,
} from "@patternfly/react-core";
import { SearchIcon } from "@patternfly/react-icons";
import { useLocation, useNavigate } from "react-router";
import { words } from "../messages";
import { useTitle } from "../parts/title";

/** What is shown at an address that is no page's. */
export function NotFound(): React.ReactNode {
  const { pathname } = useLocation();
  const go = useNavigate();
  const said = words.shell.notFound;
  useTitle(said.title);
  return (
    <PageSection isFilled>
      <EmptyState titleText={said.title} headingLevel="h1" icon={SearchIcon} variant="lg">
        <EmptyStateBody>{said.text(pathname)}</EmptyStateBody>
        <EmptyStateFooter>
          <EmptyStateActions>
            <Button onClick={() => void go("/")}>{said.home}</Button>
          </EmptyStateActions>
        </EmptyStateFooter>
      </EmptyState>
    </PageSection>
  );
}
