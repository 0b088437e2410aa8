import { Alert, Button, Modal, ModalBody, ModalFooter, ModalHeader } from "@patternfly/react-core";
import { useState } from "react";
import { useChange } from "../../api/queries";
import { useSession } from "../../api/session";
import { words } from "../../messages";
import { CopyBlock } from "../Copyable";
import { FormDialog } from "../form/FormDialog";
import { elsewhere, wrongAt } from "../form/failures";
import { RoleField } from "../form/RoleField";
import { TextField } from "../form/TextField";

const said = words.people.tokens;

/** Makes a token, and shows it, this once. */
export function NewTokenDialog({ close }: { close: () => void }): React.ReactNode {
  const { role: own } = useSession();
  const [label, setLabel] = useState("");
  const [role, setRole] = useState<typeof own>("viewer");
  const [days, setDays] = useState("90");
  const make = useChange("userservices.create_token", { quiet: true });
  if (make.data !== undefined) return <Shown token={make.data.token} close={close} />;
  const wrong = { label: wrongAt(make.error, "label"), days: wrongAt(make.error, "days") };
  return (
    <FormDialog
      title={said.add}
      description={said.text}
      action={said.make}
      isBusy={make.isPending}
      isDisabled={label.trim() === "" || !/^\d+$/.test(days)}
      failure={elsewhere(make.error, wrong.label, wrong.days)}
      onSubmit={() => make.mutate({ label: label.trim(), role, days: Number(days) })}
      onClose={close}
    >
      <TextField
        id="label"
        label={said.label}
        value={label}
        onChange={setLabel}
        help={said.labelHelp}
        wrong={wrong.label}
        isRequired
        autoFocus
      />
      <RoleField id="role" label={said.role} value={role} onChange={setRole} highest={own} />
      <TextField
        id="days"
        label={said.days}
        value={days}
        onChange={setDays}
        help={said.daysHelp}
        wrong={wrong.days}
        isNumber
        isRequired
      />
    </FormDialog>
  );
}

function Shown({ token, close }: { token: string; close: () => void }): React.ReactNode {
  return (
    <Modal isOpen variant="small" aria-labelledby="token-title">
      <ModalHeader title={said.made} labelId="token-title" />
      <ModalBody>
        <Alert isInline variant="warning" title={said.madeText} className="oms-gap-below" />
        <CopyBlock text={token} what={said.token} />
      </ModalBody>
      <ModalFooter>
        <Button onClick={close}>{said.seen}</Button>
      </ModalFooter>
    </Modal>
  );
}
