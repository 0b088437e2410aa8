// One's own account: the password, where one is logged in, and the programs that call in one's name.
import {
  ActionGroup,
  Button,
  Card,
  CardBody,
  CardTitle,
  Form,
  PageSection,
  Stack,
  StackItem,
} from "@patternfly/react-core";
import { useSession } from "../../api/session";
import { words } from "../../messages";
import { PageHead } from "../../parts/PageHead";
import { Sessions } from "../../parts/people/Sessions";
import { Tokens } from "../../parts/people/Tokens";
import { say } from "../../parts/toasts";
import { PasswordFields, usePasswordForm } from "../password/form";

const said = words.people;

export function Component(): React.ReactNode {
  const { name, source, role } = useSession();
  return (
    <>
      <PageHead title={said.account.title} text={`${name}: ${said.roles[role]}. ${said.rolesAre[role]}.`} />
      <PageSection isFilled>
        <Stack hasGutter>
          <Part title={said.account.password}>
            {source === "local" ? <OwnPassword /> : said.account.outside(said.sources[source])}
          </Part>
          <Part title={said.sessions.title}>
            <Sessions user={name} />
          </Part>
          <Part title={said.tokens.title}>
            <Tokens user={name} />
          </Part>
        </Stack>
      </PageSection>
    </>
  );
}

function Part({ title, children }: { title: string; children: React.ReactNode }): React.ReactNode {
  return (
    <StackItem>
      <Card>
        <CardTitle component="h2">{title}</CardTitle>
        <CardBody>{children}</CardBody>
      </Card>
    </StackItem>
  );
}

function OwnPassword(): React.ReactNode {
  const form = usePasswordForm(() => say("success", words.password.done));
  return (
    <Form onSubmit={form.submit} className="oms-narrow">
      <PasswordFields form={form} />
      <ActionGroup>
        <Button type="submit" variant="secondary" isLoading={form.isBusy} isDisabled={form.isBusy}>
          {words.password.submit}
        </Button>
      </ActionGroup>
    </Form>
  );
}
