import { Progress } from "@patternfly/react-core";
import { useEffect, useState } from "react";

const TICK_MS = 200;

interface Props {
  seconds: number;
  /** What is waited for, and what is said when no time is left. */
  title: string;
  over: string;
}

/** Seconds that run down from when it is shown. */
export function Countdown({ seconds, title, over }: Props): React.ReactNode {
  const [left, setLeft] = useState(seconds);
  useEffect(() => {
    const end = Date.now() + seconds * 1000;
    const timer = setInterval(() => setLeft(Math.max(0, Math.ceil((end - Date.now()) / 1000))), TICK_MS);
    return () => clearInterval(timer);
  }, [seconds]);
  const said = left > 0 ? title : over;
  return (
    <Progress
      value={left}
      max={seconds}
      label={`${left} s`}
      valueText={`${left} s`}
      title={said}
      aria-label={said}
      size="sm"
    />
  );
}
