import { useState } from "react";
import { words } from "../messages";
import "./mark.css";

export type Look = "grey" | "blue" | "green" | "orange" | "red" | "success" | "danger";

interface Props {
  look?: Look;
  /** With a line around it, as states are told. */
  isOutlined?: boolean;
  icon?: React.ReactNode;
  /** More than the word says, where somebody points at it. */
  title?: string;
  children: string;
}

/** A word in a frame. It looks as PatternFly's label and does nothing more than be read: lists have hundreds of them. */
export function Mark({ look = "grey", isOutlined = false, icon, title, children }: Props): React.ReactNode {
  return (
    <span className={`oms-mark oms-mark-${look} ${isOutlined ? "oms-mark-outlined" : ""}`} title={title}>
      {icon}
      <span className="oms-mark-text">{children}</span>
    </span>
  );
}

const FEW = 3;

interface MarksProps {
  /** What they are. */
  label: string;
  marks: readonly { readonly text: string; readonly look?: Look }[];
}

/** Several beside each other; of many, only the first few until somebody wants to see the rest. */
export function Marks({ label, marks }: MarksProps): React.ReactNode {
  const [showsAll, setShowsAll] = useState(false);
  if (marks.length === 0) return null;
  return (
    <ul className="oms-marks" aria-label={label}>
      {marks.slice(0, showsAll ? marks.length : FEW).map(({ text, look = "grey" }) => (
        <li key={`${look} ${text}`}>
          <Mark look={look}>{text}</Mark>
        </li>
      ))}
      {marks.length > FEW && (
        <li>
          <button
            type="button"
            className="oms-mark oms-mark-more"
            aria-expanded={showsAll}
            onClick={() => setShowsAll(!showsAll)}
          >
            {showsAll ? words.parts.fewer : words.parts.more(marks.length - FEW)}
          </button>
        </li>
      )}
    </ul>
  );
}
