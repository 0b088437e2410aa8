import { ActionGroup, Button, Form } from "@patternfly/react-core";
import { useState } from "react";
import { OmsError } from "../../../api/errors";
import { useAnswer, useChange } from "../../../api/queries";
import { words } from "../../../messages";
import { Failure } from "../../../parts/Failure";
import { TextField } from "../../../parts/form/TextField";
import { say } from "../../../parts/toasts";

const said = words.guests.creation;

interface Props {
  host: string;
  iso: string;
  name: string;
  onMade: () => void;
}

/** A machine with a new disk, that is installed from a CD. */
export function FromIso({ host, iso, name, onMade }: Props): React.ReactNode {
  const limits = useAnswer("kvmservices.parse_system_min_max", { server_hostname: host });
  const [memory, setMemory] = useState("1024");
  const [disk, setDisk] = useState("10");
  const [osVariant, setOsVariant] = useState("");
  const make = useChange("kvmservices.create_vm_from_iso", {
    quiet: true,
    done: () => {
      say("success", said.installing(name));
      onMade();
    },
  });
  const wrong = (parameter: string): string | undefined =>
    make.error instanceof OmsError && make.error.parameter === parameter ? make.error.message : undefined;
  const isPlaced = ["memory_size", "file_based_disk_size", "os_variant"].some((it) => wrong(it) !== undefined);
  return (
    <Form
      isWidthLimited
      onSubmit={(event) => {
        event.preventDefault();
        make.mutate({
          server_hostname: host,
          kvm_vm_name: name,
          os_variant: osVariant.trim(),
          os_type: "",
          cdrom_iso: iso,
          file_based_disk_size: disk,
          block_device_based_disk_path: "",
          memory_size: memory,
          noapic_on_off: "",
          noacpi_on_off: "",
        });
      }}
    >
      <TextField
        id="memory"
        label={said.memory}
        value={memory}
        onChange={setMemory}
        isNumber
        isRequired
        help={limits.data && words.guests.settings.between(limits.data.min_memory, limits.data.max_memory, " MB")}
        wrong={wrong("memory_size")}
      />
      <TextField
        id="disk"
        label={said.disk}
        value={disk}
        onChange={setDisk}
        isNumber
        isRequired
        wrong={wrong("file_based_disk_size")}
      />
      <TextField
        id="os-variant"
        label={said.osVariant}
        value={osVariant}
        onChange={setOsVariant}
        help={said.osVariantHelp}
        wrong={wrong("os_variant")}
      />
      {!isPlaced && <Failure of={make.error} title={words.toasts.notDone} />}
      <ActionGroup>
        <Button type="submit" isLoading={make.isPending} isDisabled={make.isPending || name.trim() === ""}>
          {said.submit}
        </Button>
      </ActionGroup>
    </Form>
  );
}
