import { Divider, Dropdown, DropdownItem, DropdownList, MenuToggle } from "@patternfly/react-core";
import { EllipsisVIcon } from "@patternfly/react-icons";
import { Fragment, useRef, useState } from "react";
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
  const offered = items.filter((item) => item !== false);
  if (offered.length === 0) return null;
  return (
    <>
      <MenuToggle
        ref={toggle}
        variant={label === undefined ? "plain" : "secondary"}
        isExpanded={isOpen}
        aria-label={words.parts.actionsOf(of)}
        onClick={() => {
          setOpen(!isOpen);
          setOpened(true);
        }}
        {...(label === undefined && { icon: <EllipsisVIcon /> })}
      >
        {label}
      </MenuToggle>
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
