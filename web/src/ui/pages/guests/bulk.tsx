// The same with many guests, one by one, and what became of each.
import {
  Button,
  DataList,
  DataListCell,
  DataListItem,
  DataListItemCells,
  DataListItemRow,
  Label,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  TextInput,
} from "@patternfly/react-core";
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useState } from "react";
import { call } from "../../api/client";
import { OmsError } from "../../api/errors";
import { words } from "../../messages";
import { Confirm } from "../../parts/Confirm";
import { Field } from "../../parts/form/Field";
import { type Guest, keyOf } from "../../parts/guest/actions";

const said = words.guests;
const AT_ONCE = 8;

interface Outcome {
  readonly is: "waiting" | "working" | "done" | "goesOn" | "failed";
  readonly why?: string;
}

const LOOKS = {
  waiting: { color: "grey", text: said.bulk.waiting },
  working: { color: "blue", text: said.bulk.working },
  done: { color: "green", text: said.bulk.done },
  goesOn: { color: "blue", text: said.bulk.goesOn },
  failed: { color: "red", text: said.bulk.failed },
} as const;

export interface Work {
  readonly guests: readonly Guest[];
  readonly run: (guest: Guest) => Promise<unknown>;
}

/** Runs the work, a few at a time, and shows each one's outcome. */
export function Outcomes({ work, onClose }: { work: Work; onClose: () => void }): React.ReactNode {
  const outcomes = useOutcomes(work);
  const done = work.guests.filter((guest) => outcomes.get(keyOf(guest))?.is === "done").length;
  return (
    <Modal isOpen variant="medium" onClose={onClose} aria-labelledby="bulk-title">
      <ModalHeader
        title={said.bulk.title}
        labelId="bulk-title"
        description={<span aria-live="polite">{said.bulk.summary(done, work.guests.length)}</span>}
      />
      <ModalBody tabIndex={0}>
        <DataList aria-label={said.bulk.title} isCompact>
          {work.guests.map((guest) => {
            const { is, why } = outcomes.get(keyOf(guest)) ?? { is: "waiting" };
            return (
              <DataListItem key={keyOf(guest)} aria-label={guest.name}>
                <DataListItemRow>
                  <DataListItemCells
                    dataListCells={[
                      <DataListCell key="name" wrapModifier="breakWord">
                        {guest.name}
                        {why !== undefined && <div>{why}</div>}
                      </DataListCell>,
                      <DataListCell key="outcome" isFilled={false}>
                        <Label isCompact variant="outline" color={LOOKS[is].color}>
                          {LOOKS[is].text}
                        </Label>
                      </DataListCell>,
                    ]}
                  />
                </DataListItemRow>
              </DataListItem>
            );
          })}
        </DataList>
      </ModalBody>
      <ModalFooter>
        <Button onClick={onClose}>{words.parts.close}</Button>
      </ModalFooter>
    </Modal>
  );
}

function useOutcomes(work: Work): ReadonlyMap<string, Outcome> {
  const [outcomes, setOutcomes] = useState<ReadonlyMap<string, Outcome>>(new Map());
  const client = useQueryClient();
  const tell = useCallback((guest: Guest, outcome: Outcome) => {
    setOutcomes((before) => new Map(before).set(keyOf(guest), outcome));
  }, []);
  useEffect(() => {
    const left = [...work.guests];
    const worker = async (): Promise<void> => {
      for (let guest = left.shift(); guest !== undefined; guest = left.shift()) {
        tell(guest, { is: "working" });
        tell(guest, await outcome(work.run(guest)));
      }
    };
    void Promise.all(Array.from({ length: AT_ONCE }, worker)).then(() =>
      client.invalidateQueries({ refetchType: "active" }),
    );
    return () => {
      left.length = 0;
    };
  }, [work, tell, client]);
  return outcomes;
}

async function outcome(run: Promise<unknown>): Promise<Outcome> {
  try {
    await run;
    return { is: "done" };
  } catch (failure) {
    if (failure instanceof OmsError && failure.job) return { is: "goesOn" };
    return { is: "failed", why: failure instanceof Error ? failure.message : String(failure) };
  }
}

/** Asks before many are stopped at once, as is asked for one. */
export function StopAsking({ work, onWork, onClose }: Asking & { work: Work }): React.ReactNode {
  return (
    <Confirm
      title={said.bulk.stopTitle(work.guests.length)}
      text={said.bulk.stopText}
      confirm={said.actions.stop}
      isDanger
      onConfirm={() => onWork(work)}
      onClose={onClose}
    >
      <ul className="oms-break">
        {work.guests.map((guest) => (
          <li key={keyOf(guest)}>{guest.name}</li>
        ))}
      </ul>
    </Confirm>
  );
}

interface Asking {
  onWork: (work: Work) => void;
  onClose: () => void;
}

/** Asks for a tag, for as many guests as are chosen. */
export function TagAsking({ guests, onWork, onClose }: Asking & { guests: readonly Guest[] }): React.ReactNode {
  const [tag, setTag] = useState("");
  return (
    <Confirm
      title={said.tagging.title(guests.length)}
      confirm={said.tagging.confirm}
      isReady={tag.trim() !== ""}
      onConfirm={() => onWork({ guests, run: (guest) => addTag(guest, tag.trim()) })}
      onClose={onClose}
    >
      <Field id="tag" label={said.tagging.label} help={said.tagging.help}>
        {(described) => (
          <TextInput
            {...described}
            id="tag"
            value={tag}
            onChange={(_, value) => setTag(value)}
            autoComplete="off"
            autoFocus
          />
        )}
      </Field>
    </Confirm>
  );
}

function addTag(guest: Guest, tag: string): Promise<number> {
  return call("tagservices.add_tag", {
    tag_name: tag,
    server_hostname: guest.host,
    vm_name: guest.id,
    vm_type: guest.kind,
  });
}
