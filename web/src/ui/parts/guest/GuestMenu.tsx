import { Divider, Dropdown, DropdownItem, DropdownList, MenuToggle } from "@patternfly/react-core";
import { EllipsisVIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { METHODS } from "../../api/contract";
import { suffices, useSession } from "../../api/session";
import { words } from "../../messages";
import { type ActionName, type Guest, possible } from "./actions";
import { openConsole } from "./consoles";

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
  const [isOpen, setOpen] = useState(false);
  const { role } = useSession();
  const service = guest.kind === "kvm" ? "kvmservices" : "ovzservices";
  const mayChange = suffices(role, METHODS[`${service}.delete_vm`].may) && guest.state !== "unknown";
  const mayLook = suffices(role, METHODS["consoleservices.open_console"].may) && guest.state === "running";
  const actions = possible(guest, role);
  if (actions.length === 0 && !mayChange && !mayLook) return null;
  const item = (what: Asking): React.ReactNode => (
    <DropdownItem key={what} isDanger={what === "delete"} onClick={() => onAsk(what)}>
      {said[what]}
    </DropdownItem>
  );
  return (
    <Dropdown
      isOpen={isOpen}
      onOpenChange={setOpen}
      onSelect={() => setOpen(false)}
      popperProps={{ position: "right" }}
      toggle={(ref) => (
        <MenuToggle
          ref={ref}
          variant={label === undefined ? "plain" : "secondary"}
          isExpanded={isOpen}
          onClick={() => setOpen(!isOpen)}
          aria-label={words.parts.actionsOf(guest.name)}
          {...(label === undefined && { icon: <EllipsisVIcon /> })}
        >
          {label}
        </MenuToggle>
      )}
    >
      <DropdownList>
        {actions.map(item)}
        {mayLook && guest.kind === "kvm" && (
          <DropdownItem key="screen" onClick={() => void openConsole(guest, "vnc")}>
            {said.screen}
          </DropdownItem>
        )}
        {mayLook && (
          <DropdownItem key="text" onClick={() => void openConsole(guest, "text")}>
            {said.text}
          </DropdownItem>
        )}
        {mayChange && [<Divider key="line" />, item("migrate"), item("delete")]}
      </DropdownList>
    </Dropdown>
  );
}
