"""OMS's relay and nothing else: its listener and its two streams, from a WebSocket to a socket of this machine."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from oms.server.consoles.relay import READ_BYTES, Socket, both, inward, outward
from oms.server.edge import listener
from oms.server.identity import Pair

AHEAD = 4
"""Pieces that may wait: a channel of SSH has as much on its way."""


class Target(asyncio.Protocol):
    """The socket. What comes from it is handed on as it came, as a channel of SSH does."""

    def __init__(self) -> None:
        self._came: asyncio.Queue[bytes] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._came.put_nowait(data)
        if self._came.qsize() >= AHEAD:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._came.put_nowait(b"")

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def read(self, n: int) -> bytes:
        """At most READ_BYTES, which is what comes at once."""
        assert n == READ_BYTES
        data = await self._came.get()
        if self._came.empty():
            self._transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def drain(self) -> None:
        await self._writable.wait()

    def close(self) -> None:
        self._transport.close()


async def serve(port: int, target: int, certificate: str, key: str) -> None:
    """For ever."""
    loop = asyncio.get_running_loop()

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "binary"})
        _, far = await loop.create_connection(Target, "127.0.0.1", target)
        socket = Socket(receive, send)
        try:
            await both(outward(far, socket), inward(socket, far, lambda: None, view_only=False))
        finally:
            far.close()

    edge: Any = app
    config = listener.configured(edge, Pair(Path(certificate), Path(key)))
    await uvicorn.Server(config).serve(sockets=[listener.bound("127.0.0.1", port)])


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5]))
