"""A file of fixed size that remembers a figure for each step of time, the oldest overwritten by the newest.

Each step has one place in the file, by its time, with its own checksum: what a crash tore in two is one step that
was not measured, and the file needs no repair. A file of another make is begun anew.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from oms.durable import write_whole

MAGIC = b"oms history 1\n"


class Slot(msgspec.Struct, frozen=True):
    """One step: when it began, how many measurements it had, and of each figure the average and the highest."""

    begin: int
    count: int
    average: tuple[float, ...]
    highest: tuple[float, ...]


class Ring:
    """One file. Blocks for as long as the disk does."""

    def __init__(self, path: Path, names: tuple[str, ...], step_seconds: int, slots: int) -> None:
        """`names` are those of the figures in each slot. Raises OSError."""
        self.step_seconds, self.slots = step_seconds, slots
        self._figures = len(names)
        self._layout = struct.Struct(f"<qI{2 * self._figures}d")
        self._size = self._layout.size + 4
        head = MAGIC + f"{step_seconds} {slots} {' '.join(names)}\n".encode()
        self._head = len(head)
        whole = self._head + self._size * slots
        if not _is_ours(path, head, whole):
            write_whole(path, head + bytes(whole - len(head)))
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, slot: Slot) -> None:
        """Put a step in its place. It is on the disk when this returns. Raises OSError."""
        packed = self._layout.pack(slot.begin, slot.count, *slot.average, *slot.highest)
        place = self._head + self._place(slot.begin) * self._size
        os.pwrite(self._file, packed + struct.pack("<I", zlib.crc32(packed)), place)
        os.fdatasync(self._file)

    def at(self, begin: int) -> Slot | None:
        """The step that began then, if it was kept. Raises OSError."""
        place = self._head + self._place(begin) * self._size
        slot = self._unpacked(os.pread(self._file, self._size, place))
        return slot if slot is not None and slot.begin == begin else None

    def between(self, first: int, last: int) -> Iterator[Slot]:
        """The steps that began from `first` to `last`, as they were kept, in no order. Raises OSError."""
        content = os.pread(self._file, self._size * self.slots, self._head)
        for place in range(0, len(content), self._size):
            begin = int.from_bytes(content[place : place + 8], "little", signed=True)
            if first <= begin <= last and (slot := self._unpacked(content[place : place + self._size])):
                yield slot

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)

    def _place(self, begin: int) -> int:
        return begin // self.step_seconds % self.slots

    def _unpacked(self, packed: bytes) -> Slot | None:
        content, checksum = packed[:-4], packed[-4:]
        if len(packed) != self._size or struct.pack("<I", zlib.crc32(content)) != checksum:
            return None
        begin, count, *figures = self._layout.unpack(content)
        return Slot(begin, count, tuple(figures[: self._figures]), tuple(figures[self._figures :]))


def _is_ours(path: Path, head: bytes, size: int) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(head)) == head and os.fstat(file.fileno()).st_size == size
    except FileNotFoundError:
        return False
