import { Divider, Dropdown, DropdownItem, DropdownList, MenuToggle } from "@patternfly/react-core";
import { EllipsisVIcon } from "@patternfly/react-icons";
import { Fragment, useEffect, useMemo, useState } from "react";
import { words } from "../messages";
import "./plain.css";

export interface RowAction {
  readonly title: string;
  readonly onClick: () => void;
  readonly isDanger?: boolean;
  readonly isDisabled?: boolean;
  /** Whether a line parts it from those above. */
  readonly isParted?: boolean;
}

/** What its user may not do is false. */
export type Offered = readonly (RowAction | false)[];

interface Props {
  /** What the actions are for. */
  of: string;
  items: Offered;
  /** Words for the button. */
  label: string;
}

/** What can be done with what a page is about. */
export function HeadMenu({ of, items, label }: Props): React.ReactNode {
  const [opened, setOpened] = useState<HTMLButtonElement>();
  if (!items.some(Boolean)) return null;
  return (
    <>
      <MenuToggle
        variant="secondary"
        isExpanded={opened !== undefined}
        aria-label={words.parts.actionsOf(of)}
        onClick={({ currentTarget }) =>
          setOpened(opened === undefined ? (currentTarget as HTMLButtonElement) : undefined)
        }
      >
        {label}
      </MenuToggle>
      {opened && <MenuAt button={opened} items={items} onClose={() => setOpened(undefined)} />}
    </>
  );
}

interface DotsProps {
  isOpen: boolean;
  of: string;
  onClick: (event: React.MouseEvent<HTMLButtonElement>) => void;
}

/** The button of a row's menu. It looks as PatternFly's plain toggle and is as plain as can be: lists have a hundred of them. */
export function Dots({ isOpen, of, onClick }: DotsProps): React.ReactNode {
  return (
    <button
      type="button"
      className="oms-plain"
      aria-expanded={isOpen}
      aria-label={words.parts.actionsOf(of)}
      onClick={onClick}
    >
      <EllipsisVIcon set="default" />
    </button>
  );
}

interface MenuProps {
  button: HTMLButtonElement;
  items: Offered;
  onClose: () => void;
}

/** The open menu of a button, made when it is wanted. */
export function MenuAt({ button, items, onClose }: MenuProps): React.ReactNode {
  const [isOpen, setOpen] = useState(false);
  const toggleRef = useMemo(() => ({ current: button }), [button]);
  // Made closed, then opened: PatternFly finds a menu's place when it opens.
  useEffect(() => setOpen(true), []);
  return (
    <Dropdown
      isOpen={isOpen}
      onSelect={onClose}
      onOpenChange={(opens) => opens || onClose()}
      popperProps={{ position: "right" }}
      toggle={{ toggleNode: null, toggleRef }}
    >
      <DropdownList>
        {items
          .filter((item) => item !== false)
          .map(({ title, onClick, isDanger = false, isDisabled = false, isParted = false }) => (
            <Fragment key={title}>
              {isParted && <Divider />}
              <DropdownItem onClick={onClick} isDanger={isDanger} isDisabled={isDisabled}>
                {title}
              </DropdownItem>
            </Fragment>
          ))}
      </DropdownList>
    </Dropdown>
  );
}
