import { Button, InputGroup, InputGroupItem, TextInput } from "@patternfly/react-core";
import { EyeIcon, EyeSlashIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { words } from "../../messages";
import { Field } from "./Field";

interface Props {
  id: string;
  label: string;
  value: string;
  onChange: (value: string) => void;
  autoComplete: "current-password" | "new-password";
  help?: string | undefined;
  wrong?: string | undefined;
  autoFocus?: boolean;
  /** Whether it is marked as what must be given. */
  isRequired?: boolean;
}

/** A password, which can be looked at while it is typed. */
export function PasswordField({
  id,
  label,
  value,
  onChange,
  autoComplete,
  help,
  wrong,
  autoFocus,
  isRequired = true,
}: Props): React.ReactNode {
  const [isShown, setShown] = useState(false);
  return (
    <Field id={id} label={label} help={help} wrong={wrong} isRequired={isRequired}>
      {(described) => (
        <InputGroup>
          <InputGroupItem isFill>
            <TextInput
              {...described}
              id={id}
              type={isShown ? "text" : "password"}
              value={value}
              onChange={(_, typed) => onChange(typed)}
              autoComplete={autoComplete}
              autoFocus={autoFocus}
              isRequired={isRequired}
              validated={wrong === undefined ? "default" : "error"}
            />
          </InputGroupItem>
          <InputGroupItem>
            <Button
              variant="control"
              icon={isShown ? <EyeSlashIcon /> : <EyeIcon />}
              aria-label={isShown ? words.parts.hidePassword : words.parts.showPassword}
              onClick={() => setShown(!isShown)}
            />
          </InputGroupItem>
        </InputGroup>
      )}
    </Field>
  );
}
