import { Divider, Dropdown, DropdownGroup, DropdownItem, DropdownList, MenuToggle } from "@patternfly/react-core";
import { UserIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { useNavigate } from "react-router";
import { call } from "../api/client";
import { end, useSession } from "../api/session";
import { words } from "../messages";
import { useStore } from "../parts/store";
import { THEMES, theme } from "./theme";

/** Who is logged in, the way out, and light or dark. */
export function UserMenu(): React.ReactNode {
  const [isOpen, setOpen] = useState(false);
  const { name, role } = useSession();
  const chosen = useStore(theme);
  const go = useNavigate();
  const said = words.shell.user;
  return (
    <Dropdown
      isOpen={isOpen}
      onSelect={() => setOpen(false)}
      onOpenChange={setOpen}
      popperProps={{ position: "right" }}
      toggle={(ref) => (
        <MenuToggle
          ref={ref}
          variant="plainText"
          icon={<UserIcon />}
          isExpanded={isOpen}
          aria-label={said.menu(name)}
          onClick={() => setOpen(!isOpen)}
        >
          <span className="oms-wide-only">{name}</span>
        </MenuToggle>
      )}
    >
      <DropdownGroup label={`${name} · ${said.role[role]}`}>
        <DropdownList>
          <DropdownItem onClick={() => void go("/account")}>{said.account}</DropdownItem>
          <DropdownItem onClick={logOut}>{said.logout}</DropdownItem>
        </DropdownList>
      </DropdownGroup>
      <Divider />
      <DropdownGroup label={said.theme}>
        <DropdownList>
          {THEMES.map((known) => (
            <DropdownItem key={known} isSelected={known === chosen} onClick={() => theme.set(known)}>
              {said.themes[known]}
            </DropdownItem>
          ))}
        </DropdownList>
      </DropdownGroup>
    </Dropdown>
  );
}

/** The session ends at OMS too; here it is over at once. */
export function logOut(): void {
  void call("authservices.deauthenticate", {}).catch(() => undefined);
  end("left");
}
