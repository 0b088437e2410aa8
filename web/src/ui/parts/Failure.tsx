import { Alert, Button } from "@patternfly/react-core";
import { words } from "../messages";

/** Why something could not be had or done, in place, in OMS's own words. */
export function Failure({
  of,
  title,
  retry,
}: {
  of: Error | null;
  title?: string;
  retry?: () => void;
}): React.ReactNode {
  if (of === null) return null;
  return (
    <Alert
      isInline
      isLiveRegion
      variant="danger"
      title={title ?? words.parts.failed}
      actionLinks={
        retry && (
          <Button variant="link" isInline onClick={retry}>
            {words.parts.retry}
          </Button>
        )
      }
    >
      {of.message}
    </Alert>
  );
}
