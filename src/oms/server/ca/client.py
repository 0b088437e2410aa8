"""Asking the signer for certificates, from the server's process."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Never

import msgspec

from oms.server.ca import protocol
from oms.server.ca.authority import HOST_DAYS, Role
from oms.server.ca.protocol import (
    Answer,
    Failure,
    Issued,
    IssueIdentity,
    IssueServer,
    Question,
    Reason,
    ShowCa,
    SignHost,
    Trust,
)

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5

_answer = msgspec.json.Decoder(Answer)


class SignerError(Exception):
    """There is no certificate; the text tells a person why."""


class SignerAway(SignerError):
    """The signer cannot be reached, or left before it answered."""


class SignerRefused(SignerError):
    """The signer answered no. `name` says why, for programs."""

    def __init__(self, name: Reason, message: str) -> None:
        super().__init__(message)
        self.name = name


class SignerClient:
    """The signer at one socket. Each question is a connection of its own, so a restarted signer is no event.

    `patience` is how many seconds a signer that is not there (yet, or just now) is waited for; `timeout` how
    many it may take to answer once reached. Nothing is asked twice: only reaching it is tried again.
    """

    def __init__(self, socket_path: Path, *, patience: float = 5.0, timeout: float = 15.0) -> None:
        self._path = socket_path
        self._patience = patience
        self._timeout = timeout

    async def ca(self) -> Trust:
        """The certificates of both authorities, and their fingerprints."""
        answer = await self._ask(ShowCa())
        return answer if isinstance(answer, Trust) else _unexpected(answer)

    async def sign_host(self, csr: bytes, csr_sha256: str, days: int = HOST_DAYS) -> Issued:
        """A host's certificate for exactly the CSR with this fingerprint; lives at most 90 days."""
        return await self._issue(SignHost(csr, csr_sha256, days))

    async def issue_server(
        self, public_key: bytes, dns: Sequence[str], addresses: Sequence[str], *, cluster: bool = False
    ) -> Issued:
        """A server's certificate for these names and addresses; the public key is in DER.

        `cluster` is for a nats-server that also dials its neighbours.
        """
        return await self._issue(IssueServer(public_key, list(dns), list(addresses), cluster))

    async def issue_identity(self, public_key: bytes, role: Role) -> Issued:
        """The certificate of OMS's own connection to the bus in this role; the public key is in DER."""
        return await self._issue(IssueIdentity(public_key, role))

    async def _issue(self, question: Question) -> Issued:
        answer = await self._ask(question)
        return answer if isinstance(answer, Issued) else _unexpected(answer)

    async def _ask(self, question: Question) -> Issued | Trust:
        try:
            text = protocol.frame(question)
        except protocol.FrameTooLong:
            raise SignerRefused("too_long", f"A question has at most {protocol.LONGEST} bytes.") from None
        async with self._connected() as (reader, writer):
            try:
                async with asyncio.timeout(self._timeout):
                    writer.write(text)
                    await writer.drain()
                    answer: Answer = _answer.decode(await protocol.read_frame(reader))
            except (TimeoutError, EOFError, OSError) as error:
                raise SignerAway(
                    f"The signer at {self._path} did not answer ({type(error).__name__}): its log says whether it"
                    " issued the certificate. Ask again."
                ) from error
            except (protocol.FrameTooLong, msgspec.MsgspecError) as error:
                raise SignerAway(f"What answers at {self._path} is no signer of this version.") from error
        if isinstance(answer, Failure):
            raise SignerRefused(answer.name, answer.message)
        return answer

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await self._reach()
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, tried for until the patience is over."""
        end = time.monotonic() + self._patience
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return await asyncio.open_unix_connection(self._path, limit=protocol.LONGEST)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                if time.monotonic() + pause > end:
                    raise SignerAway(
                        f"The signer is not running: start it with `oms signer --socket {self._path}`."
                    ) from error
            except OSError as error:
                raise SignerAway(
                    f"The signer at {self._path} cannot be reached: {error.strerror or error}."
                ) from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _unexpected(answer: Issued | Trust) -> Never:
    raise SignerAway(
        f"The signer answered with {type(answer).__name__}, which was not asked: it is another version."
    )
