"""An answer as people read it: lists of things as tables, or one thing below the other where the terminal is too
narrow for that; a thing as its members, by their paths; all else as it is."""

import sys
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from oms.cli.session import printable

WIDE = 10_000
"""Columns of an output that is no terminal: nothing is cut off or broken there."""


def show(answer: Any, *, as_json: bool) -> None:
    """Print it."""
    plain = msgspec.to_builtins(answer)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(plain)).decode())
        return
    match plain:
        case [dict(), *_]:
            columns = list(dict.fromkeys(name for row in plain for name in row))
            _print(columns, ([row.get(name) for name in columns] for row in plain))
        case dict() if _alike(plain.values()):
            columns = list(dict.fromkeys(name for row in plain.values() for name in row))
            rows = ([key, *(row.get(name) for name in columns)] for key, row in plain.items())
            _print(["", *columns], rows)
        case dict():
            _print([], _members(plain))
        case list():
            _print([], ([row] for row in plain))
        case _:
            print(_cell(plain))


def _alike(rows: Collection[Any]) -> bool:
    """Whether these are things with the same members, as the machines of a host are."""
    return bool(rows) and all(isinstance(row, dict) for row in rows) and len({tuple(row) for row in rows}) == 1


def _members(thing: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """What is in a thing, by its path: `cpu.percentage`; of a list of things, a row for each."""
    for name, value in thing.items():
        path = f"{within}{name}"
        match value:
            case dict() if value:
                yield from _members(value, f"{path}.")
            case [dict(), *_]:
                yield from ((path, [f"{key} {_cell(part)}" for key, part in row.items()]) for row in value)
            case _:
                yield path, value


def _print(columns: list[str], rows: Iterable[Iterable[Any]]) -> None:
    cells = [[_cell(cell) for cell in row] for row in rows]
    if not cells:
        return
    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    columns = [printable(name) for name in columns]
    table = _table(columns, cells)
    needed = console.measure(table, options=console.options.update(width=WIDE)).maximum
    if columns and needed > console.width:
        for row in cells:
            members = [[name, cell] for name, cell in zip(columns, row, strict=True) if cell]
            console.print(_table([], members))
            console.print()
    else:
        console.print(table)


def _table(columns: list[str], rows: list[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=bool(columns))
    for name in columns or [""] * max(map(len, rows)):
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return printable(value)
        case list() if all(isinstance(word, str | int | float | None) for word in value):
            return " ".join("-" if word is None else printable(str(word)) for word in value)
        case _:
            return printable(msgspec.json.encode(value).decode())
