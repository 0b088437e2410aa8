import { startTransition, useEffect, useState } from "react";

/** As many rows as a screen shows. */
export const FIRST = 25;

/**
 * Many rows, drawn in two steps, so that what one sees is there at once: first those that fill the screen, above what was
 * below them before; then all, whenever nothing more urgent is to be done.
 */
export function useInSteps<Row>(
  rows: readonly Row[] | undefined,
  keyOf: (row: Row) => string,
): readonly Row[] | undefined {
  const [drawn, setDrawn] = useState<readonly Row[]>();
  useEffect(() => {
    if (rows !== drawn) startTransition(() => setDrawn(rows));
  }, [rows, drawn]);
  if (rows === undefined || rows === drawn) return rows;
  const first = rows.slice(0, FIRST);
  const there = new Set(first.map(keyOf));
  const below = drawn?.slice(FIRST, rows.length) ?? [];
  return [...first, ...below.filter((row) => !there.has(keyOf(row)))];
}
