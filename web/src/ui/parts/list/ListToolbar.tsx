import {
  FormSelect,
  FormSelectOption,
  SearchInput,
  Toolbar,
  ToolbarContent,
  ToolbarGroup,
  ToolbarItem,
} from "@patternfly/react-core";
import { useEffect, useState } from "react";
import { words } from "../../messages";
import type { ListAddress } from "./address";
import { Pages } from "./Pages";
import { TypedFilter, type UseFound } from "./TypedFilter";

const PAUSE_MS = 250;

interface Named<F extends string> {
  readonly name: F;
  readonly label: string;
}

/** One of a few, or one of as many as there are, which is found by typing a part of its name. */
export type Filter<F extends string> = Named<F> &
  (
    | { readonly options: readonly { readonly value: string; readonly label: string }[] }
    | { readonly useFound: UseFound }
  );

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
        <ToolbarItem className="oms-list-sought">
          <Sought at={at} />
        </ToolbarItem>
        <ToolbarGroup variant="filter-group">
          {filters.map((filter) => {
            const { name, label } = filter;
            const choose = (value: string): void => at.go({ [name]: value } as never);
            return (
              <ToolbarItem key={name}>
                {"useFound" in filter ? (
                  <TypedFilter
                    label={label}
                    value={at.filters[name]}
                    useFound={filter.useFound}
                    onChoose={choose}
                  />
                ) : (
                  <FormSelect aria-label={label} value={at.filters[name]} onChange={(_, value) => choose(value)}>
                    <FormSelectOption value="" label={`${label}: ${words.parts.any}`} />
                    {filter.options.map((option) => (
                      <FormSelectOption key={option.value} {...option} />
                    ))}
                  </FormSelect>
                )}
              </ToolbarItem>
            );
          })}
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
