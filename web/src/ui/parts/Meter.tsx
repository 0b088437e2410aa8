import { Card, CardBody, CardTitle } from "@patternfly/react-core";
import { words } from "../messages";
import "./meter.css";

interface Props {
  /** 0 to 100; null where it is not told. */
  percent: number | null;
  label: string;
  /** How much of how much that is. */
  text?: string | undefined;
  /** Small, as in a table; `wide`: as wide as there is room; `high`: that too, with the text below. */
  form?: "small" | "wide" | "high";
}

const HIGH = 75;
const FULL = 90;

/** How much of something is used, as a bar with its number. */
export function Meter({ percent, label, text, form = "small" }: Props): React.ReactNode {
  if (percent === null) return <span className="oms-subtle">{words.parts.none}</span>;
  const level = percent >= FULL ? "full" : percent >= HIGH ? "high" : "fine";
  return (
    <span className={`oms-meter oms-meter-${form}`}>
      <meter className={`oms-meter-bar oms-meter-${level}`} min={0} max={100} value={percent} aria-label={label} />
      <span className="oms-meter-percent">{Math.round(percent)} %</span>
      {text !== undefined && <span className="oms-meter-text">{text}</span>}
    </span>
  );
}

interface CardProps {
  title: string;
  /** As OMS tells it; undefined while it is not known. */
  percent: string | undefined;
  text: string | undefined;
}

/** The same as one of several cards. */
export function MeterCard({ title, percent, text }: CardProps): React.ReactNode {
  return (
    <Card isFullHeight isCompact>
      <CardTitle component="h2">{title}</CardTitle>
      <CardBody>
        <Meter
          form="high"
          percent={percent === undefined ? null : Math.min(100, Number(percent))}
          label={title}
          text={text}
        />
      </CardBody>
    </Card>
  );
}

/** The share of a whole, in percent; null where either is not told. */
export function share(used: number | null, whole: number | null): number | null {
  return used === null || whole === null || whole <= 0 ? null : Math.min(100, (100 * used) / whole);
}
