"""An answer as it is asked for: a table for people; JSON, YAML, CSV or plain lines for programs.

JSON and YAML are the answer itself, as the reference has it. In tables, CSV and plain lines what is within a thing
stands by its path (`stats.cpu.percentage`), and what a terminal would act on is shown as an escape.
"""

import csv
import json
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from oms.cli.failures import printable

Form = Literal["table", "json", "yaml", "csv", "plain"]
FORMS: tuple[Form, ...] = get_args(Form)
NOTHING = "There is none."
"""Of an empty list, where somebody looks at it."""
COLUMNS = 120
"""How wide a table is where no terminal is, unless the variable of that name says otherwise."""
BETWEEN = 2
"""Blanks between two columns."""
LESS_TOLD = (
    *(
        "params.",
        "sha256",
        "mac",
        "mtu",
        "deadline",
        "eta",
        "started",
        "notes",
        "result",
        "error.message",
        "finished",
        "uuid",
        "created",
    ),
    *("certificate_not_after", "agent_version", "architecture", "distribution", "kernel", "hypervisors", "load"),
    *("disk", "memory_used", "uptime", "unfinished_jobs", "type", "must_change", "last_", "attention", "tags"),
    *("owner", "progress", "error.name", "reason", "job", "session", "address", "host"),
)
"""Beginnings of columns that are left out, one after the other, where there is no room for all. Other forms of
output have everything. What has a name can do without an id at last."""
_UUID = re.compile(r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_TIME = re.compile(r"\A(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z\Z")


class Rows(NamedTuple):
    """An answer as rows of cells. `columns` are their names; `of_things`: each row is a thing of its own."""

    columns: list[str]
    rows: list[list[str]]
    of_things: bool


def show(answer: Any, form: Form = "table") -> None:
    """Print it."""
    plain = msgspec.to_builtins(answer)
    if form == "json":
        print(json.dumps(plain, indent=2, ensure_ascii=sys.stdout.isatty()))
    elif form == "yaml":
        import yaml

        print(yaml.safe_dump(plain, sort_keys=False, allow_unicode=not sys.stdout.isatty()), end="")
    elif form == "table":
        if not _says_nothing(plain):
            _table(for_people(plain))
        _count(plain)
    elif form == "csv":
        found = rows(plain)
        csv.writer(sys.stdout, lineterminator="\n").writerows([found.columns, *found.rows])
    else:
        for row in rows(plain).rows:
            print("\t".join(row))
    sys.stdout.flush()  # a full disk is found now, where it can be said


def _says_nothing(plain: Any) -> bool:
    """Whether an answer has members, and all are empty: of what was to be told, nothing has happened."""
    if not isinstance(plain, dict) or not plain or _page(plain) is not None:
        return False
    found = rows(plain)
    return not found.of_things and not any(row[-1] for row in found.rows)


def _count(plain: Any) -> None:
    """Tell whoever reads a page that there is more."""
    listed = _page(plain) if isinstance(plain, dict) else None
    total = plain.get("total", 0) if listed is not None else 0
    if listed and total > len(listed):
        print(f"{len(listed)} of {total}: --offset and --most show others.", file=sys.stderr)


def for_people(plain: Any) -> Rows:
    """The rows of an answer with names first, times short, only the names of what is within a thing, and without
    columns or rows that say nothing."""
    found = rows(plain, brief=True)
    if not found.of_things:
        return Rows(found.columns, [row for row in found.rows if row[-1]], of_things=False)
    columns = dict(zip(found.columns, zip(*found.rows, strict=True), strict=True))
    if "name" in columns and "id" in columns:  # what has a name is called by it, and needs no UUID besides
        pairs = zip(columns["id"], columns["name"], strict=True)
        columns["id"] = tuple("" if name and (key == name or _UUID.match(key)) else key for key, name in pairs)
    said = {name: cells for name, cells in columns.items() if any(cells)} or columns
    names = sorted(said, key=lambda name: name != "name")
    cells = [[_TIME.sub(r"\1 \2", cell) for cell in said[name]] for name in names]
    return Rows(names, [list(row) for row in zip(*cells, strict=True)], of_things=True)


def _table(found: Rows) -> None:
    if sys.stdout.isatty():
        from oms.cli import table

        table.show(found)
        if not found.rows:
            print(NOTHING, file=sys.stderr)
        return
    if found.of_things:
        found, _ = fitted(found, shutil.get_terminal_size((COLUMNS, 0)).columns)
    lines = [found.columns, *found.rows] if found.of_things else found.rows
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())


