import { words } from "../messages";
import "./meter.css";

interface Props {
  /** 0 to 100; null where it is not told. */
  percent: number | null;
  label: string;
  /** How much of how much that is. */
  text?: string | undefined;
  /** As wide as there is room. */
  isWide?: boolean;
}

const HIGH = 75;
const FULL = 90;

/** How much of something is used, as a small bar with its number. */
export function Meter({ percent, label, text, isWide = false }: Props): React.ReactNode {
  if (percent === null) return <span className="oms-subtle">{words.parts.none}</span>;
  const level = percent >= FULL ? "full" : percent >= HIGH ? "high" : "fine";
  return (
    <span className={isWide ? "oms-meter oms-meter-wide" : "oms-meter"}>
      <meter className={`oms-meter-bar oms-meter-${level}`} min={0} max={100} value={percent} aria-label={label} />
      <span className="oms-meter-percent">{Math.round(percent)} %</span>
      {text !== undefined && <span className="oms-meter-text">{text}</span>}
    </span>
  );
}

/** The share of a whole, in percent; null where either is not told. */
export function share(used: number | null, whole: number | null): number | null {
  return used === null || whole === null || whole <= 0 ? null : Math.min(100, (100 * used) / whole);
}
