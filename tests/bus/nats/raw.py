"""A client without manners: bytes on a TLS connection, written as an attacker would write them."""

import asyncio
import json
import ssl
from types import TracebackType
from typing import Any, Self

from tests.bus.nats.pki import Identity
from tests.bus.nats.rig import Rig


class Raw:
    """A connection with a certificate (or none); `say` sends lines and returns what came back up to PONG."""

    def __init__(self, rig: Rig, identity: Identity | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3):
        self._rig = rig
        self._context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(rig.pki.bus_ca))
        self._context.minimum_version = self._context.maximum_version = version
        if identity is not None:
            self._context.load_cert_chain(identity.cert, identity.key)

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._rig.port, ssl=self._context)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.transport.abort()

    async def line(self) -> bytes:
        """The next line; b"" at the end."""
        try:
            async with asyncio.timeout(30):
                return await self._reader.readline()
        except ConnectionResetError:
            return b""  # hung up on what was not read to its end

    async def greet(self, **claims: Any) -> list[bytes]:
        """INFO, CONNECT with these claims about oneself, and the answer."""
        assert (await self.line()).startswith(b"INFO ")
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, **claims}
        return await self.say(b"CONNECT " + json.dumps(options).encode() + b"\r\n")

    async def say(self, *pieces: bytes) -> list[bytes]:
        """Send bytes and a PING; all lines that come before its PONG, or before the end."""
        self._writer.write(b"".join(pieces) + b"PING\r\n")
        lines: list[bytes] = []
        while True:
            line = await self.line()
            if line == b"PING\r\n":
                continue
            if line in (b"", b"PONG\r\n"):
                return lines if line else [*lines, b"closed"]
            lines.append(line.strip())

    async def flood(self, message: bytes, times: int) -> None:
        """Send one message over and over, as fast as it goes."""
        try:
            for _ in range(times):
                self._writer.write(message)
                await self._writer.drain()
        except ConnectionError:
            pass


def pub(subject: str | bytes, payload: bytes = b"x", reply: str = "") -> bytes:
    name = subject if isinstance(subject, bytes) else subject.encode()
    back = reply.encode() + b" " if reply else b""
    return b"PUB " + name + b" " + back + b"%d\r\n" % len(payload) + payload + b"\r\n"


def sub(subject: str, number: int = 1, queue: str = "") -> bytes:
    return f"SUB {subject} {queue + ' ' if queue else ''}{number}\r\n".encode()