def fitted(found: Rows, room: int, wide: Callable[[str], int] = len) -> tuple[Rows, bool]:
    """These without the columns that tell less, as few of them as give the rest room; and whether that has room.
    `wide`: how many columns a text takes."""
    heads = found.columns
    widths = {head: max(map(wide, (head, *cells))) for head, *cells in zip(heads, *found.rows, strict=True)}
    fits = False
    for left_out in (None, *LESS_TOLD, *(("id",) if "name" in heads else ())):
        heads = [name for name in heads if left_out is None or not name.startswith(left_out)]
        if fits := sum(widths[name] + BETWEEN for name in heads) - BETWEEN <= room:
            break
    places = [found.columns.index(name) for name in heads]
    return found._replace(columns=heads, rows=[[row[place] for place in places] for row in found.rows]), fits


def rows(plain: Any, *, brief: bool = False) -> Rows:
    """The rows of an answer. `brief`: of a list within a thing the names alone."""
    match plain:
        case [dict(), *_]:
            return _things([dict(_flat(row)) for row in plain], brief)
        case dict() if _alike(plain.values()):
            return _things([{"name": key, **dict(_flat(row))} for key, row in plain.items()], brief)
        case dict() if (listed := _page(plain)) is not None:
            return rows(listed, brief=brief)
        case dict():
            members = [[printable(path), cell(value)] for path, value in _members(plain)]
            return Rows(["name", "value"], members, of_things=False)
        case list():
            return Rows(["value"], [[cell(value)] for value in plain], of_things=False)
        case _:
            return Rows(["value"], [[cell(plain)]], of_things=False)


def _things(things: list[dict[str, Any]], brief: bool) -> Rows:
    columns = list(dict.fromkeys(name for thing in things for name in thing))
    cells = [[cell(thing.get(name), brief=brief) for name in columns] for thing in things]
    return Rows([printable(name) for name in columns], cells, of_things=True)


def _alike(things: Collection[Any]) -> bool:
    """Whether these are things with the same members, as the machines of a host are."""
    return bool(things) and all(isinstance(thing, dict) for thing in things) and len({*map(tuple, things)}) == 1


def _page(plain: dict[str, Any]) -> list[Any] | None:
    """What is listed, where the rest only counts it."""
    lists = [value for value in plain.values() if isinstance(value, list)]
    counts = [value for value in plain.values() if isinstance(value, int)]
    if len(lists) != 1 or not counts or len(lists) + len(counts) != len(plain):
        return None
    return lists[0] if lists[0] or plain.get("total") == 0 else None


def _flat(thing: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """The members of a thing, those of its members by their paths."""
    for name, value in thing.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{within}{name}.")
        elif value != {}:
            yield f"{within}{name}", value


def _members(thing: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """The same, each of a list of things in a row of its own."""
    for name, value in thing.items():
        path = f"{within}{name}"
        match value:
            case dict() if value:
                yield from _members(value, f"{path}.")
            case [dict(), *_]:
                yield from ((path, [f"{key} {cell(part)}" for key, part in row.items()]) for row in value)
            case _:
                yield path, value


def _name(things: list[Any]) -> str:
    """The member by which all of these are named; nothing where they have none."""
    return next((name for name in ("name", "tag") if all(name in thing for thing in things)), "")


def cell(value: Any, *, brief: bool = False) -> str:
    """One value in one line."""
    match value:
        case [dict(), *_] if brief and (name := _name(value)):
            return ", ".join(cell(thing[name]) for thing in value)
        case None:
            return ""
        case str():
            return printable(value)
        case bool():
            return "yes" if value else "no"
        case float() if brief:
            return f"{value:.2f}".rstrip("0").rstrip(".")
        case list() if all(isinstance(word, str | int | float | None) for word in value):
            return " ".join("-" if word is None else printable(str(word)) for word in value)
        case [dict(), *_] if all(isinstance(thing, dict) for thing in value):
            return ", ".join(" ".join(cell(part) for part in thing.values()) for thing in value)
        case _:
            return printable(msgspec.json.encode(value).decode())
