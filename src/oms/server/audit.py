"""One line of JSON for each call: who, from where, what, with which parameters, how it ended.

Written before the answer leaves. Secrets print as dots because they are `Secret`; texts are cut at 2 KiB; JSON
escapes what would break a line. The file is turned over at a size, so that no caller can fill the disk.
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

LONGEST_TEXT = 2048
LARGEST_FILE_BYTES = 64 * 1024 * 1024
FILES_KEPT = 4


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call."""

    time: str
    address: str
    method: str
    user: str = ""
    session: str = ""  # the first digits of its digest
    host: str = ""
    params: dict[str, Any] = {}
    outcome: str = "ok"
    reason: str = ""
    job: str = ""
    milliseconds: float = 0


class Audit:
    """The file. Blocks for one `write` a call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        self._open()

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._size = os.fstat(self._file).st_size

    def write(self, line: Line) -> None:
        """Add a line."""
        self._size += os.write(self._file, self._encode(line) + b"\n")
        if self._size > LARGEST_FILE_BYTES:
            self._turn_over()

    def _turn_over(self) -> None:
        os.close(self._file)
        for number in range(FILES_KEPT - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            if older.exists():
                older.rename(self._path.with_name(f"{self._path.name}.{number + 1}"))
        self._path.rename(self._path.with_name(f"{self._path.name}.1"))
        self._open()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def moment() -> str:
    """Now, as RFC 3339 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def printable(names: Iterable[str], op: object) -> dict[str, Any]:
    """An operation's parameters as they may be written: long texts cut, secrets left to print as dots."""
    return {name: _cut(getattr(op, name)) for name in names}


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + "…"
    if isinstance(value, dict):
        return {_cut(key): "•••" if "passw" in str(key) else _cut(item) for key, item in list(value.items())[:64]}
    if isinstance(value, (list, tuple)):
        return [_cut(item) for item in value[:64]]
    return value
