// The first password of one's own: nothing else is open until it is chosen.
import { ActionGroup, Button, Content, Form } from "@patternfly/react-core";
import { begin, useSession } from "../../api/session";
import { words } from "../../messages";
import { useTitle } from "../../parts/title";
import { say } from "../../parts/toasts";
import { Front } from "../../shell/Front";
import { logOut } from "../../shell/UserMenu";
import { PasswordFields, usePasswordForm } from "./form";

const said = words.password;

export default function FirstPassword(): React.ReactNode {
  useTitle(said.title);
  const session = useSession();
  const form = usePasswordForm(() => {
    begin({ ...session, must_change_password: false });
    say("success", said.done);
  });
  return (
    <Front title={said.title}>
      <Content component="p">{said.why}</Content>
      <Form onSubmit={form.submit}>
        <PasswordFields form={form} autoFocus />
        <ActionGroup>
          <Button type="submit" isLoading={form.isBusy} isDisabled={form.isBusy}>
            {said.submit}
          </Button>
          <Button variant="link" onClick={logOut}>
            {said.logout}
          </Button>
        </ActionGroup>
      </Form>
    </Front>
  );
}
