import {
  FormSelect,
  FormSelectOption,
  Pagination,
  SearchInput,
  Toolbar,
  ToolbarContent,
  ToolbarGroup,
  ToolbarItem,
} from "@patternfly/react-core";
import { useEffect, useState } from "react";
import { words } from "../../messages";
import { type ListAddress, PER_PAGE } from "./address";

const PAUSE_MS = 250;

export interface Filter<F extends string> {
  readonly name: F;
  readonly label: string;
  readonly options: readonly { readonly value: string; readonly label: string }[];
}

interface Props<S extends string, F extends string> {
  at: ListAddress<S, F>;
  filters: readonly Filter<F>[];
  total: number | undefined;
  /** What can be done with those that are chosen. */
  children?: React.ReactNode;
}

/** Above a list: what it is narrowed by, and which part of it is shown. */
export function ListToolbar<S extends string, F extends string>({
  at,
  filters,
  total,
  children,
}: Props<S, F>): React.ReactNode {
  return (
    <Toolbar clearAllFilters={at.clear} clearFiltersButtonText={words.parts.clearFilters}>
      <ToolbarContent alignItems="center">
        <ToolbarItem>
          <Sought at={at} />
        </ToolbarItem>
        <ToolbarGroup variant="filter-group">
          {filters.map(({ name, label, options }) => (
            <ToolbarItem key={name}>
              <FormSelect
                aria-label={label}
                value={at.filters[name]}
                onChange={(_, value) => at.go({ [name]: value } as never)}
              >
                <FormSelectOption value="" label={`${label}: ${words.parts.any}`} />
                {options.map((option) => (
                  <FormSelectOption key={option.value} value={option.value} label={option.label} />
                ))}
              </FormSelect>
            </ToolbarItem>
          ))}
        </ToolbarGroup>
        {children !== undefined && <ToolbarGroup variant="action-group">{children}</ToolbarGroup>}
        <ToolbarItem align={{ default: "alignEnd" }}>
          <Pages at={at} total={total} />
        </ToolbarItem>
      </ToolbarContent>
    </Toolbar>
  );
}

/** The search follows what is typed after a pause, and what the address says when it changes otherwise. */
function Sought<S extends string, F extends string>({ at }: { at: ListAddress<S, F> }): React.ReactNode {
  const [typed, setTyped] = useState(at.search);
  const { search, go } = at;
  useEffect(() => setTyped(search), [search]);
  useEffect(() => {
    if (typed === search) return;
    const timer = setTimeout(() => go({ search: typed } as never), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed, search, go]);
  return (
    <SearchInput
      aria-label={words.parts.search}
      placeholder={words.parts.search}
      value={typed}
      onChange={(_, value) => setTyped(value)}
      onClear={() => setTyped("")}
    />
  );
}

/** Which part of the list is shown. */
export function Pages<S extends string, F extends string>({
  at,
  total,
}: {
  at: ListAddress<S, F>;
  total: number | undefined;
}): React.ReactNode {
  return (
    <Pagination
      isCompact
      itemCount={total ?? 0}
      page={at.page}
      perPage={at.perPage}
      perPageOptions={PER_PAGE.map((size) => ({ title: String(size), value: size }))}
      onSetPage={(_, page) => at.go({ page } as never)}
      onPerPageSelect={(_, perPage) => at.go({ perPage } as never)}
      titles={{ paginationAriaLabel: words.parts.pages, items: words.parts.items, ofWord: words.parts.of }}
    />
  );
}
