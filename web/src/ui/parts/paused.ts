import { useEffect, useState } from "react";

/** What is typed, once nothing has been typed for a moment: so that not every letter is asked about. */
export function usePaused(typed: string, pauseMs = 200): string {
  const [paused, setPaused] = useState(typed);
  useEffect(() => {
    const timer = setTimeout(() => setPaused(typed), pauseMs);
    return () => clearTimeout(timer);
  }, [typed, pauseMs]);
  return paused;
}
