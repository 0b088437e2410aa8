import { METHODS } from "../../api/contract";
import { suffices, useSession } from "../../api/session";
import { words } from "../../messages";
import { openConsole } from "../consoles";
import { RowMenu } from "../RowMenu";
import { type ActionName, type Guest, possible } from "./actions";

const said = words.guests.actions;
export type Asking = "migrate" | "delete" | ActionName;

interface Props {
  guest: Guest;
  /** Something that is asked for first, or done at once: whoever shows the menu sees to it. */
  onAsk: (what: Asking) => void;
  /** Words for the button; three dots without. */
  label?: string;
}

/** All that can be done with a guest as it is. */
export function GuestMenu({ guest, onAsk, label }: Props): React.ReactNode {
  const { role } = useSession();
  const service = guest.kind === "kvm" ? "kvmservices" : "ovzservices";
  const mayChange = suffices(role, METHODS[`${service}.delete_vm`].may) && guest.state !== "unknown";
  const mayLook = suffices(role, METHODS["consoleservices.open_console"].may) && guest.state === "running";
  return (
    <RowMenu
      of={guest.name}
      label={label}
      items={[
        ...possible(guest, role).map((what) => ({ title: said[what], onClick: () => onAsk(what) })),
        mayLook && guest.kind === "kvm" && { title: said.screen, onClick: () => void openConsole(guest, "vnc") },
        mayLook && { title: said.text, onClick: () => void openConsole(guest, "text") },
        mayChange && { title: said.migrate, onClick: () => onAsk("migrate"), isParted: true },
        mayChange && { title: said.delete, onClick: () => onAsk("delete"), isDanger: true },
      ]}
    />
  );
}
