import { useEffect } from "react";
import { words } from "../messages";

/** Name the page in the browser's tab and history. */
export function useTitle(...parts: string[]): void {
  const title = [...parts, words.shell.short].join(" · ");
  useEffect(() => {
    document.title = title;
  }, [title]);
}
