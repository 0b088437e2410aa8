import { NotificationDrawer, NotificationDrawerBody, NotificationDrawerHeader } from "@patternfly/react-core";
import { words } from "../messages";

/** The jobs that are under way, and the last that ended. */
export function JobsDrawer({ close }: { close: () => void }): React.ReactNode {
  return (
    <NotificationDrawer>
      <NotificationDrawerHeader title={words.shell.jobs} onClose={close} />
      <NotificationDrawerBody />
    </NotificationDrawer>
  );
}
