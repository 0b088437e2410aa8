"""Rows on a terminal: a table, or one thing below the other where that is too wide without what tells less too."""

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from oms.cli.output import Rows

BETWEEN = 2
"""Blanks between two columns."""
LESS_TOLD = (
    *("deadline", "eta", "started", "notes", "result", "error.message", "finished", "uuid", "created"),
    *("certificate_not_after", "agent_version", "architecture", "distribution", "kernel", "hypervisors", "load"),
    *("disk", "memory_used", "uptime", "unfinished_jobs", "type", "must_change", "last_", "attention", "tags"),
    *("owner", "progress", "error.name", "host"),
)
"""Beginnings of columns that are left out, one after the other, where a terminal is too narrow for all. Other
forms of output have everything. What has a name can do without an id at last."""
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
    heads, rows = found.columns, found.rows
    columns = zip(heads, *rows, strict=True)
    widths = {head: max(map(cell_len, (head, *cells))) for head, *cells in columns}
    for left_out in (None, *LESS_TOLD, *(("id",) if "name" in heads else ())):
        heads = [name for name in heads if left_out is None or not name.startswith(left_out)]
        if sum(widths[name] + BETWEEN for name in heads) - BETWEEN <= console.width:
            places = [found.columns.index(name) for name in heads]
            return [_table(heads, [[row[place] for place in places] for row in rows])]
    return [_below(found.columns, row) for row in rows]


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
