import { startTransition, useEffect, useRef, useState } from "react";

/** As many rows as a screen shows. */
export const FIRST = 25;

/** A row and where it is drawn: the same place as long as it is there. */
export interface Placed<Row> {
  readonly row: Row;
  readonly place: number;
}

/**
 * Many rows, drawn in two steps, so that what one sees is there at once: first those that fill the screen, above what was
 * below them before; then all, whenever nothing more urgent is to be done. Who comes takes the place of one that has gone: where
 * one page follows another, only words change.
 */
export function useInSteps<Row>(
  rows: readonly Row[] | undefined,
  keyOf: (row: Row) => string,
): readonly Placed<Row>[] | undefined {
  const [whole, setWhole] = useState<readonly Row[]>();
  const before = useRef<readonly Placed<Row>[]>([]);
  const isWhole = rows === undefined || rows === whole;
  const drawn = rows && placed(isWhole ? rows : beginning(rows, before.current, keyOf), before.current, keyOf);
  useEffect(() => {
    if (drawn !== undefined) before.current = drawn;
    if (!isWhole) startTransition(() => setWhole(rows));
  });
  return drawn;
}

function beginning<Row>(
  rows: readonly Row[],
  before: readonly Placed<Row>[],
  keyOf: (row: Row) => string,
): readonly Row[] {
  const first = rows.slice(0, FIRST);
  const there = new Set(first.map(keyOf));
  const below = before.slice(FIRST, rows.length).map(({ row }) => row);
  return [...first, ...below.filter((row) => !there.has(keyOf(row)))];
}

function placed<Row>(
  rows: readonly Row[],
  before: readonly Placed<Row>[],
  keyOf: (row: Row) => string,
): readonly Placed<Row>[] {
  const had = new Map(before.map(({ row, place }) => [keyOf(row), place]));
  const kept = new Set(rows.map((row) => had.get(keyOf(row))));
  const free = before.map(({ place }) => place).filter((place) => !kept.has(place));
  let next = Math.max(-1, ...had.values()) + 1;
  return rows.map((row) => ({ row, place: had.get(keyOf(row)) ?? free.shift() ?? next++ }));
}
