// Whether somebody is there to look. A page that nobody looks at asks for nothing by itself: a session that is left
// alone ends in its time, as everywhere, and a browser full of forgotten tabs is no load.
import { type Store, store } from "../parts/store";

const AWAY_MS = 10 * 60_000;
const SIGNS = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart", "focus"] as const;

export const awake: Store<boolean> = store(true);

/** Watch for signs of somebody, until the function is called that is answered. */
export function watch(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const seen = (): void => {
    clearTimeout(timer);
    awake.set(!document.hidden);
    timer = setTimeout(() => awake.set(false), AWAY_MS);
  };
  seen();
  document.addEventListener("visibilitychange", seen);
  for (const sign of SIGNS) addEventListener(sign, seen, { passive: true });
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
    for (const sign of SIGNS) removeEventListener(sign, seen);
    awake.set(true);
  };
}
