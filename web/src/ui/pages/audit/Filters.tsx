import { Button, Form, FormGroup, TextInput } from "@patternfly/react-core";
import { useState } from "react";
import { useSearchParams } from "react-router";
import type { Methods } from "../../api/contract";
import { words } from "../../messages";
import "./filters.css";

const said = words.audit;
const NAMES = ["user", "method", "host", "outcome", "since", "until"] as const;
type Name = (typeof NAMES)[number];
const MOMENT = "oms-audit-moment";
const CLASSES: Partial<Record<Name, string>> = { method: "oms-audit-method-filter", since: MOMENT, until: MOMENT };
type Typed = Record<Name, string>;

/** What the address asks for, as OMS takes it: times of day are this browser's, and OMS's are UTC. */
export function asked(address: URLSearchParams): Partial<Methods["auditservices.list_events"]["params"]> {
  const { user, ...rest } = typedFrom(address);
  return { ...rest, user_name: user, since: inUtc(rest.since), until: inUtc(rest.until) };
}

function typedFrom(address: URLSearchParams): Typed {
  return Object.fromEntries(NAMES.map((name) => [name, address.get(name) ?? ""])) as Typed;
}

function inUtc(local: string): string {
  const moment = new Date(local);
  return local === "" || Number.isNaN(moment.getTime()) ? "" : moment.toISOString();
}

/** Fields for all that OMS can search the log by. */
export function AuditFilters(): React.ReactNode {
  const [address, setAddress] = useSearchParams();
  const [typed, setTyped] = useState(() => typedFrom(address));
  const isNarrowed = NAMES.some((name) => address.has(name));
  return (
    <Form
      className="oms-audit-filters"
      onSubmit={(event) => {
        event.preventDefault();
        setAddress(Object.entries(typed).filter(([, value]) => value !== ""));
      }}
    >
      {NAMES.map((name) => (
        <FormGroup key={name} className={CLASSES[name] ?? ""} label={said.filters[name]} fieldId={`audit-${name}`}>
          <TextInput
            id={`audit-${name}`}
            type={CLASSES[name] === MOMENT ? "datetime-local" : "text"}
            value={typed[name]}
            onChange={(_, value) => setTyped({ ...typed, [name]: value.trim() })}
            placeholder={said.examples[name]}
            autoComplete="off"
            spellCheck={false}
          />
        </FormGroup>
      ))}
      <div className="oms-audit-buttons">
        <Button type="submit" variant="secondary">
          {said.apply}
        </Button>
        {isNarrowed && (
          <Button
            variant="link"
            onClick={() => {
              setTyped(typedFrom(new URLSearchParams()));
              setAddress({});
            }}
          >
            {said.clear}
          </Button>
        )}
      </div>
    </Form>
  );
}
