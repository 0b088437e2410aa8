import { Button, Form, Modal, ModalBody, ModalFooter, ModalHeader } from "@patternfly/react-core";
import { words } from "../../messages";
import { Failure } from "../Failure";

interface Props {
  title: string;
  description?: string;
  /** What the button says: the deed itself. */
  action: string;
  isBusy: boolean;
  isDisabled?: boolean;
  /** Something may be lost by it. */
  isDanger?: boolean;
  /** Why it was not done, where that is about no single field. */
  failure: Error | null;
  onSubmit: () => void;
  onClose: () => void;
  children: React.ReactNode;
}

/** A form over the page. Enter sends it, Escape leaves it. */
export function FormDialog({
  title,
  description,
  action,
  isBusy,
  isDisabled = false,
  isDanger = false,
  failure,
  onSubmit,
  onClose,
  children,
}: Props): React.ReactNode {
  return (
    <Modal isOpen variant="small" onClose={onClose} aria-labelledby="dialog-title">
      <ModalHeader
        title={title}
        labelId="dialog-title"
        description={description}
        {...(isDanger && { titleIconVariant: "warning" as const })}
      />
      <ModalBody>
        <Form
          id="dialog-form"
          noValidate
          onSubmit={(event) => {
            event.preventDefault();
            if (!isBusy && !isDisabled) onSubmit();
          }}
        >
          {children}
          <Failure of={failure} title={words.toasts.notDone} />
        </Form>
      </ModalBody>
      <ModalFooter>
        <Button
          type="submit"
          form="dialog-form"
          variant={isDanger ? "danger" : "primary"}
          isLoading={isBusy}
          isDisabled={isBusy || isDisabled}
        >
          {action}
        </Button>
        <Button variant="link" onClick={onClose}>
          {words.parts.cancel}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
