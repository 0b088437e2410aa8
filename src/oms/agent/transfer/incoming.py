"""A file as it comes: written aside, synced and noted as far as it has come, gone on with, and checked as a whole.

The checksum is taken of what stands on the disk at the end, so that no break and no second run can leave a file
that is another one than was meant.
"""

import asyncio
import functools
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from oms import durable
from oms.agent import placing
from oms.agent.context import Job
from oms.agent.guests.threads import Lane
from oms.agent.host import space
from oms.agent.transfer.part import Broken, Head, Part
from oms.bus.transfer import DIGEST_BYTES
from oms.contract.errors import NotFetched, Unusable
from oms.contract.incoming import Received

RECORD = "received"
SYNC_BYTES = 64 * 1024**2
"""After so many, what has come is put on the disk, and that is noted: no more than this is lost by a crash."""
SLICE_SECONDS = 0.5
DIGEST_SLICE_BYTES = 256 * 1024**2
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 15.0
PERCENT_OF_BYTES = 95
"""The rest is for the checksum."""


class Wanted(msgspec.Struct, frozen=True):
    """What is known of a file before it comes. `seconds` may pass without a byte before it is given up, `at_first`
    as long as there was none at all."""

    what: str
    seconds: float
    at_first: float
    size_bytes: int | None = None
    sha256: str = ""
    largest_bytes: int | None = None
    digest_follows: bool = False
    """The file is followed by its SHA-256."""


class _Noted(msgspec.Struct):
    """How far it is: what the job's record keeps."""

    offset: int = 0
    size: int | None = None
    mark: str = ""


class _Some(msgspec.Struct, frozen=True):
    """What a moment has brought: so many bytes, and whether those were the last, or the connection broke then."""

    count: int
    ended: bool = False
    broken: Any = None


def check_room(directory: Path, wanted: Wanted) -> None:
    """See early that what is to come has room. Raises NoSpace, FuncManError."""
    with placing.told(directory):
        space.require(directory, wanted.size_bytes or 1, wanted.what)


async def receive(job: Job, path: Path, wanted: Wanted, part_at: Callable[[int, str], Part]) -> Received:
    """Have a file come to `path`, on from where an earlier run of the job was; checked when this returns.

    `part_at` makes the connection that brings it from an offset on, the same file as by that mark. Raises
    Unusable, NoSpace, NotFetched, FuncManError.
    """
    noted = msgspec.convert(job.recall(RECORD) or {}, _Noted)
    arrival = _Arrival(job, path, wanted, noted)
    try:
        await arrival.run(part_at)
        return await arrival.checked()
    finally:
        arrival.close()


