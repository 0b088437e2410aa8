import {
  Button,
  EmptyState,
  EmptyStateActions,
  EmptyStateBody,
  EmptyStateFooter,
  ExpandableSection,
  PageSection,
} from "@patternfly/react-core";
import { useRouteError } from "react-router";
import { words } from "../messages";
import { useTitle } from "../parts/title";

/** What is shown in place of a page that threw. */
export function Broken(): React.ReactNode {
  const failure = useRouteError();
  const said = words.shell.broken;
  useTitle(said.title);
  return (
    <PageSection isFilled>
      <EmptyState titleText={said.title} headingLevel="h1" status="danger" variant="lg">
        <EmptyStateBody>
          <p>{said.text}</p>
          <ExpandableSection toggleText={said.details}>
            <code>{failure instanceof Error ? failure.message : String(failure)}</code>
          </ExpandableSection>
        </EmptyStateBody>
        <EmptyStateFooter>
          <EmptyStateActions>
            <Button onClick={() => location.reload()}>{said.again}</Button>
          </EmptyStateActions>
        </EmptyStateFooter>
      </EmptyState>
    </PageSection>
  );
}
