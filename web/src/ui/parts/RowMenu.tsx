import "@patternfly/react-styles/css/components/MenuToggle/menu-toggle.css";
import { Divider, Dropdown, DropdownItem, DropdownList, MenuToggle } from "@patternfly/react-core";
import { EllipsisVIcon } from "@patternfly/react-icons";
import { Fragment, useEffect, useRef, useState } from "react";
import { words } from "../messages";

export interface RowAction {
  readonly title: string;
  readonly onClick: () => void;
  readonly isDanger?: boolean;
  readonly isDisabled?: boolean;
  /** Whether a line parts it from those above. */
  readonly isParted?: boolean;
}

interface Props {
  /** What the actions are for. */
  of: string;
  /** What its user may not do is false. */
  items: readonly (RowAction | false)[];
  /** Words for the button; three dots without. */
  label?: string | undefined;
}

/** What can be done with one row of a list, or with what a page is about. The menu itself is made when first opened. */
export function RowMenu({ of, items, label }: Props): React.ReactNode {
  const [isOpen, setOpen] = useState(false);
  const [wasOpened, setOpened] = useState(false);
  const toggle = useRef<HTMLButtonElement>(null);
  // Made closed, then opened: PatternFly finds a menu's place when it opens.
  useEffect(() => setOpen(wasOpened), [wasOpened]);
  const offered = items.filter((item) => item !== false);
  if (offered.length === 0) return null;
  const turn = (): void => (wasOpened ? setOpen(!isOpen) : setOpened(true));
  return (
    <>
      {label === undefined ? (
        <Dots toggle={toggle} isOpen={isOpen} of={of} onClick={turn} />
      ) : (
        <MenuToggle
          ref={toggle}
          variant="secondary"
          isExpanded={isOpen}
          aria-label={words.parts.actionsOf(of)}
          onClick={turn}
        >
          {label}
        </MenuToggle>
      )}
      {wasOpened && (
        <Dropdown
          isOpen={isOpen}
          onSelect={() => setOpen(false)}
          onOpenChange={setOpen}
          popperProps={{ position: "right" }}
          toggle={{ toggleNode: null, toggleRef: toggle }}
        >
          <DropdownList>
            {offered.map(({ title, onClick, isDanger = false, isDisabled = false, isParted = false }) => (
              <Fragment key={title}>
                {isParted && <Divider />}
                <DropdownItem onClick={onClick} isDanger={isDanger} isDisabled={isDisabled}>
                  {title}
                </DropdownItem>
              </Fragment>
            ))}
          </DropdownList>
        </Dropdown>
      )}
    </>
  );
}

interface DotsProps {
  toggle: React.Ref<HTMLButtonElement>;
  isOpen: boolean;
  of: string;
  onClick: () => void;
}

/** It looks as PatternFly's plain toggle and is as plain as can be: lists have a hundred of them. */
function Dots({ toggle, isOpen, of, onClick }: DotsProps): React.ReactNode {
  return (
    <button
      ref={toggle}
      type="button"
      className={`pf-v6-c-menu-toggle pf-m-plain ${isOpen ? "pf-m-expanded" : ""}`}
      aria-expanded={isOpen}
      aria-label={words.parts.actionsOf(of)}
      onClick={onClick}
    >
      <span className="pf-v6-c-menu-toggle__icon">
        <EllipsisVIcon set="default" />
      </span>
    </button>
  );
}
