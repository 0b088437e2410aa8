// Where a list stands: search, filters, order and page are in the address, so that a link leads to just that.
import { useCallback, useMemo, useState } from "react";
import { useSearchParams } from "react-router";

export const PER_PAGE = [25, 50, 100] as const;

/** Which part of a list, in which order. */
export interface Stand<S extends string, F extends string> {
  readonly search: string;
  readonly sort: S;
  readonly descending: boolean;
  readonly page: number;
  readonly perPage: number;
  readonly offset: number;
  readonly filters: Readonly<Record<F, string>>;
}

type Change<S extends string, F extends string> = Partial<
  { search: string; sort: S; descending: boolean; page: number; perPage: number } & Record<F, string>
>;

/** A way from where the list stands to elsewhere. */
type Way<S extends string, F extends string> = (from: Stand<S, F>) => Change<S, F>;

export interface ListAddress<S extends string, F extends string> extends Stand<S, F> {
  /** Whether anything is left out by search or filters. */
  readonly isNarrow: boolean;
  /** Change some of it. Whatever is not the page leads to the first one. */
  go(change: Change<S, F>): void;
  clear(): void;
  /** Where it would stand after what somebody's pointer is at: that may be asked for ahead. */
  readonly near: Stand<S, F> | undefined;
  /** Somebody's pointer is at what leads there, or no more. */
  approach(way: Way<S, F> | undefined): void;
}

/** The list at this address. `sorts[0]` is the order where nothing is said. */
export function useListAddress<S extends string, F extends string>(
  sorts: readonly [S, ...S[]],
  filters: readonly F[],
): ListAddress<S, F> {
  const [words, setWords] = useSearchParams();
  const [way, setWay] = useState<Way<S, F>>();
  const go = useCallback(
    (change: Change<S, F>) =>
      setWords((before) => changed(before, change, sorts[0]), { replace: !("page" in change) }),
    [setWords, sorts],
  );
  return useMemo(() => {
    const stand = read(words, sorts, filters);
    return {
      ...stand,
      isNarrow: stand.search !== "" || Object.values(stand.filters).some((value) => value !== ""),
      go,
      clear: () => setWords({}, { replace: true }),
      near: way && read(changed(words, way(stand), sorts[0]), sorts, filters),
      approach: (next) => setWay(() => next),
    };
  }, [words, sorts, filters, go, setWords, way]);
}

function read<S extends string, F extends string>(
  words: URLSearchParams,
  sorts: readonly [S, ...S[]],
  filters: readonly F[],
): Stand<S, F> {
  const page = Math.max(1, Number.parseInt(words.get("page") ?? "1", 10) || 1);
  const asked = Number(words.get("perPage"));
  const perPage = PER_PAGE.find((size) => size === asked) ?? PER_PAGE[1];
  return {
    search: words.get("search") ?? "",
    sort: sorts.find((name) => name === words.get("sort")) ?? sorts[0],
    descending: words.get("descending") === "true",
    page,
    perPage,
    offset: (page - 1) * perPage,
    filters: Object.fromEntries(filters.map((name) => [name, words.get(name) ?? ""])) as Record<F, string>,
  };
}

/** The address after a change: what is as usual is not in it. */
function changed(before: URLSearchParams, change: Record<string, unknown>, usualSort: string): URLSearchParams {
  const after = new URLSearchParams(before);
  if (!("page" in change)) after.delete("page");
  const usual: Record<string, unknown> = { page: 1, sort: usualSort };
  for (const [name, value] of Object.entries(change)) {
    if (value === "" || value === false || value === usual[name]) after.delete(name);
    else after.set(name, String(value));
  }
  return after;
}
