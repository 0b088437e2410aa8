import { type RefObject, useEffect, useRef } from "react";

/** Whether the part is still on the page: what becomes of a change is said at the corner where its dialog has gone. */
export function useHere(): RefObject<boolean> {
  const here = useRef(true);
  useEffect(() => {
    here.current = true;
    return () => {
      here.current = false;
    };
  }, []);
  return here;
}
