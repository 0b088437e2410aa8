import { words } from "../../messages";
import { PageHead } from "../../parts/PageHead";

export function Component(): React.ReactNode {
  return <PageHead title={words.shell.nav.audit} />;
}
