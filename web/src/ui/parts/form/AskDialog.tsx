// A call as a form in a dialog: its fields by a table, OMS's refusals at the fields that they are about.
import { Content } from "@patternfly/react-core";
import { useState } from "react";
import type { Answer, Params } from "../../api/client";
import type { Method } from "../../api/contract";
import { OmsError } from "../../api/errors";
import { useChange } from "../../api/queries";
import { Choice } from "./Choice";
import { FormDialog } from "./FormDialog";
import { TextField } from "./TextField";

export interface DialogField {
  /** As the method calls it. */
  readonly name: string;
  readonly label: string;
  readonly help?: string;
  readonly value?: string;
  readonly isNumber?: boolean;
  readonly isOptional?: boolean;
  /** One of these, where it is no text. */
  readonly options?: readonly string[];
}

type Given = Readonly<Record<string, string>>;

interface Props<M extends Method> {
  title: string;
  text?: string;
  method: M;
  fields: readonly DialogField[];
  /** The parameters, of what was filled in. */
  params: (given: Given) => Params<M>;
  /** What is shown while it is done. */
  meanwhile?: React.ReactNode;
  /** What a failure is called. */
  failed?: (failure: Error | null) => string | undefined;
  onDone: (answer: Answer<M>, given: Given) => void;
  onClose: () => void;
}

export function AskDialog<M extends Method>(props: Props<M>): React.ReactNode {
  const { title, text, method, fields, params, meanwhile, failed, onDone, onClose } = props;
  const [given, setGiven] = useState<Given>(() =>
    Object.fromEntries(fields.map(({ name, value }) => [name, value ?? ""])),
  );
  const change = useChange(method, { quiet: true, done: (answer) => onDone(answer, given) });
  const about = change.error instanceof OmsError ? change.error.parameter : "";
  const isPlaced = fields.some(({ name }) => name === about);
  return (
    <FormDialog
      title={title}
      action={title}
      isBusy={change.isPending}
      isDisabled={!fields.every(({ name, isOptional }) => isOptional || given[name]?.trim())}
      failure={isPlaced ? null : change.error}
      failed={failed?.(change.error)}
      meanwhile={meanwhile}
      onSubmit={() => change.mutate(params(given))}
      onClose={onClose}
    >
      {text !== undefined && <Content component="p">{text}</Content>}
      {fields.map((field, place) => (
        <Asked
          key={field.name}
          field={field}
          isFirst={place === 0}
          value={given[field.name] ?? ""}
          wrong={about === field.name ? change.error?.message : undefined}
          onChange={(value) => setGiven({ ...given, [field.name]: value })}
        />
      ))}
    </FormDialog>
  );
}

interface AskedProps {
  field: DialogField;
  isFirst: boolean;
  value: string;
  wrong: string | undefined;
  onChange: (value: string) => void;
}

function Asked({ field, isFirst, ...shared }: AskedProps): React.ReactNode {
  const { name, label, help, isNumber, isOptional, options } = field;
  const id = `dialog-${name}`;
  if (options) {
    const choices = options.map((it) => ({ value: it, label: it }));
    return <Choice id={id} label={label} help={help} placeholder={label} options={choices} {...shared} />;
  }
  return (
    <TextField
      id={id}
      label={label}
      help={help}
      isRequired={!isOptional}
      autoFocus={isFirst}
      {...(isNumber && { isNumber })}
      {...shared}
    />
  );
}
