import { TextArea, TextInput } from "@patternfly/react-core";
import { Field } from "./Field";

interface Props {
  id: string;
  label: string;
  value: string;
  onChange: (value: string) => void;
  help?: React.ReactNode;
  wrong?: React.ReactNode;
  isRequired?: boolean;
  isNumber?: boolean;
  isLong?: boolean;
  autoFocus?: boolean;
}

/** A word, a number, or several lines. */
export function TextField(props: Props): React.ReactNode {
  const { id, label, value, onChange, help, wrong, isRequired, isNumber, isLong, autoFocus } = props;
  const shared = {
    id,
    value,
    validated: wrong === undefined ? ("default" as const) : ("error" as const),
    autoComplete: "off",
    spellCheck: false,
  };
  return (
    <Field id={id} label={label} help={help} wrong={wrong} {...(isRequired && { isRequired })}>
      {(described) =>
        isLong ? (
          <TextArea
            {...described}
            {...shared}
            rows={4}
            className="oms-mono"
            onChange={(_, text) => onChange(text)}
          />
        ) : (
          <TextInput
            {...described}
            {...shared}
            inputMode={isNumber ? "numeric" : "text"}
            autoFocus={autoFocus}
            onChange={(_, text) => onChange(text)}
          />
        )
      }
    </Field>
  );
}
