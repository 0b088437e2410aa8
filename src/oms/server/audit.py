"""One line of JSON for each call: who, from where, what, with which parameters, how it ended.

Written before the answer leaves. Secrets print as dots because they are `Secret`; texts are cut at 2 KiB; JSON
escapes what would break a line. The file is turned over at a size, so that no caller can fill the disk.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from oms.contract.errors import FuncManError

log = structlog.get_logger("oms.audit")
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
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size
        self._torn = False

    def write(self, line: Line) -> None:
        """Add a line. Raises FuncManError where that cannot be done: nothing is answered without it."""
        text = (b"\n" if self._torn else b"") + self._encode(line) + b"\n"
        try:
            written = os.write(self._file, text)
        except OSError as failure:
            raise _unwritable(failure.strerror) from failure
        self._size += written
        self._torn = written < len(text)
        if self._torn:
            raise _unwritable("No space left on device")
        if self._size > LARGEST_FILE_BYTES:
            self._turn_over()

    def _turn_over(self) -> None:
        full = self._file
        try:
            self._shift()
            self._open()
        except OSError as failure:
            log.error("audit not turned over", failure=failure.strerror)  # noqa: TRY400 - no bug
            self._size = 0  # try again after as much
        else:
            os.close(full)

    def _shift(self) -> None:
        for number in range(FILES_KEPT - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            if older.exists():
                older.rename(self._path.with_name(f"{self._path.name}.{number + 1}"))
        self._path.rename(self._path.with_name(f"{self._path.name}.1"))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _unwritable(why: str | None) -> FuncManError:
    log.error("audit not written", failure=why)
    return FuncManError(
        "OMS cannot write down who asked what, and answers nothing without that: make room on OMS's disk.",
        cause="audit",
    )


def printable(names: Iterable[str], op: object) -> dict[str, Any]:
    """An operation's parameters as they may be written: long texts cut, secrets left to print as dots."""
    return {name: _cut(getattr(op, name)) for name in names}


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + "…"
    if isinstance(value, dict):
        return {_cut(key): _of(str(key), item) for key, item in list(value.items())[:64]}
    if isinstance(value, (list, tuple)):
        return [_cut(item) for item in value[:64]]
    return value


def _of(key: str, item: Any) -> Any:
    """What a caller tells a guest in cloud-init's words holds passwords too."""
    return "•••" if "passw" in key.lower() or key == "user_data" else _cut(item)
