import { Button, Content, Modal, ModalBody, ModalFooter, ModalHeader, TextInput } from "@patternfly/react-core";
import { useState } from "react";
import { words } from "../messages";
import { Failure } from "./Failure";
import { Field } from "./form/Field";

interface Props {
  title: string;
  text?: React.ReactNode;
  confirm: string;
  isDanger?: boolean;
  /** What must be typed before it can be confirmed, and the words that ask for it. */
  typed?: { word: string; label: string };
  isBusy?: boolean;
  isReady?: boolean;
  failure?: Error | null;
  onConfirm: () => void;
  onClose: () => void;
  children?: React.ReactNode;
}

/** Asks before something is done, and stays until it was. */
export function Confirm(props: Props): React.ReactNode {
  const {
    title,
    text,
    confirm,
    isDanger = false,
    typed,
    isBusy = false,
    isReady = true,
    onConfirm,
    onClose,
  } = props;
  const [given, setGiven] = useState("");
  const mayGoOn = isReady && !isBusy && (typed === undefined || given.trim() === typed.word);
  return (
    <Modal isOpen variant="small" onClose={onClose} aria-labelledby="confirm-title">
      <ModalHeader
        title={title}
        labelId="confirm-title"
        {...(isDanger && { titleIconVariant: "warning" as const })}
      />
      <ModalBody>
        <form
          id="confirm-form"
          onSubmit={(event) => {
            event.preventDefault();
            if (mayGoOn) onConfirm();
          }}
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
          <Failure of={props.failure ?? null} title={words.toasts.notDone} />
        </form>
      </ModalBody>
      <ModalFooter>
        <Button
          type="submit"
          form="confirm-form"
          variant={isDanger ? "danger" : "primary"}
          isDisabled={!mayGoOn}
          isLoading={isBusy}
        >
          {confirm}
        </Button>
        <Button variant="link" onClick={onClose}>
          {words.parts.cancel}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
