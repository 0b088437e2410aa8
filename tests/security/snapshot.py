"""All that a refused call must leave as it was."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.server.agent import HostAgent
from tests.server.rig import Oms

Snapshot = dict[str, Any]
MOVES_BY_ITSELF = {("sessions", "used"), ("hosts", "last_seen"), ("hosts", "facts")}
"""When somebody was last heard of, and what a host says of itself meanwhile."""

ADDED_TO = ("audit", "event")
"""Tables in which a refusal leaves a row, or whatever happens meanwhile does."""


def database(path: Path) -> dict[str, list[str]]:
    """Every row of every table of an SQLite file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as opened:
        every = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = [name for name in every if not name.startswith(ADDED_TO)]
        rows = {}
        for table in tables:
            found = opened.execute(f"SELECT * FROM {table}")
            keep = [place for place, (name, *_) in enumerate(found.description) if _stays(table, name)]
            rows[table] = sorted(repr([row[place] for place in keep]) for row in found)
    return rows


def _stays(table: str, column: str) -> bool:
    return (table, column) not in MOVES_BY_ITSELF


def tree(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file, directory and link below a folder: its mode, and what is in it or where it leads."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            content = ""
        found[str(path.relative_to(folder))] = (path.lstat().st_mode, content)
    return found


def of(oms: Oms) -> Snapshot:
    """Of a server in this process: database, authority, what was sent to hosts, and what these have begun."""
    return {
        "database": database(oms.config.home / "oms.db"),
        "authority": tree(oms.folder / "signer"),
        "sent": oms.changes_sent().copy(),
        "begun": [dict(host.done if isinstance(host, HostAgent) else host.begun) for host in oms.hosts],
    }
