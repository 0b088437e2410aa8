import { FormSelect, FormSelectOption } from "@patternfly/react-core";
import { Field } from "./Field";

interface Props {
  id: string;
  label: string;
  value: string;
  onChange: (value: string) => void;
  /** What stands there as long as nothing is chosen. */
  placeholder: string;
  options: readonly { readonly value: string; readonly label: string }[];
  help?: React.ReactNode;
  wrong?: React.ReactNode;
}

/** One of several. */
export function Choice({ id, label, value, onChange, placeholder, options, help, wrong }: Props): React.ReactNode {
  return (
    <Field id={id} label={label} help={help} wrong={wrong} isRequired>
      {(described) => (
        <FormSelect {...described} id={id} value={value} onChange={(_, chosen) => onChange(chosen)}>
          <FormSelectOption value="" label={placeholder} isPlaceholder />
          {options.map((option) => (
            <FormSelectOption key={option.value} {...option} />
          ))}
        </FormSelect>
      )}
    </Field>
  );
}
