"""The recordings of consoles: a directory with a file for each, which nobody names but by an id.

What a recording is of stands in its own first line, so that the directory is all there is. Everything here blocks,
and may be called from any thread.
"""

import codecs
import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from oms.contract.errors import InUse, NotRecorded, NotThere

log = structlog.get_logger("oms.consoles")
PIECE_BYTES = 512 * 1024
DAY_SECONDS = 86_400
LONGEST_HEAD = 4096
_NAME = re.compile(r"([0-9a-f]{32})\.cast")


class About(msgspec.Struct, frozen=True):
    """What a recording is of. `user` is whose console it was, and so whose recording it is."""

    console: str = ""
    kind: str = ""
    host: str = ""
    guest: str = ""
    user: str = ""


class Head(msgspec.Struct, frozen=True):
    """The first line of a file, as asciicast has it; `oms` is our own, and no player minds it. `timestamp` is
    seconds since 1970."""

    width: int = 0
    height: int = 0
    timestamp: int = 0
    title: str = ""
    oms: About = About()
    version: int = 2


class Recorded(msgspec.Struct, frozen=True):
    """A recording as it lies there. `until` is when it was last written; both are seconds since 1970."""

    id: str
    about: About
    since: float
    until: float
    size: int
    written: bool
    """Whether it is still being written."""


class Piece(msgspec.Struct, frozen=True):
    """Some of a recording. `end` is where in the file it ends, `size` how large that is; both in bytes."""

    text: str
    end: int
    size: int


class Shelf:
    """The directory."""

    def __init__(self, directory: Path, *, days: int, most_bytes: int) -> None:
        """So long a recording is kept, and so much of all of them."""
        self._directory, self._days, self._most_bytes = directory, days, most_bytes
        self._written: set[str] = set()

    def begin(self, head: Head) -> tuple[str, BinaryIO]:
        """A new recording's id, and its file with the first line in it. Raises NotRecorded."""
        made = secrets.token_hex(16)
        self._written.add(made)
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            file = os.fdopen(
                os.open(self._path(made), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
            )
            file.write(msgspec.json.encode(head) + b"\n")
            file.flush()
        except OSError as failure:
            self.ended(made)
            self.throw_away(made)
            raise NotRecorded(f"{head.title} is not opened, because it {why_not(failure)}.") from failure
        return made, file

    def ended(self, recording: str) -> None:
        """Nobody writes it any more."""
        self._written.discard(recording)

    def throw_away(self, recording: str) -> None:
        """Without a word, whether that can be done or not."""
        with contextlib.suppress(OSError):
            self._path(recording).unlink()

    def all(self) -> list[Recorded]:
        """The newest first."""
        found = [recorded for path in self._files() if (recorded := self._seen(path)) is not None]
        return sorted(found, key=lambda recorded: (recorded.since, recorded.id), reverse=True)

    def find(self, recording: str) -> Recorded:
        """Raises NotThere."""
        found = self._seen(self._path(recording))
        if found is None:
            raise not_there(recording)
        return found

    def read(self, recording: str, offset: int) -> Piece:
        """What stands from there on, as much of it as goes into one answer. Raises NotThere."""
        try:
            with self._path(recording).open("rb") as file:
                file.seek(offset)
                data, size = file.read(PIECE_BYTES), os.fstat(file.fileno()).st_size
        except OSError as failure:
            raise not_there(recording) from failure
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data, final=offset + len(data) >= size)
        half_a_letter = len(decoder.getstate()[0])
        return Piece(text, offset + len(data) - half_a_letter, size)

    def delete(self, recording: str) -> None:
        """Raises NotThere, and InUse while it is being written."""
        if recording in self._written:
            raise InUse(f"Recording {recording} is being written: close its console first.")
        try:
            self._path(recording).unlink()
        except OSError as failure:
            raise not_there(recording) from failure

    def tidy(self) -> None:
        """Throw away what is too old, and then the oldest until the rest is small enough."""
        too_old = time.time() - self._days * DAY_SECONDS
        files = sorted(((path, path.stat()) for path in self._files()), key=lambda found: found[1].st_mtime)
        size = sum(stat.st_size for _, stat in files)
        for path, stat in files:
            if path.stem in self._written or (stat.st_mtime > too_old and size <= self._most_bytes):
                continue
            path.unlink(missing_ok=True)
            size -= stat.st_size
            log.info("recording thrown away", id=path.stem, bytes=stat.st_size)

    def _path(self, recording: str) -> Path:
        return self._directory / f"{recording}.cast"

    def _files(self) -> Iterator[Path]:
        if self._directory.is_dir():
            yield from (path for path in self._directory.iterdir() if _NAME.fullmatch(path.name))

    def _seen(self, path: Path) -> Recorded | None:
        """None where it was thrown away meanwhile."""
        try:
            with path.open("rb") as file:
                line, stat = file.readline(LONGEST_HEAD), os.fstat(file.fileno())
        except OSError:
            return None
        try:
            head = msgspec.json.decode(line, type=Head)
        except (msgspec.MsgspecError, UnicodeError):
            head = Head()  # torn when the disk was full: administrators may delete it
        since = head.timestamp or stat.st_mtime
        return Recorded(path.stem, head.oms, since, stat.st_mtime, stat.st_size, path.stem in self._written)


def not_there(recording: str) -> NotThere:
    """There is none of that id, or none that the caller may know of."""
    return NotThere(f"There is no recording {recording}: list_recordings lists those that there are.")


def why_not(failure: OSError) -> str:
    """What cannot be done, why, and what to do."""
    if failure.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            "cannot be recorded: OMS's disk is full. Make room there, or keep fewer recordings (OMS's settings "
            "recording_days, recording_mb)"
        )
    return (
        f"cannot be recorded ({failure.strerror}): see that OMS's account may write into recordings/ in the "
        "server's directory, or switch its setting record_consoles off"
    )
