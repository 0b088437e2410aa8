import { Tooltip } from "@patternfly/react-core";
import { useEffect } from "react";
import { words } from "../messages";
import { store, useStore } from "./store";

const now = store(Date.now());
const TICK_MS = 15_000;
let shown = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** One clock for all times that are shown. */
function useClock(): number {
  useEffect(() => {
    shown += 1;
    timer ??= setInterval(() => now.set(Date.now()), TICK_MS);
    now.set(Date.now());
    return () => {
      shown -= 1;
      if (shown === 0) {
        clearInterval(timer);
        timer = undefined;
      }
    };
  }, []);
  return useStore(now);
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
/** "2026-11-26 17:56:21 UTC", in the browser's time zone. */
const absolute = new Intl.DateTimeFormat("sv-SE", {
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  timeZoneName: "short",
});
const UNITS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

/** "3 min. ago", "in 2 days": how a moment lies to another. */
export function apart(moment: number, from: number): string {
  const seconds = Math.round((moment - from) / 1000);
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return Math.abs(seconds) < 5 ? words.parts.now : relative.format(seconds, "second");
}

interface Props {
  at: string;
  none?: string;
  /** Whether the moment itself is written too. */
  isExact?: boolean;
}

/** A moment that OMS tells of, RFC 3339: how long ago, and exactly when it is pointed at. */
export function When({ at, none = words.parts.never, isExact = false }: Props): React.ReactNode {
  const clock = useClock();
  const moment = Date.parse(at);
  if (Number.isNaN(moment)) return none;
  if (isExact) {
    return (
      <time dateTime={at}>
        {apart(moment, clock)} <span className="oms-subtle">({absolute.format(moment)})</span>
      </time>
    );
  }
  return (
    <Tooltip content={absolute.format(moment)}>
      <time dateTime={at} className="oms-nowrap">
        {apart(moment, clock)}
      </time>
    </Tooltip>
  );
}

/** "4 s", "2 min 10 s", "3 h 5 min": how long something took; "" while it is not over. */
export function took(began: string, ended: string): string {
  const seconds = (Date.parse(ended) - Date.parse(began)) / 1000;
  if (Number.isNaN(seconds)) return "";
  if (seconds < 0.1) return "< 0.1 s";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