class _Arrival:
    """One run of one file's coming."""

    def __init__(self, job: Job, path: Path, wanted: Wanted, noted: _Noted) -> None:
        self._job, self._path, self._wanted, self._noted = job, path, wanted, noted
        self._thread = Lane("transfer", 1)
        self._unsynced = 0
        self._moved = time.monotonic()

    def close(self) -> None:
        self._thread.close()

    async def run(self, part_at: Callable[[int, str], Part]) -> None:
        """Until all has come."""
        with placing.told(self._path.parent):
            await self._thread.run(functools.partial(_cut, self._path, self._noted.offset), None)
        pause = FIRST_PAUSE_SECONDS
        while self._noted.size is None or self._noted.offset < self._noted.size:
            offset = self._noted.offset
            try:
                await self._take(part_at(offset, self._noted.mark))
            except Broken as broken:
                self._give_up_in_time(str(broken))
                await asyncio.sleep(pause)
                pause = (
                    FIRST_PAUSE_SECONDS if self._noted.offset > offset else min(pause * 2, LONGEST_PAUSE_SECONDS)
                )
            else:
                self._give_up_in_time("nobody brings it")
                if self._noted.offset == offset:
                    await asyncio.sleep(FIRST_PAUSE_SECONDS)

    def _give_up_in_time(self, why: str) -> None:
        seconds = self._wanted.seconds if self._noted.offset else self._wanted.at_first
        if time.monotonic() - self._moved > seconds:
            raise NotFetched(
                f"{self._wanted.what} did not come any further for {seconds:g} s ({why}): nothing of it was kept"
            )

    async def _take(self, part: Part) -> None:
        try:
            head = await self._thread.run(part.open, None)
            if head is None:
                return
            await self._admit(head)
            try:
                while await self._write_some(part):
                    pass
            finally:
                await self._sync()
            if self._noted.size is None:
                self._noted.size = self._noted.offset
        finally:
            part.hang_up()

    async def _admit(self, head: Head) -> None:
        """Begin to write what comes from there on, if it is what was meant and there is room for it."""
        wanted, noted = self._wanted, self._noted
        if head.offset not in (0, noted.offset) or (head.offset and noted.size not in (None, head.size)):
            raise Broken("it is not the same file any more")
        if wanted.size_bytes is not None and head.size != wanted.size_bytes:
            raise NotFetched(f"{wanted.what} was to have {wanted.size_bytes} bytes, and has {head.size}")
        if head.size == 0:
            raise NotFetched(f"{wanted.what} is empty")
        if head.size is None and not wanted.sha256:
            raise NotFetched(
                f"Nobody says how long {wanted.what} is: give its checksum, by which its end is known"
            )
        self._check_room(head.size or 0)
        if head.offset != noted.offset:
            with placing.told(self._path.parent):
                await self._thread.run(functools.partial(_cut, self._path, 0), None)
        self._noted = _Noted(head.offset, head.size, head.mark)
        await self._job.record(RECORD, msgspec.to_builtins(self._noted))

    def _check_room(self, size: int) -> None:
        largest = self._wanted.largest_bytes
        if largest is not None and size > largest:
            raise NotFetched(
                f"{self._wanted.what} has more than {space.shown(largest)}, which is the most that this host "
                "fetches (its setting fetch_largest_gb)"
            )
        with placing.told(self._path.parent):
            space.require(self._path.parent, max(size - self._noted.offset, 1), self._wanted.what)

    async def _write_some(self, part: Part) -> bool:
        """Whether there may be more."""
        most = SYNC_BYTES - self._unsynced
        with placing.told(self._path.parent):
            some = await self._thread.run(
                functools.partial(_write, part, self._path, self._noted.offset, most), None
            )
        self._noted.offset += some.count
        self._unsynced += some.count
        if some.count:
            self._moved = time.monotonic()
        if self._noted.size is None:
            self._check_room(self._noted.offset)
        elif self._noted.offset > self._noted.size:
            raise NotFetched(f"{self._wanted.what} is longer than was said")
        if self._noted.size:
            self._job.progress(PERCENT_OF_BYTES * self._noted.offset / self._noted.size)
        if self._unsynced >= SYNC_BYTES:
            await self._sync()
        if some.broken is not None:
            raise some.broken
        return not some.ended

    async def _sync(self) -> None:
        if not self._unsynced:
            return
        with placing.told(self._path.parent):
            await self._thread.run(functools.partial(durable.sync_file, self._path), None)
        self._unsynced = 0
        await self._job.record(RECORD, msgspec.to_builtins(self._noted))

    async def checked(self) -> Received:
        """The file, if it is what was meant."""
        size = self._path.stat().st_size
        follows = b""
        if self._wanted.digest_follows:
            size -= DIGEST_BYTES
            follows = await self._thread.run(functools.partial(_split, self._path, size), None)
        digest = hashlib.sha256()
        for offset in range(0, size, DIGEST_SLICE_BYTES):
            with placing.told(self._path.parent):
                await self._thread.run(functools.partial(_add, digest, self._path, offset), None)
            self._job.progress(PERCENT_OF_BYTES + (99 - PERCENT_OF_BYTES) * offset / size)
        sha256 = digest.hexdigest()
        if sha256 != (meant := follows.hex() or self._wanted.sha256 or sha256):
            raise Unusable(
                f"{self._wanted.what} has come with the checksum {sha256}, and was to have {meant}: nothing of it "
                "was kept",
                sha256=sha256,
            )
        return Received(size, sha256)


def _cut(path: Path, size: int) -> None:
    """Make the file if there is none, and shorten it: what is behind was not noted, so it may be anything."""
    place = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, placing.PRIVATE)
    try:
        os.ftruncate(place, size)
    finally:
        os.close(place)


def _write(part: Part, path: Path, offset: int, most: int) -> _Some:
    """Take what comes for a moment."""
    until = time.monotonic() + SLICE_SECONDS
    count = 0
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        while count < most and time.monotonic() < until:
            try:
                piece = part.read()
            except Broken as broken:
                return _Some(count, broken=broken)
            if not piece:
                return _Some(count, ended=True)
            left = memoryview(piece)
            while left:
                left = left[file.write(left) :]
            count += len(piece)
    return _Some(count)


def _split(path: Path, size: int) -> bytes:
    """What stands behind the file in it; taken off."""
    with path.open("r+b") as file:
        file.seek(size)
        behind = file.read()
        file.truncate(size)
    return behind


def _add(digest: "hashlib._Hash", path: Path, offset: int) -> None:
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        left = DIGEST_SLICE_BYTES
        while left and (piece := file.read(min(left, 1024 * 1024))):
            digest.update(piece)
            left -= len(piece)
