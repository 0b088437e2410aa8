import {
  Button,
  EmptyState,
  EmptyStateActions,
  EmptyStateBody,
  EmptyStateFooter,
  Skeleton,
} from "@patternfly/react-core";
import { ArrowsAltVIcon, LongArrowAltDownIcon, LongArrowAltUpIcon } from "@patternfly/react-icons";
import { Table, TableGridBreakpoint, Tbody, Thead } from "@patternfly/react-table";
import { memo, useCallback, useRef, useState } from "react";
import { words } from "../../messages";
import { Check } from "../Check";
import { Dots, MenuAt, type Offered } from "../RowMenu";
import type { ListAddress, Stand } from "./address";
import { RowLinks, useFollowing } from "./links";
import { useInSteps } from "./steps";
import "./list.css";

export interface Column<Row, S extends string> {
  readonly title: string;
  /** Rows come and go in the same elements: what keeps a state of its own in a cell has the row's key. */
  readonly cell: (row: Row) => React.ReactNode;
  /** By which order the list is asked for where this is clicked. */
  readonly sort?: S;
  /** Its share of the room that is left, and the least that it needs, in rem: see `widths`. */
  readonly width?: readonly [share: number, least: number];
}

interface Props<Row, S extends string, F extends string> {
  label: string;
  at: ListAddress<S, F>;
  columns: readonly Column<Row, S>[];
  /** undefined while they are on their way for the first time. */
  rows: readonly Row[] | undefined;
  /** Whether they are those before, while what the address says is on its way. */
  areOld?: boolean;
  keyOf: (row: Row) => string;
  nameOf: (row: Row) => string;
  chosen?: ReadonlySet<string>;
  onChoose?: (keys: ReadonlySet<string>) => void;
  /** The same function while it says the same: rows that stay as they are, are not drawn anew then. */
  actions?: (row: Row) => Offered;
  /** What is shown where there is nothing, and nothing was left out. */
  empty: React.ReactNode;
}

const WAITING_ROWS = 6;
/** What they are is said: some browsers forget it where CSS makes a table of grids. */
const AS = {
  group: { role: "rowgroup" },
  row: { role: "row" },
  head: { role: "columnheader" },
  cell: { role: "gridcell" },
} as const;

/**
 * A part of a list that OMS sorts and cuts into pages, drawn from above. Rows and cells are plain: PatternFly's own take ten times as long.
 * Where the columns have widths, the browser lays out only the rows that are on the screen.
 */
export function ListTable<Row, S extends string, F extends string>(props: Props<Row, S, F>): React.ReactNode {
  const { label, at, columns, rows, areOld = false, keyOf, nameOf, chosen, onChoose, actions, empty } = props;
  const choose = useChoosing(chosen, onChoose);
  const drawn = useInSteps(rows, keyOf);
  const follow = useFollowing();
  const menu = useMenu();
  const opened = drawn?.find(({ row }) => keyOf(row) === menu.opened?.id);
  if (rows?.length === 0) return at.isNarrow || at.page > 1 ? <NothingFits clear={at.clear} /> : empty;
  const isAll = rows?.every((row) => chosen?.has(keyOf(row))) ?? false;
  const tracks = widths(columns, onChoose !== undefined, actions !== undefined);
  const isLong = tracks !== undefined;
  const table = (
    <Table
      aria-label={label}
      onClick={follow}
      aria-busy={areOld}
      variant="compact"
      isStickyHeader
      {...(isLong && {
        gridBreakPoint: TableGridBreakpoint.gridLg,
        style: { "--oms-list-widths": tracks } as React.CSSProperties,
      })}
      className={`${isLong ? "oms-list-long" : ""} ${areOld ? "oms-list-old" : ""}`}
    >
      <Thead {...AS.group}>
        <tr className="pf-v6-c-table__tr" {...AS.row}>
          {onChoose && (
            <th scope="col" {...AS.head} className="pf-v6-c-table__th pf-v6-c-table__check">
              <Check
                id="choose-all"
                label={words.parts.selectPage}
                isOn={isAll}
                onChange={(isOn) => onChoose(new Set(isOn ? (rows ?? []).map(keyOf) : []))}
              />
            </th>
          )}
          {columns.map((column) => (
            <Heading key={column.title} at={at} column={column} />
          ))}
          {actions && (
            <th scope="col" {...AS.head} className="pf-v6-c-table__th">
              <span className="pf-v6-screen-reader">{words.parts.actions}</span>
            </th>
          )}
        </tr>
      </Thead>
      <Tbody {...AS.group}>
        {drawn === undefined
          ? Array.from({ length: WAITING_ROWS }, (_, place) => (
              <tr key={place} {...AS.row} className="pf-v6-c-table__tr">
                <td
                  {...AS.cell}
                  className="pf-v6-c-table__td"
                  colSpan={columns.length + (onChoose ? 1 : 0) + (actions ? 1 : 0)}
                >
                  <Skeleton screenreaderText={words.shell.loading} />
                </td>
              </tr>
            ))
          : drawn.map(({ row, place }) => (
              <Line
                key={place}
                row={row}
                id={keyOf(row)}
                name={nameOf(row)}
                place={place}
                columns={columns as readonly Column<unknown, string>[]}
                isChosen={chosen?.has(keyOf(row)) ?? false}
                {...(onChoose && { choose })}
                {...(actions && { actions: actions as (row: unknown) => Offered, open: menu.turn })}
                isOpen={keyOf(row) === menu.opened?.id}
              />
            ))}
      </Tbody>
    </Table>
  );
  return (
    <RowLinks>
      {table}
      {menu.opened && opened && actions && (
        <MenuAt
          key={menu.opened.id}
          button={menu.opened.button}
          items={actions(opened.row)}
          onClose={menu.opened.close}
        />
      )}
    </RowLinks>
  );
}

