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
  /** What is shown below the form while it is done. */
  meanwhile?: React.ReactNode;
  /** Why it was not done, where that is about no single field; and that in a few words. */
  failure: Error | null;
  failed?: string | undefined;
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
  meanwhile,
  failure,
  failed = words.toasts.notDone,
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
          {isBusy && meanwhile}
          <Failure of={failure} title={failed} />
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
          {isBusy ? words.parts.close : words.parts.cancel}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
