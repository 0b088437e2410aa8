"""One pass of a container's files over a stream: rsync on the one host speaks with rsync on the other."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from oms.agent.guests.containers import IdMap
from oms.agent.host import rsync
from oms.agent.passage.stream import PIECE_BYTES, Stream, relay


async def send(stream: Stream, tree: Path, ids: IdMap, on_bytes: Callable[[int], None]) -> None:
    """Have the other host's tree become as this one; `on_bytes` is told of each piece that leaves. Raises
    FuncManError, Cut."""
    await _speak(stream, lambda line: rsync.send(tree, ids, line), on_bytes)


async def receive(stream: Stream, tree: Path, ids: IdMap) -> None:
    """Have this tree become as the other host's. Raises FuncManError, NoSpace, Cut."""
    await _speak(stream, lambda line: rsync.receive(tree, ids, line), lambda _count: None)


async def _speak(
    stream: Stream,
    program: Callable[[socket.socket], Coroutine[Any, Any, None]],
    on_bytes: Callable[[int], None],
) -> None:
    ours, its = socket.socketpair()
    loop = asyncio.get_running_loop()
    reader = _Counting(on_bytes)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.create_connection(lambda: protocol, sock=ours)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    ran = asyncio.create_task(program(its))
    carried = asyncio.create_task(relay(stream, reader, writer))
    try:
        # What rsync says of a failure tells more than that it has ended the conversation, which follows at once.
        await asyncio.wait((ran, carried), return_when=asyncio.FIRST_EXCEPTION)
        if ran.done():
            ran.result()
        carried.result()
        await ran
    finally:
        for task in (ran, carried):
            task.cancel()
        with contextlib.suppress(OSError):
            its.close()
        await asyncio.gather(ran, carried, return_exceptions=True)


class _Counting(asyncio.StreamReader):
    """Tells how much has come."""

    def __init__(self, on_bytes: Callable[[int], None]) -> None:
        super().__init__(limit=2 * PIECE_BYTES)
        self._on_bytes = on_bytes

    def feed_data(self, data: Any) -> None:
        self._on_bytes(len(data))
        super().feed_data(data)
