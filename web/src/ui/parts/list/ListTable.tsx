import {
  Button,
  Checkbox,
  EmptyState,
  EmptyStateActions,
  EmptyStateBody,
  EmptyStateFooter,
  Skeleton,
} from "@patternfly/react-core";
import { Table, Tbody, Td, Th, Thead, type ThProps, Tr } from "@patternfly/react-table";
import { memo } from "react";
import { words } from "../../messages";
import type { ListAddress } from "./address";

/** PatternFly's cell of a checkbox; the checkbox itself is ours, since it is to be called after its row. */
const CHECK = "pf-v6-c-table__check";

export interface Column<Row, S extends string> {
  readonly title: string;
  readonly cell: (row: Row) => React.ReactNode;
  /** By which order the list is asked for where this is clicked. */
  readonly sort?: S;
}

interface Props<Row, S extends string, F extends string> {
  label: string;
  at: ListAddress<S, F>;
  columns: readonly Column<Row, S>[];
  /** undefined while they are on their way for the first time. */
  rows: readonly Row[] | undefined;
  keyOf: (row: Row) => string;
  nameOf: (row: Row) => string;
  chosen?: ReadonlySet<string>;
  onChoose?: (keys: ReadonlySet<string>) => void;
  /** The same function while it says the same: rows that stay as they are, are not drawn anew then. */
  actions?: (row: Row) => React.ReactNode;
  /** What is shown where there is nothing, and nothing was left out. */
  empty: React.ReactNode;
}

const WAITING_ROWS = 6;

/** A part of a list that OMS sorts and cuts into pages. */
export function ListTable<Row, S extends string, F extends string>(props: Props<Row, S, F>): React.ReactNode {
  const { label, at, columns, rows, keyOf, nameOf, chosen, onChoose, actions, empty } = props;
  if (rows?.length === 0) return at.isNarrow || at.page > 1 ? <NothingFits clear={at.clear} /> : empty;
  const isAll = rows?.every((row) => chosen?.has(keyOf(row))) ?? false;
  return (
    <Table aria-label={label} variant="compact" isStickyHeader>
      <Thead>
        <Tr>
          {onChoose && (
            <Th className={CHECK}>
              <Checkbox
                id="choose-all"
                aria-label={words.parts.selectPage}
                isChecked={isAll}
                onChange={(_, isOn) => onChoose(new Set(isOn ? (rows ?? []).map(keyOf) : []))}
              />
            </Th>
          )}
          {columns.map((column, place) => (
            <Th
              key={column.title}
              modifier="nowrap"
              {...(column.sort !== undefined && { sort: sorting(at, columns, column.sort, place) })}
            >
              {column.title}
            </Th>
          ))}
          {actions && <Th screenReaderText={words.parts.actions} />}
        </Tr>
      </Thead>
      <Tbody>
        {rows === undefined
          ? Array.from({ length: WAITING_ROWS }, (_, place) => (
              <Tr key={place}>
                <Td colSpan={columns.length + (onChoose ? 1 : 0) + (actions ? 1 : 0)}>
                  <Skeleton screenreaderText={words.shell.loading} />
                </Td>
              </Tr>
            ))
          : rows.map((row, place) => (
              <Tr key={keyOf(row)} isRowSelected={chosen?.has(keyOf(row)) ?? false}>
                {onChoose && chosen && (
                  <Td className={CHECK}>
                    <Checkbox
                      id={`choose-${place}`}
                      aria-label={words.parts.select(nameOf(row))}
                      isChecked={chosen.has(keyOf(row))}
                      onChange={(_, isOn) => onChoose(changed(chosen, keyOf(row), isOn))}
                    />
                  </Td>
                )}
                <Cells row={row} columns={columns as readonly Column<unknown, string>[]} />
                {actions && <Actions row={row} actions={actions as (row: unknown) => React.ReactNode} />}
              </Tr>
            ))}
      </Tbody>
    </Table>
  );
}

/** A hundred rows take a while to draw: choosing one, or all of them, leaves what they say alone. */
const Cells = memo(function Cells({
  row,
  columns,
}: {
  row: unknown;
  columns: readonly Column<unknown, string>[];
}) {
  return columns.map((column) => (
    <Td key={column.title} dataLabel={column.title}>
      {column.cell(row)}
    </Td>
  ));
});

const Actions = memo(function Actions({
  row,
  actions,
}: {
  row: unknown;
  actions: (row: unknown) => React.ReactNode;
}) {
  return <Td isActionCell>{actions(row)}</Td>;
});

function sorting<Row, S extends string, F extends string>(
  at: ListAddress<S, F>,
  columns: readonly Column<Row, S>[],
  sort: S,
  place: number,
): NonNullable<ThProps["sort"]> {
  return {
    sortBy: {
      index: columns.findIndex((column) => column.sort === at.sort),
      direction: at.descending ? "desc" : "asc",
    },
    onSort: (_: unknown, __: number, direction: string) =>
      at.go({ sort, descending: direction === "desc" } as never),
    columnIndex: place,
  };
}

function changed(chosen: ReadonlySet<string>, key: string, isOn: boolean): ReadonlySet<string> {
  const after = new Set(chosen);
  if (isOn) after.add(key);
  else after.delete(key);
  return after;
}

function NothingFits({ clear }: { clear: () => void }): React.ReactNode {
  return (
    <EmptyState titleText={words.parts.nothingFits} headingLevel="h2">
      <EmptyStateBody>{words.parts.nothingFitsText}</EmptyStateBody>
      <EmptyStateFooter>
        <EmptyStateActions>
          <Button variant="link" onClick={clear}>
            {words.parts.clearFilters}
          </Button>
        </EmptyStateActions>
      </EmptyStateFooter>
    </EmptyState>
  );
}
