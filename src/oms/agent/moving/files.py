"""A file sent over a stream, without its holes: first its size, then each stretch of data with its place."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from oms.agent import placing
from oms.agent.host import space
from oms.agent.host.copying import next_data
from oms.agent.passage.stream import PIECE_BYTES, Cut, Stream

PLACE_BYTES = 8


async def send(stream: Stream, file: Path, on_progress: Callable[[float], None]) -> None:
    """Send a file; `on_progress` is told in percent. Raises Cut, FuncManError."""
    with placing.told(file.parent):
        place = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(place).st_size
            await stream.say(size)
            offset = 0
            while (offset := await asyncio.to_thread(next_data, place, offset)) < size:
                piece = await asyncio.to_thread(os.pread, place, PIECE_BYTES, offset)
                await stream.send(offset.to_bytes(PLACE_BYTES, "big") + piece)
                offset += len(piece)
                on_progress(100 * offset / size)
            await stream.end()
        finally:
            os.close(place)


async def receive(stream: Stream, file: Path, most_bytes: int) -> None:
    """Take a file, which is on the disk when this returns; broken off, it leaves a part of it. Raises Cut,
    NoSpace, FuncManError."""
    with placing.told(file.parent):
        size = await stream.hear(int)
        if not 0 <= size <= most_bytes:
            raise Cut(f"The other host sends a file of {size} bytes, where {most_bytes} are the most there can be")
        space.require(file.parent, 1, f"File {file.name}")
        place = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(place, size)
            while piece := await stream.receive():
                offset, data = int.from_bytes(piece[:PLACE_BYTES], "big"), piece[PLACE_BYTES:]
                if offset + len(data) > size:
                    raise Cut("The other host sends more of a file than it has")
                await asyncio.to_thread(_write, place, data, offset)
            await asyncio.to_thread(os.fsync, place)
        finally:
            os.close(place)


def _write(place: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(place, data, offset)
        data, offset = data[written:], offset + written
