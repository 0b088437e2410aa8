"""What goes over a passage: named streams of pieces, each a connection of its own.

Each piece has its length before it, in 4 bytes, and one of no length is the end: so an end can be told from a
connection that was cut, and one side can end while the other goes on, which TLS itself does not offer. Who reads
slowly slows down who writes; all that a host sends is held to one rate.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

import msgspec

from oms.background import ended
from oms.contract.errors import FuncManError

Judge = Callable[[bytes], bytes]
PIECE_BYTES = 256 * 1024
LARGEST_BYTES = 4 * 1024 * 1024
"""The largest piece that is taken."""
LENGTH_BYTES = 4
LONGEST_NAME = 64
ARRIVED = b"\x01"
"""What the listening side answers to a stream's name, once it knows who is there."""
IDENTIFY_SECONDS = 10.0
FINISH_SECONDS = 5.0
QUIET_SECONDS, ASK_SECONDS, ASK_TIMES = 10, 5, 3
"""When the system asks whether the other host is still there, and how often before it gives the connection up."""


class Cut(FuncManError):
    """The connection to the other host is gone, or was never there."""

    reason = "cut"


class Rate:
    """So many bytes per second, for all streams together; 0 is as many as there can be."""

    def __init__(self, bytes_per_second: float) -> None:
        self._per_second = bytes_per_second
        self._free_at = 0.0

    async def take(self, count: int) -> None:
        """Wait until so many bytes may go."""
        if not self._per_second:
            return
        now = asyncio.get_running_loop().time()
        begin = max(now, self._free_at)
        self._free_at = begin + count / self._per_second
        if begin > now:
            await asyncio.sleep(begin - now)


class Stream:
    """One stream. All methods that wait raise Cut where the other side has gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: Rate) -> None:
        self._reader, self._writer, self._rate = reader, writer, rate

    async def send(self, piece: bytes) -> None:
        """Send a piece, once there is room for it. It is not empty, and not larger than LARGEST_BYTES."""
        if not 0 < len(piece) <= LARGEST_BYTES:
            raise ValueError(f"a piece has 1 to {LARGEST_BYTES} bytes, not {len(piece)}")
        await self._rate.take(len(piece))
        await self._put(len(piece).to_bytes(LENGTH_BYTES, "big"), piece)

    async def end(self) -> None:
        """Say that nothing more comes from here."""
        await self._put(bytes(LENGTH_BYTES))

    async def receive(self) -> bytes:
        """The next piece; b"" where the other side has ended."""
        length = int.from_bytes(await self._get(LENGTH_BYTES), "big")
        if length > LARGEST_BYTES:
            raise Cut("The other host sends what is no piece of a stream")
        return await self._get(length) if length else b""

    async def say(self, value: Any) -> None:
        """Send a value, as JSON in a piece."""
        await self.send(msgspec.json.encode(value))

    async def hear(self, kind: Any) -> Any:
        """The next value, which is of that type."""
        try:
            return msgspec.json.decode(await self.receive(), type=kind)
        except (ValueError, RecursionError) as bad:
            raise Cut("The other host says what is not understood") from bad

    @property
    def gone(self) -> bool:
        """Whether this side has parted from it, or it is cut."""
        return self._writer.is_closing()

    async def finish(self) -> None:
        """Part once all that was sent has left here."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(FINISH_SECONDS):
                await self._writer.wait_closed()
        self.close()

    def close(self) -> None:
        """Part at once; what has not left yet is lost."""
        _abort(self._writer)

    async def _put(self, *parts: bytes) -> None:
        try:
            for part in parts:
                self._writer.write(part)
            await self._writer.drain()
        except (OSError, ssl.SSLError) as error:
            raise _cut(error) from error

    async def _get(self, count: int) -> bytes:
        try:
            return await self._reader.readexactly(count)
        except asyncio.IncompleteReadError as error:
            raise Cut("The other host has ended the connection") from error
        except (OSError, ssl.SSLError) as error:
            raise _cut(error) from error


async def relay(
    stream: Stream,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    judge: Judge | None = None,
) -> None:
    """Carry bytes between a stream and a local connection, both ways, until both have ended. Raises Cut where one
    breaks, and what `judge` raises, which is asked what goes on of what came. Both are closed whatever happens."""
    ways = [asyncio.create_task(_out(stream, reader)), asyncio.create_task(_back(stream, writer, judge))]
    try:
        await asyncio.gather(*ways)
        await stream.finish()
        writer.close()
        await writer.wait_closed()  # with all that it still had to take
    except OSError as error:
        raise _cut(error) from error
    finally:
        await ended(*ways)
        stream.close()
        _abort(writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(AttributeError):  # as the library says that it is closed already
        writer.transport.abort()


async def _out(stream: Stream, reader: asyncio.StreamReader) -> None:
    while piece := await reader.read(PIECE_BYTES):
        await stream.send(piece)
    await stream.end()


async def _back(stream: Stream, writer: asyncio.StreamWriter, judge: Judge | None) -> None:
    while piece := await stream.receive():
        writer.write(judge(piece) if judge else piece)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


def watch(line: socket.socket) -> None:
    """Have the system see when the other host has gone without a word."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, QUIET_SECONDS)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, ASK_SECONDS)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, ASK_TIMES)
    gone_ms = 1000 * (QUIET_SECONDS + ASK_SECONDS * ASK_TIMES)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, gone_ms)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _cut(error: Exception) -> Cut:
    return Cut(f"The connection to the other host broke: {error}" if str(error) else "The connection broke")
