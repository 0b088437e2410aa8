import { Alert, AlertActionCloseButton, AlertGroup } from "@patternfly/react-core";
import { Link } from "react-router";
import { words } from "../messages";
import { useStore } from "../parts/store";
import { dismiss, toasts } from "../parts/toasts";

const GOOD_NEWS_MS = 6000;

/** What is said at the corner. Screen readers hear it when it comes. */
export function Toasts(): React.ReactNode {
  const shown = useStore(toasts);
  return (
    <AlertGroup isToast isLiveRegion aria-live="polite">
      {shown.map(({ id, kind, title, text, job }) => (
        <Alert
          key={id}
          variant={kind}
          title={title}
          timeout={kind === "success" || kind === "info" ? GOOD_NEWS_MS : false}
          onTimeout={() => dismiss(id)}
          actionClose={
            <AlertActionCloseButton title={`${words.toasts.close}: ${title}`} onClose={() => dismiss(id)} />
          }
          actionLinks={job === undefined ? undefined : <Link to={`/jobs/${job}`}>{words.toasts.toJob}</Link>}
        >
          {text}
        </Alert>
      ))}
    </AlertGroup>
  );
}
