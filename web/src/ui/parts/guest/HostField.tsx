import { TextInput } from "@patternfly/react-core";
import { useEffect, useState } from "react";
import type { FleetGuest } from "../../api/contract";
import { useAnswer } from "../../api/queries";
import { words } from "../../messages";
import { Failure } from "../Failure";
import { Field } from "../form/Field";
import { usePaused } from "../paused";

const said = words.guests.hostField;
const FOUND = 20;

interface Props {
  id: string;
  label: string;
  kind: FleetGuest["kind"];
  /** A host that is none to choose. */
  but?: string;
  /** The host that is chosen, or nothing. */
  value: string;
  onChange: (host: string) => void;
  help?: string | undefined;
  wrong?: string | undefined;
  /** What is said where there is no host at all. */
  none: string;
}

/** A connected host that can have such guests: a part of its name is typed, and OMS proposes what fits. */
export function HostField({ id, label, kind, but, value, onChange, help, wrong, none }: Props): React.ReactNode {
  const [typed, setTyped] = useState(value);
  const sought = usePaused(typed.trim());
  const { data, error, isPlaceholderData } = useAnswer(
    "fleetservices.list_hosts",
    { state: "connected", hypervisor: kind, search: sought, most: FOUND },
    { keepBefore: true },
  );
  const found = data?.hosts.map(({ name }) => name).filter((name) => name !== but);
  // What is still being typed may be the beginning of another name.
  const fits = sought === typed.trim() && (found?.includes(sought) ?? false);
  useEffect(() => {
    if (fits && sought !== value) onChange(sought);
  }, [fits, sought, value, onChange]);
  const isNothing = found?.length === 0 && !isPlaceholderData;
  return (
    <>
      <Failure of={error} />
      <Field
        id={id}
        label={label}
        help={help ?? said.help}
        wrong={wrong ?? (isNothing ? (sought === "" ? none : said.nothing(sought)) : undefined)}
        isRequired
      >
        {(described) => (
          <TextInput
            {...described}
            id={id}
            type="search"
            placeholder={said.choose}
            list={`${id}-found`}
            autoComplete="off"
            spellCheck={false}
            value={typed}
            onChange={(_, text) => {
              setTyped(text);
              if (text.trim() !== value) onChange("");
            }}
          />
        )}
      </Field>
      <datalist id={`${id}-found`}>
        {found?.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </>
  );
}
