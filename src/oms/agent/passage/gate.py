"""The side that listens: open while its job is, for the holder of one certificate, on one port.

Whoever else comes gets a TLS alert, or nothing: not a byte is read of him before he has shown who he is. Only a
few are looked at side by side, for a short time each.
"""

import asyncio
import random
import socket
import ssl
from collections.abc import Sequence

import structlog

from oms.agent.passage import papers as proof
from oms.agent.passage.papers import Papers
from oms.agent.passage.stream import ARRIVED, IDENTIFY_SECONDS, LONGEST_NAME, PIECE_BYTES, Rate, Stream, watch
from oms.background import Background
from oms.contract.errors import FuncManError, NotSupported

log = structlog.get_logger("oms.agent")
LOOKED_AT = 16
"""Connections whose other end is not known yet; more wait in the system's queue."""
MOST_STREAMS = 64
"""Of those that have arrived and not ended."""


class Gate:
    """Streams that the other host opens to this one."""

    def __init__(self, papers: Papers, other: str, rate: Rate) -> None:
        """`other`: the certificate of who may come (PEM). Raises ValueError where it is none."""
        self._context = proof.context(papers, other, listens=True)
        self._other, self._rate = other, rate
        self._listener: socket.socket | None = None
        self._streams: set[Stream] = set()
        self._waiting: dict[str, asyncio.Queue[Stream]] = {}
        self._looking = asyncio.Semaphore(LOOKED_AT)
        self._tasks = Background()
        self.port = 0

    def open(self, address: str, ports: Sequence[int]) -> None:
        """Listen at that address, on one of these ports. Raises FuncManError."""
        self._listener = listener = _bound(address, ports)
        self.port = listener.getsockname()[1]
        self._tasks.begin(self._accept(listener))

    async def stream(self, name: str) -> Stream:
        """The next stream of that name, once it has come."""
        return await self._queue(name).get()

    def close(self) -> None:
        """Let nobody in any more, and part from who is there."""
        for task in self._tasks:
            task.cancel()
        if self._listener is not None:
            self._listener.close()
        for stream in self._streams:
            stream.close()

    async def closed(self) -> None:
        """Wait until nothing of it is left."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _queue(self, name: str) -> asyncio.Queue[Stream]:
        return self._waiting.setdefault(name, asyncio.Queue())

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._looking.acquire()
            try:
                line, _ = await loop.sock_accept(listener)
            except OSError as error:
                self._looking.release()
                log.warning("a connection was not taken", why=str(error))
                await asyncio.sleep(1)
                continue
            self._tasks.begin(self._arrive(line))

    async def _arrive(self, line: socket.socket) -> None:
        try:
            async with asyncio.timeout(IDENTIFY_SECONDS):
                name, stream = await self._identified(line)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, ValueError) as stranger:
            log.warning("a connection was refused", port=self.port, why=str(stranger) or type(stranger).__name__)
        else:
            self._queue(name).put_nowait(stream)
        finally:
            self._looking.release()

    async def _identified(self, line: socket.socket) -> tuple[str, Stream]:
        """Raises what `_arrive` catches."""
        reader, writer = await _secured(line, self._context)
        try:
            proof.check(writer.get_extra_info("ssl_object"), self._other)
            name = await self._named(reader)
            writer.write(ARRIVED)
            await writer.drain()
        except BaseException:
            writer.transport.abort()
            raise
        stream = Stream(reader, writer, self._rate)
        self._streams.add(stream)
        return name, stream

    async def _named(self, reader: asyncio.StreamReader) -> str:
        (length,) = await reader.readexactly(1)
        self._streams = {stream for stream in self._streams if not stream.gone}
        if length > LONGEST_NAME or len(self._streams) >= MOST_STREAMS:
            raise ValueError("no stream that could be taken")
        return (await reader.readexactly(length)).decode("ascii")


async def _secured(
    line: socket.socket, context: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2 * PIECE_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    try:
        watch(line)
        line.setblocking(False)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, line, ssl=context, ssl_handshake_timeout=IDENTIFY_SECONDS
        )
    except BaseException:
        line.close()
        raise
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _bound(address: str, ports: Sequence[int]) -> socket.socket:
    """A socket that listens at the first of the ports that is free, in any order."""
    last = ""
    for port in random.sample(ports, len(ports)):
        try:
            kind, _, _, _, place = socket.getaddrinfo(
                address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )[0]
        except OSError as error:
            raise NotSupported(
                f"This host's setting migration_address is {address!r}, which is no IP address: correct it there"
            ) from error
        listener = socket.socket(kind)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen(LOOKED_AT)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            last = error.strerror or str(error)
            continue
        return listener
    raise FuncManError(
        f"This host cannot listen for other hosts at {address}, on none of its {len(ports)} ports for it ({last}):"
        " see its settings migration_address and migration_ports"
    )
