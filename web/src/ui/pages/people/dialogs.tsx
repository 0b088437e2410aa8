// What is asked before an account is made, changed or deleted.
import { Button, Content } from "@patternfly/react-core";
import { useState } from "react";
import type { User } from "../../api/contract";
import { useChange } from "../../api/queries";
import { words } from "../../messages";
import { Confirm } from "../../parts/Confirm";
import { CopyBlock } from "../../parts/Copyable";
import { FormDialog } from "../../parts/form/FormDialog";
import { elsewhere, wrongAt } from "../../parts/form/failures";
import { PasswordField } from "../../parts/form/PasswordField";
import { RoleField } from "../../parts/form/RoleField";
import { TextField } from "../../parts/form/TextField";
import { say } from "../../parts/toasts";

const said = words.people;
const LETTERS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/** 20 letters and digits that cannot be mistaken for each other: about 115 random bits. */
function invented(): string {
  const bytes = crypto.getRandomValues(new Uint32Array(20));
  return Array.from(bytes, (byte) => LETTERS[byte % LETTERS.length]).join("");
}

interface GivenProps {
  label: string;
  help: string;
  value: string;
  onChange: (value: string) => void;
  wrong: string | undefined;
}

/** A password that is given to somebody else: typed, or invented and shown so that it can be handed over. */
function GivenPassword({ label, help, value, onChange, wrong }: GivenProps): React.ReactNode {
  const [made, setMade] = useState("");
  return (
    <>
      <PasswordField
        id="given"
        label={label}
        value={value}
        onChange={onChange}
        autoComplete="new-password"
        help={help}
        wrong={wrong}
      />
      <div>
        <Button
          variant="link"
          isInline
          onClick={() => {
            const next = invented();
            setMade(next);
            onChange(next);
          }}
        >
          {said.add.invent}
        </Button>
        {made !== "" && made === value && <CopyBlock text={made} what={label} />}
      </div>
    </>
  );
}

export function AddUser({ close }: { close: () => void }): React.ReactNode {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState<User["role"]>("viewer");
  const add = useChange("userservices.add_user", {
    quiet: true,
    done: () => {
      say("success", said.add.done(name));
      close();
    },
  });
  const wrong = {
    name: wrongAt(add.error, "user_name", "user_exists"),
    password: wrongAt(add.error, "new_password", "weak_password"),
  };
  return (
    <FormDialog
      title={said.add.title}
      action={said.add.button}
      isBusy={add.isPending}
      isDisabled={name === "" || password === ""}
      failure={elsewhere(add.error, wrong.name, wrong.password)}
      onSubmit={() => add.mutate({ user_name: name, new_password: password, role })}
      onClose={close}
    >
      <TextField
        id="name"
        label={said.add.name}
        value={name}
        onChange={setName}
        help={said.add.nameHelp}
        wrong={wrong.name}
        isRequired
        autoFocus
      />
      <RoleField id="role" label={said.add.role} value={role} onChange={setRole} />
      <GivenPassword
        label={said.add.password}
        help={said.add.passwordHelp}
        value={password}
        onChange={setPassword}
        wrong={wrong.password}
      />
    </FormDialog>
  );
}

export function ResetPassword({ user, close }: { user: User; close: () => void }): React.ReactNode {
  const [password, setPassword] = useState("");
  const reset = useChange("userservices.reset_password", {
    quiet: true,
    done: () => {
      say("success", said.reset.done(user.name));
      close();
    },
  });
  const wrong = wrongAt(reset.error, "new_password", "weak_password");
  return (
    <FormDialog
      title={said.reset.title(user.name)}
      description={said.reset.text}
      action={said.reset.button}
      isBusy={reset.isPending}
      isDisabled={password === ""}
      failure={elsewhere(reset.error, wrong)}
      onSubmit={() => reset.mutate({ user_name: user.name, new_password: password })}
      onClose={close}
    >
      <GivenPassword
        label={said.reset.password}
        help={said.add.passwordHelp}
        value={password}
        onChange={setPassword}
        wrong={wrong}
      />
    </FormDialog>
  );
}

export function ChangeRole({ user, close }: { user: User; close: () => void }): React.ReactNode {
  const [role, setRole] = useState(user.role);
  const change = useChange("userservices.set_role", {
    quiet: true,
    done: () => {
      say("success", said.role.done(user.name));
      close();
    },
  });
  return (
    <FormDialog
      title={said.role.title(user.name)}
      description={said.role.text}
      action={said.role.button}
      isBusy={change.isPending}
      isDisabled={role === user.role}
      failure={change.error}
      onSubmit={() => change.mutate({ user_name: user.name, role })}
      onClose={close}
    >
      <RoleField id="role" label={said.columns.role} value={role} onChange={setRole} />
    </FormDialog>
  );
}

export function DeleteUser({ user, close }: { user: User; close: () => void }): React.ReactNode {
  const remove = useChange("userservices.delete_user", {
    quiet: true,
    done: () => {
      say("success", said.remove.done(user.name));
      close();
    },
  });
  return (
    <Confirm
      title={said.remove.title(user.name)}
      confirm={said.remove.button}
      isDanger
      isBusy={remove.isPending}
      failure={remove.error}
      onConfirm={() => remove.mutate({ user_name: user.name })}
      onClose={close}
    >
      <Content component="p">{said.remove.text}</Content>
    </Confirm>
  );
}
