"""Rows on a terminal: a table, or one thing below the other where that is too wide without what tells less too."""

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from oms.cli.output import Rows, fitted

COLOURS = {
    **dict.fromkeys(("running", "done"), "green"),
    **dict.fromkeys(("failed", "crashed"), "red"),
    **dict.fromkeys(("paused", "queued", "sent", "cancelled"), "yellow"),
}
"""Words that are seen from afar, on a terminal that has colours and where NO_COLOR does not forbid them."""


def show(found: Rows) -> None:
    """Print them on this terminal."""
    console = Console(highlight=False)
    for part in parts(found, console):
        console.print(part)


def parts(found: Rows, console: Console) -> list[Table]:
    """What is to be printed on that console, one below the other."""
    if not found.rows:
        return []
    if not found.of_things:
        return [_table([], found.rows)]
    narrow, fits = fitted(found, console.width, cell_len)
    if fits:
        return [_table(narrow.columns, narrow.rows)]
    return [_below(found.columns, row) for row in found.rows]


def _below(heads: list[str], row: list[str]) -> Table:
    made = _table([], [[name, cell] for name, cell in zip(heads, row, strict=True) if cell])
    made.add_row()
    return made


def _table(heads: list[str], rows: list[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=bool(heads), header_style="bold")
    for name in heads or [""] * max(map(len, rows)):
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, COLOURS.get(cell, "")) for cell in row))
    return table
