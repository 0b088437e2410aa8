"""What carries SSH's bytes to and from asyncssh, so that many of them cost little."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import asyncssh
from asyncssh.constants import MSG_IGNORE

PIECE_BYTES = 32 * 1024
"""About a packet of OpenSSH's: for each that it reads, asyncssh copies all that it was given and has not read."""


class Carrier:
    """Makes the connection for asyncssh, which takes it for another host that it goes through."""

    async def create_connection(
        self, factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """A TCP connection. Raises OSError."""

        def made() -> Any:
            return InPieces(factory())

        transport, pieces = await asyncio.get_running_loop().create_connection(made, host, port)
        return transport, pieces.reader


class InPieces:
    """A protocol that hands on what comes in pieces, and all else as it is."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)

    def data_received(self, data: bytes) -> None:
        """Some bytes more, of which there may be many."""
        for begin in range(0, len(data), PIECE_BYTES):
            self.reader.data_received(data[begin : begin + PIECE_BYTES])


def without_fillers(connection: asyncssh.SSHClientConnection) -> asyncssh.SSHClientConnection:
    """Before each packet asyncssh sends an empty one, because of a weakness of block chaining (RFC 4251, 9.3.1).
    No cipher of ours chains blocks, and it costs a fifth of all work of sending."""
    connection.send_packet = functools.partial(_send, connection.send_packet)  # type: ignore[method-assign]
    return connection


def _send(send: Callable[..., None], kind: int, *words: bytes, **named: Any) -> None:
    if kind != MSG_IGNORE:
        send(kind, *words, **named)
