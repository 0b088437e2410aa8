// Finds hosts and guests by words, from every page: the first few while one types, all of them with Enter.
import { Menu, MenuContent, MenuGroup, MenuItem, MenuList, Popper, SearchInput } from "@patternfly/react-core";
import { useRef, useState } from "react";
import { useNavigate } from "react-router";
import { useAnswer } from "../api/queries";
import { words } from "../messages";
import { pageOf } from "../parts/guest/actions";
import { usePaused } from "../parts/paused";

const said = words.shell.search;
const HOSTS = 4;
const GUESTS = 8;

export function Search(): React.ReactNode {
  const [typed, setTyped] = useState("");
  const sought = usePaused(typed.trim());
  const [isOpen, setOpen] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const menu = useRef<HTMLDivElement>(null);
  const go = useNavigate();

  function leave(to: string): void {
    setTyped("");
    setOpen(false);
    void go(to);
  }

  function onKey(event: React.KeyboardEvent): void {
    if (event.key === "Escape") setOpen(false);
    if (event.key === "Enter" && typed.trim() !== "") leave(`/guests?search=${encodeURIComponent(typed.trim())}`);
    if (event.key === "ArrowDown") {
      event.preventDefault();
      menu.current?.querySelector<HTMLElement>("[role=menuitem]")?.focus();
    }
  }

  return (
    <Popper
      isVisible={isOpen && sought !== ""}
      onDocumentClick={(event) => {
        if (!menu.current?.contains(event?.target as Node)) setOpen(false);
      }}
      trigger={
        <SearchInput
          ref={input}
          aria-label={said.label}
          placeholder={said.label}
          value={typed}
          onChange={(_, value) => {
            setTyped(value);
            setOpen(true);
          }}
          onClear={() => setTyped("")}
          onKeyDown={onKey}
        />
      }
      triggerRef={input}
      popper={
        <div
          ref={menu}
          role="none"
          onKeyDown={(event) => {
            if (event.key !== "Escape") return;
            setOpen(false);
            input.current?.focus();
          }}
        >
          {sought !== "" && <Found sought={sought} leave={leave} />}
        </div>
      }
      popperRef={menu}
      appendTo={() => document.body}
    />
  );
}

/** What there is of these words. */
function Found({ sought, leave }: { sought: string; leave: (to: string) => void }): React.ReactNode {
  const hosts = useAnswer("fleetservices.list_hosts", { search: sought, most: HOSTS }, { keepBefore: true });
  const guests = useAnswer("fleetservices.list_guests", { search: sought, most: GUESTS }, { keepBefore: true });
  const query = `search=${encodeURIComponent(sought)}`;
  const foundHosts = hosts.data?.hosts ?? [];
  const foundGuests = guests.data?.guests ?? [];
  const isNothing = hosts.data?.total === 0 && guests.data?.total === 0;
  return (
    <Menu isScrollable onSelect={(_, to) => leave(String(to))}>
      <MenuContent>
        <div aria-live="polite">{isNothing && <p className="oms-search-nothing">{said.nothing(sought)}</p>}</div>
        {foundHosts.length > 0 && (
          <MenuGroup label={said.hosts(hosts.data?.total ?? 0)} labelHeadingLevel="h2">
            <MenuList>
              {foundHosts.map(({ id, name, distribution }) => (
                <MenuItem key={id} itemId={`/hosts/${name}`} description={distribution}>
                  {name}
                </MenuItem>
              ))}
              {(hosts.data?.total ?? 0) > HOSTS && <MenuItem itemId={`/hosts?${query}`}>{said.all}</MenuItem>}
            </MenuList>
          </MenuGroup>
        )}
        {foundGuests.length > 0 && (
          <MenuGroup label={said.guests(guests.data?.total ?? 0)} labelHeadingLevel="h2">
            <MenuList>
              {foundGuests.map((guest) => (
                <MenuItem
                  key={`${guest.host} ${guest.kind} ${guest.id}`}
                  itemId={pageOf(guest)}
                  description={guest.host}
                >
                  {guest.name}
                </MenuItem>
              ))}
              {(guests.data?.total ?? 0) > GUESTS && <MenuItem itemId={`/guests?${query}`}>{said.all}</MenuItem>}
            </MenuList>
          </MenuGroup>
        )}
      </MenuContent>
    </Menu>
  );
}
