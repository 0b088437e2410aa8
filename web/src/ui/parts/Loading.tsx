import { Bullseye, Spinner } from "@patternfly/react-core";
import { words } from "../messages";

/** A page that is on its way. */
export function Loading(): React.ReactNode {
  return (
    <Bullseye className="oms-loading">
      <Spinner aria-label={words.shell.loading} />
    </Bullseye>
  );
}
