import { TextInput } from "@patternfly/react-core";
import { useEffect, useId, useState } from "react";
import { words } from "../../messages";
import { usePaused } from "../paused";

/** A hook that gives names in which that is; it asks for them only where somebody is about to choose one. */
export type UseFound = (typed: string, isChoosing: boolean) => readonly string[];

interface Props {
  label: string;
  value: string;
  useFound: UseFound;
  onChoose: (value: string) => void;
}

/** A filter with more values than a menu can show: a part of the name is typed, and what fits is proposed. */
export function TypedFilter({ label, value, useFound, onChoose }: Props): React.ReactNode {
  const [typed, setTyped] = useState(value);
  const [isChoosing, setChoosing] = useState(false);
  const id = useId();
  const found = useFound(usePaused(typed.trim()), isChoosing);
  useEffect(() => {
    if (!isChoosing) setTyped(value);
  }, [isChoosing, value]);
  useEffect(() => {
    if (isChoosing && typed !== value && (typed === "" || found.includes(typed))) onChoose(typed);
  }, [isChoosing, typed, value, found, onChoose]);

  return (
    <>
      <TextInput
        type="search"
        aria-label={label}
        placeholder={`${label}: ${words.parts.any}`}
        className="oms-list-typed"
        list={id}
        autoComplete="off"
        value={typed}
        onChange={(_, text) => setTyped(text)}
        onFocus={() => setChoosing(true)}
        onBlur={() => setChoosing(false)}
        onKeyDown={(event) => {
          if (event.key === "Enter") onChoose(typed.trim());
        }}
      />
      <datalist id={id}>
        {found.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </>
  );
}
