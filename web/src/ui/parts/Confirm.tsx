import { Content, TextInput } from "@patternfly/react-core";
import { useState } from "react";
import { Field } from "./form/Field";
import { FormDialog } from "./form/FormDialog";

interface Props {
  title: string;
  text?: React.ReactNode;
  confirm: string;
  isDanger?: boolean;
  /** What must be typed before it can be confirmed, and the words that ask for it. */
  typed?: { word: string; label: string };
  isBusy?: boolean;
  isReady?: boolean;
  /** What is shown while it is done. */
  meanwhile?: React.ReactNode;
  failure?: Error | null;
  failed?: string | undefined;
  onConfirm: () => void;
  onClose: () => void;
  children?: React.ReactNode;
}

/** Asks before something is done, and stays until it was. */
export function Confirm(props: Props): React.ReactNode {
  const { title, text, confirm, isDanger, typed, isBusy = false, isReady = true, failure = null } = props;
  const [given, setGiven] = useState("");
  return (
    <FormDialog
      title={title}
      action={confirm}
      {...(isDanger && { isDanger })}
      isBusy={isBusy}
      isDisabled={!isReady || (typed !== undefined && given.trim() !== typed.word)}
      failure={failure}
      failed={props.failed}
      meanwhile={props.meanwhile}
      onSubmit={props.onConfirm}
      onClose={props.onClose}
    >
      {text !== undefined && <Content component="p">{text}</Content>}
      {props.children}
      {typed !== undefined && (
        <Field id="confirm-typed" label={typed.label}>
          {(described) => (
            <TextInput
              {...described}
              id="confirm-typed"
              value={given}
              onChange={(_, value) => setGiven(value)}
              autoComplete="off"
              spellCheck={false}
              autoFocus
            />
          )}
        </Field>
      )}
    </FormDialog>
  );
}
