// Logging in: the only page for whoever is not.
import { ActionGroup, Alert, Button, Form, TextInput } from "@patternfly/react-core";
import { useState } from "react";
import { Navigate, useLocation } from "react-router";
import { call } from "../../api/client";
import { begin, session } from "../../api/session";
import { words } from "../../messages";
import { Field } from "../../parts/form/Field";
import { PasswordField } from "../../parts/form/PasswordField";
import { useStore } from "../../parts/store";
import { useTitle } from "../../parts/title";
import { Front } from "../../shell/Front";

const said = words.login;

export function Component(): React.ReactNode {
  useTitle(said.title);
  const now = useStore(session);
  const { state } = useLocation();
  if (now.isIn) return <Navigate to={(state as { from?: string } | null)?.from ?? "/"} replace />;
  return (
    <Front title={said.title}>
      <LoginForm />
    </Front>
  );
}

function LoginForm(): React.ReactNode {
  const now = useStore(session);
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [why, setWhy] = useState(now.isIn ? "" : now.why);
  /** Whoever was in before knows where passwords come from. */
  const [isNew] = useState(why === "");
  const [wrong, setWrong] = useState("");
  const [isBusy, setBusy] = useState(false);

  async function submit(): Promise<void> {
    setWhy("");
    if (name === "" || password === "") {
      setWrong(said.missing);
      return;
    }
    setBusy(true);
    setWrong("");
    try {
      const sessid = await call("authservices.authenticate", { username: name, password });
      begin({ isIn: true, sessid, ...(await call("userservices.whoami", {}, { sessid })) });
    } catch (failure) {
      setWrong(failure instanceof Error ? failure.message : String(failure));
      setBusy(false);
    }
  }

  return (
    <Form
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <div aria-live="polite">
        {wrong !== "" && <Alert isInline variant="danger" title={wrong} />}
        {why !== "" && <Alert isInline variant="info" title={said[why]} />}
      </div>
      <Field id="user" label={said.user}>
        {(described) => (
          <TextInput
            {...described}
            id="user"
            value={name}
            onChange={(_, typed) => setName(typed)}
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            autoFocus
          />
        )}
      </Field>
      <PasswordField
        id="password"
        label={said.password}
        value={password}
        onChange={setPassword}
        autoComplete="current-password"
        isRequired={false}
        {...(isNew && { help: said.firstTime })}
      />
      <ActionGroup>
        <Button type="submit" isBlock isLoading={isBusy} isDisabled={isBusy}>
          {said.submit}
        </Button>
      </ActionGroup>
    </Form>
  );
}
