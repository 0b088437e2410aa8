import { Dropdown, DropdownItem, DropdownList, MenuToggle } from "@patternfly/react-core";
import { EllipsisVIcon } from "@patternfly/react-icons";
import { useState } from "react";
import { words } from "../messages";

export interface RowAction {
  readonly title: string;
  readonly onClick: () => void;
  readonly isDanger?: boolean;
  readonly isDisabled?: boolean;
}

/** What can be done with one row of a list. What its user may not do is false. */
export function RowMenu({ of, items }: { of: string; items: readonly (RowAction | false)[] }): React.ReactNode {
  const [isOpen, setOpen] = useState(false);
  const offered = items.filter((item) => item !== false);
  if (offered.length === 0) return null;
  return (
    <Dropdown
      isOpen={isOpen}
      onSelect={() => setOpen(false)}
      onOpenChange={setOpen}
      popperProps={{ position: "right" }}
      toggle={(ref) => (
        <MenuToggle
          ref={ref}
          variant="plain"
          icon={<EllipsisVIcon />}
          isExpanded={isOpen}
          aria-label={words.parts.actionsOf(of)}
          onClick={() => setOpen(!isOpen)}
        />
      )}
    >
      <DropdownList>
        {offered.map(({ title, onClick, isDanger = false, isDisabled = false }) => (
          <DropdownItem key={title} onClick={onClick} isDanger={isDanger} isDisabled={isDisabled}>
            {title}
          </DropdownItem>
        ))}
      </DropdownList>
    </Dropdown>
  );
}
