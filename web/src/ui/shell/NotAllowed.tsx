import { EmptyState, EmptyStateBody, PageSection } from "@patternfly/react-core";
import { LockIcon } from "@patternfly/react-icons";
import { useSession } from "../api/session";
import { words } from "../messages";
import { useTitle } from "../parts/title";

/** In place of a page that is for another role, to which an address led. */
export function NotAllowed({ page }: { page: string }): React.ReactNode {
  const { name, role } = useSession();
  const said = words.shell.notAllowed;
  useTitle(page);
  return (
    <PageSection isFilled>
      <EmptyState titleText={said.title(page)} headingLevel="h1" icon={LockIcon} variant="lg">
        <EmptyStateBody>{said.text(name, words.shell.user.role[role])}</EmptyStateBody>
      </EmptyState>
    </PageSection>
  );
}
