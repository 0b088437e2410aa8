import { Radio } from "@patternfly/react-core";
import type { User } from "../../api/contract";
import { words } from "../../messages";
import { Field } from "./Field";

type Role = User["role"];
const ROLES: readonly Role[] = ["viewer", "operator", "admin"];

interface Props {
  id: string;
  label: string;
  value: Role;
  onChange: (role: Role) => void;
  /** No higher one is offered. */
  highest?: Role;
}

/** One of the roles, each with what it may do. */
export function RoleField({ id, label, value, onChange, highest = "admin" }: Props): React.ReactNode {
  const { roles, rolesAre } = words.people;
  return (
    <Field id={id} label={label} isGroup>
      {() =>
        ROLES.slice(0, ROLES.indexOf(highest) + 1).map((role) => (
          <Radio
            key={role}
            id={`${id}-${role}`}
            name={id}
            label={roles[role]}
            description={rolesAre[role]}
            isChecked={value === role}
            onChange={() => onChange(role)}
          />
        ))
      }
    </Field>
  );
}
