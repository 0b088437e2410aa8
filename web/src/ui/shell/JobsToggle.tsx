import { NotificationBadge } from "@patternfly/react-core";
import { ListIcon } from "@patternfly/react-icons";
import { useAnswer } from "../api/queries";
import { usePace } from "../events/feed";
import { words } from "../messages";
import { withSides } from "../parts/jobs/sides";

/** How many jobs are under way, and the button that shows them. */
export function JobsToggle({
  isExpanded,
  onClick,
}: {
  isExpanded: boolean;
  onClick: () => void;
}): React.ReactNode {
  const { data = [] } = useAnswer("taskservices.list_tasks", { state: "unfinished" }, { every: usePace() });
  const open = withSides(data).length;
  return (
    <NotificationBadge
      variant={open > 0 ? "unread" : "read"}
      count={open}
      icon={<ListIcon />}
      isExpanded={isExpanded}
      aria-label={words.shell.jobsOpen(open)}
      onClick={onClick}
    />
  );
}
