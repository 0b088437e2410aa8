"""Bytes to and fro between a browser's WebSocket and a channel of SSH, as they are: but for viewers who
may only look, nothing here reads them.

Each side waits for the other, so what is on its way never grows: a browser that does not read stops the machine's
screen, and nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from oms.background import ended
from oms.server.consoles.looking import OnlyLooks

READ_BYTES = 256 * 1024
GONE, TAKEN_OVER, NOT_REACHED, BROKE = 4001, 4002, 4003, 4004
"""Why a WebSocket was closed: its console was closed; another viewer has it now; it is not to be reached; the way
to it broke, so that it may be there again at once."""
Message = MutableMapping[str, Any]


class Source(Protocol):
    """What is read: b"" is the end."""

    async def read(self, n: int) -> bytes:
        """At most so many bytes, as soon as there are some."""


class Sink(Protocol):
    """What is written to."""

    def write(self, data: bytes) -> None:
        """Hand over."""

    async def drain(self) -> None:
        """Wait until there is room."""


class Socket:
    """An accepted WebSocket."""

    def __init__(
        self, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        self._receive, self._send = receive, send
        self.came = self.went = 0
        """Bytes from the browser, and to it."""

    async def read(self) -> bytes | str | None:
        """The next message; None once the browser has gone."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return None
        data: bytes | str | None = message.get("bytes")
        if data is None:
            data = message.get("text") or ""
        self.came += len(data)
        return data

    async def give(self, data: bytes) -> None:
        """Send bytes; waits while the browser does not read."""
        self.went += len(data)
        await self._send({"type": "websocket.send", "bytes": data})

    async def tell(self, text: str) -> None:
        """Send a text."""
        await self._send({"type": "websocket.send", "text": text})

    async def close(self, code: int, reason: str) -> None:
        """Say why it ends: at most 123 bytes of it arrive."""
        short = reason.encode()[:123].decode(errors="ignore")
        await self._send({"type": "websocket.close", "code": code, "reason": short})


async def both(one: Awaitable[None], other: Awaitable[None]) -> None:
    """Do both until either has come to its end; what breaks either is raised."""
    tasks = [asyncio.ensure_future(one), asyncio.ensure_future(other)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await ended(*tasks)


async def outward(source: Source, socket: Socket) -> None:
    """From the machine to the browser, to the end."""
    while data := await source.read(READ_BYTES):
        await socket.give(data)


async def inward(socket: Socket, sink: Sink, used: Callable[[], None], *, view_only: bool) -> None:
    """From the browser to a machine's screen, to the end; `used` hears that somebody does something.

    Of one who may only look, what he does goes no further. Raises NotUnderstood.
    """
    looks = OnlyLooks() if view_only else None
    while (data := await socket.read()) is not None:
        if not isinstance(data, bytes):
            continue
        if looks is not None:
            data = looks.let_through(data)
        else:
            used()
        sink.write(data)
        await sink.drain()