interface LineProps {
  row: unknown;
  id: string;
  name: string;
  place: number;
  columns: readonly Column<unknown, string>[];
  isChosen: boolean;
  choose?: (key: string, isOn: boolean) => void;
  actions?: (row: unknown) => Offered;
  isOpen: boolean;
  open?: Turn;
}

/** One row; a hundred of them take a while to draw, so that those that stay as they are, are left alone. */
const Line = memo(function Line(props: LineProps) {
  const { row, id, name, place, columns, isChosen, choose, actions, isOpen, open } = props;
  return (
    <tr {...AS.row} className={`pf-v6-c-table__tr ${isChosen ? "pf-m-selected" : ""}`}>
      {choose && (
        <td {...AS.cell} className="pf-v6-c-table__td pf-v6-c-table__check">
          <Check
            id={`choose-${place}`}
            label={words.parts.select(name)}
            isOn={isChosen}
            onChange={(isOn) => choose(id, isOn)}
          />
        </td>
      )}
      <Cells row={row} columns={columns} />
      {actions && (
        <td {...AS.cell} className="pf-v6-c-table__td pf-v6-c-table__action">
          {actions(row).some(Boolean) && (
            <Dots of={name} isOpen={isOpen} onClick={({ currentTarget }) => open?.(id, currentTarget)} />
          )}
        </td>
      )}
    </tr>
  );
});

/** What a row says stays when the row is chosen. */
const Cells = memo(function Cells({ row, columns }: Pick<LineProps, "row" | "columns">) {
  return columns.map((column) => (
    <td key={column.title} {...AS.cell} data-label={column.title} className="pf-v6-c-table__td">
      {column.cell(row)}
    </td>
  ));
});

type Turn = (id: string, button: HTMLButtonElement) => void;

interface Menu {
  readonly opened: { id: string; button: HTMLButtonElement; close: () => void } | undefined;
  readonly turn: Turn;
}

/** Which row's menu is open: of all rows, one at a time. */
function useMenu(): Menu {
  const [opened, setOpened] = useState<Menu["opened"]>();
  const turn = useCallback<Turn>((id, button) => {
    const close = (): void => setOpened((now) => (now?.id === id ? undefined : now));
    setOpened((now) => (now?.id === id ? undefined : { id, button, close }));
  }, []);
  return { opened, turn };
}

/**
 * How wide each column is, for all rows alike, whatever is in them; undefined where the columns do not say it and the
 * browser is to find out from every row.
 */
function widths(
  columns: readonly Column<never, string>[],
  hasBoxes: boolean,
  hasMenus: boolean,
): string | undefined {
  if (columns.some(({ width }) => width === undefined)) return undefined;
  const tracks = columns.map(({ width: [share, least] = [1, 0] }) => `minmax(${least}rem, ${share}fr)`);
  return [...(hasBoxes ? ["3rem"] : []), ...tracks, ...(hasMenus ? ["3.5rem"] : [])].join(" ");
}

/** The same function all the time, so that choosing one row does not draw the others. */
function useChoosing(
  chosen: ReadonlySet<string> | undefined,
  onChoose: ((keys: ReadonlySet<string>) => void) | undefined,
): (key: string, isOn: boolean) => void {
  const now = useRef({ chosen, onChoose });
  now.current = { chosen, onChoose };
  return useCallback((key, isOn) => {
    const after = new Set(now.current.chosen);
    if (isOn) after.add(key);
    else after.delete(key);
    now.current.onChoose?.(after);
  }, []);
}

interface HeadingProps<Row, S extends string, F extends string> {
  at: ListAddress<S, F>;
  column: Column<Row, S>;
}

function Heading<Row, S extends string, F extends string>({
  at,
  column,
}: HeadingProps<Row, S, F>): React.ReactNode {
  const { title, sort } = column;
  if (sort === undefined) {
    return (
      <th scope="col" {...AS.head} className="pf-v6-c-table__th">
        {title}
      </th>
    );
  }
  const isSorted = at.sort === sort;
  const Sign = !isSorted ? ArrowsAltVIcon : at.descending ? LongArrowAltDownIcon : LongArrowAltUpIcon;
  const way = (from: Stand<S, F>) => ({ sort, descending: from.sort === sort && !from.descending }) as never;
  return (
    <th
      scope="col"
      {...AS.head}
      className={`pf-v6-c-table__th pf-v6-c-table__sort ${isSorted ? "pf-m-selected" : ""}`}
      {...(isSorted && { "aria-sort": at.descending ? "descending" : "ascending" })}
    >
      <button
        type="button"
        className="pf-v6-c-table__button"
        onClick={() => at.go(way(at))}
        onPointerEnter={() => at.approach(way)}
        onPointerLeave={() => at.approach(undefined)}
      >
        <span className="pf-v6-c-table__button-content">
          <span className="pf-v6-c-table__text">{title}</span>
          <span className="pf-v6-c-table__sort-indicator">
            <Sign />
          </span>
        </span>
      </button>
    </th>
  );
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
