// What is asked before something is done with one guest, and doing it.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useCallback, useState } from "react";
import { call } from "../../api/client";
import { OmsError } from "../../api/errors";
import { words } from "../../messages";
import { Confirm } from "../Confirm";
import { useHere } from "../here";
import { say, sayWrong } from "../toasts";
import { ACTIONS, type ActionName, act, type Guest, named } from "./actions";
import type { Asking } from "./GuestMenu";
import { HostField } from "./HostField";

const said = words.guests;

interface Props {
  guest: Guest;
  what: Asking;
  onClose: () => void;
  /** The guest is gone from here. */
  onGone?: () => void;
}

/** Whether it is asked for at all: what loses nothing is done at once, by `useAct`. */
export function isAsked(what: Asking): boolean {
  return what === "migrate" || what === "delete" || ACTIONS[what].loses === true;
}

/** Does something with a guest, and says at the corner what became of it. */
export function useAct(): (name: ActionName, guest: Guest) => Promise<void> {
  const client = useQueryClient();
  return useCallback(
    async (name, guest) => {
      try {
        await act(name, guest);
        say("success", said.done[name](guest.name));
      } catch (failure) {
        sayWrong(failure);
      } finally {
        void client.invalidateQueries({ refetchType: "active" });
      }
    },
    [client],
  );
}

export function GuestAsking({ guest, what, onClose, onGone }: Props): React.ReactNode {
  if (what === "delete") return <Removal guest={guest} onClose={onClose} {...(onGone && { onGone })} />;
  if (what === "migrate") return <Move guest={guest} onClose={onClose} {...(onGone && { onGone })} />;
  return <Loss guest={guest} name={what} onClose={onClose} />;
}

function Loss({ guest, name, onClose }: { guest: Guest; name: ActionName; onClose: () => void }): React.ReactNode {
  const change = useDone(() => act(name, guest), said.done[name](guest.name), onClose);
  const isReset = name === "reset";
  return (
    <Confirm
      title={isReset ? said.confirm.reset(guest.name) : said.confirm.stop(guest.name)}
      text={isReset ? said.confirm.resetText : said.confirm.stopText}
      confirm={said.actions[name]}
      isDanger
      isBusy={change.isPending}
      failure={change.error}
      onConfirm={() => change.mutate()}
      onClose={onClose}
    />
  );
}

type Ended = Omit<Props, "what">;

function Removal({ guest, onClose, onGone }: Ended): React.ReactNode {
  const method = guest.kind === "kvm" ? "kvmservices.delete_vm" : "ovzservices.delete_vm";
  const change = useDone(
    () => call(method, named(guest) as never),
    said.removal.done(guest.name),
    () => {
      onClose();
      onGone?.();
    },
  );
  return (
    <Confirm
      title={said.removal.title(guest.name)}
      text={said.removal.text}
      confirm={said.removal.confirm}
      isDanger
      typed={{ word: guest.name, label: said.removal.type(guest.name) }}
      isBusy={change.isPending}
      failure={change.error}
      onConfirm={() => change.mutate()}
      onClose={onClose}
    />
  );
}

function Move({ guest, onClose, onGone }: Ended): React.ReactNode {
  const [to, setTo] = useState("");
  const change = useDone(
    () => move(guest, to),
    said.move.done(guest.name, to),
    () => {
      onClose();
      onGone?.();
    },
  );
  return (
    <Confirm
      title={said.move.title(guest.name)}
      text={said.move.text}
      confirm={said.move.confirm}
      isReady={to !== ""}
      isBusy={change.isPending}
      failure={change.error}
      onConfirm={() => change.mutate()}
      onClose={onClose}
    >
      <HostField
        id="move-to"
        label={said.move.to}
        kind={guest.kind}
        but={guest.host}
        value={to}
        onChange={setTo}
        none={said.move.none}
      />
    </Confirm>
  );
}

async function move(guest: Guest, to: string): Promise<unknown> {
  return guest.kind === "kvm"
    ? call("kvmservices.migrate_vm", {
        server_hostname: guest.host,
        kvm_vm_name: guest.id,
        target_hostname: to,
      })
    : call("ovzservices.migrate_vm", {
        server1_hostname: guest.host,
        container_id: guest.id,
        server2_hostname: to,
      });
}

/** A change in a dialog: closed when it is done or goes on as a job, open with the reason where it was refused. */
function useDone(
  work: () => Promise<unknown>,
  done: string,
  close: () => void,
): { mutate: () => void; isPending: boolean; error: Error | null } {
  const client = useQueryClient();
  const here = useHere();
  return useMutation<unknown, Error, void>({
    mutationFn: work,
    onSuccess: () => {
      say("success", done);
      if (here.current) close();
    },
    onError: (failure) => {
      const goesOn = failure instanceof OmsError && failure.job !== "";
      if (goesOn || !here.current) sayWrong(failure);
      if (goesOn && here.current) close();
    },
    onSettled: () => client.invalidateQueries({ refetchType: "active" }),
  });
}
