// Where a list stands: search, filters, order and page are in the address, so that a link leads to just that.
import { useCallback, useMemo } from "react";
import { useSearchParams } from "react-router";

export const PER_PAGE = [25, 50, 100] as const;

export interface ListAddress<S extends string, F extends string> {
  readonly search: string;
  readonly sort: S;
  readonly descending: boolean;
  readonly page: number;
  readonly perPage: number;
  readonly offset: number;
  readonly filters: Readonly<Record<F, string>>;
  /** Whether anything is left out by search or filters. */
  readonly isNarrow: boolean;
  /** Change some of it. Whatever is not the page leads to the first one. */
  go(
    change: Partial<
      { search: string; sort: S; descending: boolean; page: number; perPage: number } & Record<F, string>
    >,
  ): void;
  clear(): void;
}

/** The list at this address. `sorts[0]` is the order where nothing is said. */
export function useListAddress<S extends string, F extends string>(
  sorts: readonly [S, ...S[]],
  filters: readonly F[],
): ListAddress<S, F> {
  const [words, setWords] = useSearchParams();
  const go = useCallback(
    (change: Record<string, unknown>) =>
      setWords((before) => changed(before, change, sorts[0]), { replace: !("page" in change) }),
    [setWords, sorts],
  );
  return useMemo(() => {
    const chosen = Object.fromEntries(filters.map((name) => [name, words.get(name) ?? ""])) as Record<F, string>;
    const search = words.get("search") ?? "";
    const page = Math.max(1, Number.parseInt(words.get("page") ?? "1", 10) || 1);
    const asked = Number(words.get("perPage"));
    const perPage = PER_PAGE.find((size) => size === asked) ?? PER_PAGE[1];
    return {
      search,
      sort: sorts.find((name) => name === words.get("sort")) ?? sorts[0],
      descending: words.get("descending") === "true",
      page,
      perPage,
      offset: (page - 1) * perPage,
      filters: chosen,
      isNarrow: search !== "" || Object.values(chosen).some((value) => value !== ""),
      go,
      clear: () => setWords({}, { replace: true }),
    };
  }, [words, sorts, filters, go, setWords]);
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
