import { FormGroup, FormHelperText, HelperText, HelperTextItem } from "@patternfly/react-core";

interface Props {
  id: string;
  label: string;
  /** What is legal, or good to know. */
  help?: React.ReactNode;
  /** Why OMS, or this page, does not take what is there; in place of the help. */
  wrong?: React.ReactNode;
  isRequired?: boolean;
  /** Whether it is several things to choose from, which have a name together. */
  isGroup?: boolean;
  children: (described: { "aria-describedby"?: string; "aria-invalid"?: boolean }) => React.ReactNode;
}

/** One thing to be filled in, with what is to be said of it below. */
export function Field({
  id,
  label,
  help,
  wrong,
  isRequired = false,
  isGroup = false,
  children,
}: Props): React.ReactNode {
  const said = wrong ?? help;
  const described = said === undefined ? {} : { "aria-describedby": `${id}-said` };
  return (
    <FormGroup label={label} fieldId={id} isRequired={isRequired} {...(isGroup && { role: "radiogroup" })}>
      {children(wrong === undefined ? described : { ...described, "aria-invalid": true })}
      {said !== undefined && (
        <FormHelperText>
          <HelperText id={`${id}-said`} aria-live="polite">
            <HelperTextItem variant={wrong === undefined ? "default" : "error"}>{said}</HelperTextItem>
          </HelperText>
        </FormHelperText>
      )}
    </FormGroup>
  );
}
