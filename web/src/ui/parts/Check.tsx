import "./check.css";

interface Props {
  id: string;
  /** For those who hear it: nothing is written beside it. */
  label: string;
  isOn: boolean;
  onChange: (isOn: boolean) => void;
}

/** A box to tick that stands alone, as plain as can be: lists have a hundred of them. */
export function Check({ id, label, isOn, onChange }: Props): React.ReactNode {
  return (
    <input
      id={id}
      type="checkbox"
      className="oms-check"
      aria-label={label}
      checked={isOn}
      onChange={(event) => onChange(event.currentTarget.checked)}
    />
  );
}
