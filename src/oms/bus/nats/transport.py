"""The TLS stream under nats-py: encrypted from the first byte, and able to end at once.

nats-py's own stream waits up to 30 s for the good-bye of a peer that hangs, and it makes asyncio log a warning at
every end of a connection. This one is the same made of asyncio's public parts, with an `abort`.
"""

import asyncio
import ssl
from urllib.parse import ParseResult

from nats.aio.transport import Transport

_READ_AHEAD = 1024 * 1024  # bytes kept for us; answers are up to 4 MB
_BITE = 64 * 1024  # bytes handled in one go: a flood of small messages must not hold the loop for long


class TlsTransport(Transport):
    """A stream in the shape nats-py expects."""

    def __init__(self) -> None:
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._socket: asyncio.WriteTransport | None = None

    def __bool__(self) -> bool:
        return True  # nats-py would replace a transport that says it is not there

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:  # noqa: ARG002
        """Open the TCP connection; nothing is said on it yet."""
        self._reader, self._writer = await asyncio.open_connection(uri.hostname, uri.port, limit=_READ_AHEAD)
        self._socket = self._writer.transport

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,  # noqa: ARG002
        connect_timeout: int,  # noqa: ARG002 - whoever connects has a timeout around it all
    ) -> None:
        """Begin TLS; the name of the server is checked against its certificate."""
        assert self._writer is not None
        name = uri if isinstance(uri, str) else uri.hostname
        await self._writer.start_tls(ssl_context, server_hostname=name)

    def write(self, payload: bytes) -> None:
        """Queue bytes."""
        if self._writer is not None:
            self._writer.write(payload)

    def writelines(self, payload: list[bytes]) -> None:
        """Queue several pieces of bytes, as one."""
        if self._writer is not None:
            self._writer.write(payload[0] if len(payload) == 1 else b"".join(payload))

    async def read(self, buffer_size: int) -> bytes:  # noqa: ARG002 - a read takes what is there
        """What has arrived; b"" at the end."""
        assert self._reader is not None
        data = await self._reader.read(_BITE)
        if len(data) == _BITE:
            await asyncio.sleep(0)  # more is there already, and reading it would let nobody else run
        return data

    async def readline(self) -> bytes:
        """One line of the greeting."""
        assert self._reader is not None
        return await self._reader.readline()

    async def drain(self) -> None:
        """Wait while too much is queued."""
        if self._writer is not None:
            await self._writer.drain()

    async def wait_closed(self) -> None:
        """Wait for the good-bye of the peer."""
        if self._writer is not None:
            await self._writer.wait_closed()

    def close(self) -> None:
        """Send what is queued, and say good-bye."""
        if self._writer is not None:
            self._writer.close()

    def abort(self) -> None:
        """End now: what is queued is lost."""
        if self._socket is not None:
            self._socket.abort()

    def at_eof(self) -> bool:
        """Whether the peer has ended the stream."""
        return self._reader is None or self._reader.at_eof()
