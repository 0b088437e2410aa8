import { Button, Content, EmptyState, Label } from "@patternfly/react-core";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useState } from "react";
import type { FleetGuest, SnapshotDescription } from "../../../api/contract";
import { useAnswer, useChange, useMay } from "../../../api/queries";
import { words } from "../../../messages";
import { Confirm } from "../../../parts/Confirm";
import { Failure } from "../../../parts/Failure";
import { AskDialog } from "../../../parts/form/AskDialog";
import { Loading } from "../../../parts/Loading";
import { say } from "../../../parts/toasts";
import { When } from "../../../parts/When";

const said = words.guests.snapshots;
type Asked = { what: "create" } | { what: "revert" | "remove"; snapshot: SnapshotDescription };

/** The moments that a machine can go back to. */
export function Snapshots({ guest }: { guest: FleetGuest }): React.ReactNode {
  const listed = useAnswer("kvmservices.list_snapshots", { server_hostname: guest.host, kvm_vm_name: guest.id });
  const mayChange = useMay("kvmservices.create_snapshot");
  const [asked, setAsked] = useState<Asked>();
  const close = (): void => setAsked(undefined);
  if (listed.isPending) return <Loading />;
  if (listed.data === undefined) return <Failure of={listed.error} retry={() => void listed.refetch()} />;
  return (
    <div className="oms-stack">
      <Content component="p">{said.text}</Content>
      {mayChange && (
        <div>
          <Button onClick={() => setAsked({ what: "create" })}>{said.create}</Button>
        </div>
      )}
      {listed.data.length === 0 ? (
        <EmptyState titleText={said.none} headingLevel="h2" />
      ) : (
        <List snapshots={listed.data} {...(mayChange && { onAsk: setAsked })} />
      )}
      {asked?.what === "create" && <Creation guest={guest} onClose={close} />}
      {asked !== undefined && asked.what !== "create" && (
        <Change guest={guest} what={asked.what} snapshot={asked.snapshot} onClose={close} />
      )}
    </div>
  );
}

interface ListProps {
  snapshots: readonly SnapshotDescription[];
  onAsk?: (asked: Asked) => void;
}

function List({ snapshots, onAsk }: ListProps): React.ReactNode {
  return (
    <Table aria-label={words.guests.tabs.snapshots} variant="compact">
      <Thead>
        <Tr>
          <Th>{said.name}</Th>
          <Th>{said.description}</Th>
          <Th>{said.created}</Th>
          <Th>{said.of}</Th>
          {onAsk && <Th screenReaderText={words.parts.actions} />}
        </Tr>
      </Thead>
      <Tbody>
        {snapshots.map((snapshot) => (
          <Tr key={snapshot.name}>
            <Td dataLabel={said.name} className="oms-break">
              {snapshot.name}{" "}
              {snapshot.current && (
                <Label isCompact variant="outline">
                  {said.current}
                </Label>
              )}
            </Td>
            <Td dataLabel={said.description} className="oms-break">
              {snapshot.description}
            </Td>
            <Td dataLabel={said.created}>
              <When at={snapshot.created} isExact />
            </Td>
            <Td dataLabel={said.of}>{said.states[snapshot.state]}</Td>
            {onAsk && (
              <Td isActionCell className="oms-row-buttons">
                <div>
                  <Button
                    variant="secondary"
                    size="sm"
                    isDisabled={!snapshot.revertible}
                    onClick={() => onAsk({ what: "revert", snapshot })}
                  >
                    {said.revert}
                  </Button>{" "}
                  <Button variant="link" size="sm" isDanger onClick={() => onAsk({ what: "remove", snapshot })}>
                    {said.remove}
                  </Button>
                </div>
              </Td>
            )}
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}

function Creation({ guest, onClose }: { guest: FleetGuest; onClose: () => void }): React.ReactNode {
  return (
    <AskDialog
      title={said.create}
      method="kvmservices.create_snapshot"
      fields={[
        { name: "snapshot_name", label: said.name, help: said.nameHelp },
        { name: "description", label: said.description, isOptional: true },
      ]}
      params={({ snapshot_name = "", description = "" }) => ({
        server_hostname: guest.host,
        kvm_vm_name: guest.id,
        snapshot_name: snapshot_name.trim(),
        description,
      })}
      onDone={(_, { snapshot_name = "" }) => {
        say("success", said.taken(snapshot_name.trim()));
        onClose();
      }}
      onClose={onClose}
    />
  );
}

interface ChangeProps {
  guest: FleetGuest;
  what: "revert" | "remove";
  snapshot: SnapshotDescription;
  onClose: () => void;
}

function Change({ guest, what, snapshot, onClose }: ChangeProps): React.ReactNode {
  const isRevert = what === "revert";
  const change = useChange(isRevert ? "kvmservices.revert_snapshot" : "kvmservices.delete_snapshot", {
    quiet: true,
    done: () => {
      say("success", isRevert ? said.reverted(snapshot.name) : said.removed(snapshot.name));
      onClose();
    },
  });
  return (
    <Confirm
      title={isRevert ? said.revertTitle(snapshot.name) : said.removeTitle(snapshot.name)}
      text={isRevert ? said.revertText : said.removeText}
      confirm={isRevert ? said.revert : said.remove}
      isDanger
      isBusy={change.isPending}
      failure={change.error}
      onConfirm={() =>
        change.mutate({
          server_hostname: guest.host,
          kvm_vm_name: guest.id,
          snapshot_name: snapshot.name,
        })
      }
      onClose={onClose}
    />
  );
}
