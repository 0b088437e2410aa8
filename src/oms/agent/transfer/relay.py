"""This host's ends of OMS's way for bulk: take the bytes of a job of ours, bring another host's job a file.

Every request is signed by the key of our certificate, to the OMS whose CA was pinned when this host was let in.
"""

import asyncio
import contextlib
import errno
import hashlib
import http.client
import io
import os
import socket
import ssl
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import structlog

from oms.agent.config import AgentConfig
from oms.agent.guests.threads import Lane
from oms.agent.host.files import OwnFile
from oms.agent.identity import Identity
from oms.agent.transfer.part import READ_BYTES, Broken, Head
from oms.bus import transfer
from oms.bus.transfer import Span
from oms.contract.errors import HostBusy, WireError, unpack

log = structlog.get_logger("oms.agent")
CONNECT_SECONDS = 10.0
QUIET_SECONDS = 75.0
"""OMS lets nobody wait for longer than 60 s without a word."""
MOST_SENDING = 4
OVER = frozenset({"NotThere", "NotSupported", "NoSuchTask"})
"""Errors after which trying again is of no use."""
LONGEST_ANSWER_BYTES = 64 * 1024
UNREACHED = (OSError, http.client.HTTPException, ssl.SSLError)


class Relay:
    """The way to one OMS."""

    def __init__(self, config: AgentConfig, identity: Identity, now: Callable[[], datetime]) -> None:
        """`now` is OMS's time: what is signed is dated."""
        self._identity, self._now = identity, now
        parts = urlsplit(config.server)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._threads = Lane("sending", MOST_SENDING)
        self._sending: dict[asyncio.Task[None], Sent] = {}

    def part(self, job: str, offset: int) -> "Taken":
        """The bytes of a job of ours, from there on, as somebody brings them."""
        return Taken(self, job, offset)

    async def send(self, file: OwnFile, job: str, offset: int) -> int:
        """Begin to bring another host's job a file of ours, with its SHA-256 after it; the file's size.

        Raises HostBusy, OSError.
        """
        if len(self._sending) >= MOST_SENDING:
            raise HostBusy(f"This host sends {MOST_SENDING} files already: try again when one has been sent.")
        sent = Sent(self, file, job, offset)
        size = await asyncio.to_thread(sent.open)
        task = asyncio.create_task(self._bring(sent))
        self._sending[task] = sent
        task.add_done_callback(self._sending.pop)
        return size

    async def _bring(self, sent: "Sent") -> None:
        try:
            await self._threads.run(sent.bring, None)
        except UNREACHED as failure:
            log.info("a file was not sent to its end", file=sent.name, job=sent.job, why=str(failure))
        else:
            log.info("a file was sent", file=sent.name, job=sent.job)

    def close(self) -> None:
        """Send no more."""
        for sent in self._sending.values():
            sent.hang_up()
        self._threads.close()

    def connected(self) -> http.client.HTTPSConnection:
        """A connection to the OMS that was pinned. Blocks; raises what UNREACHED has."""
        context = ssl.create_default_context(cafile=str(self._identity.ca))
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_SECONDS, context=context)
        connection.connect()
        connection.sock.settimeout(QUIET_SECONDS)
        return connection

    def claim(self, verb: str, target: str) -> dict[str, str]:
        """The header that says who we are. Blocks."""
        key, certificate = self._identity.signed_key.read_bytes(), self._identity.certificate.read_text()
        return {transfer.HOST_HEADER: transfer.claim(key, certificate, verb, target, self._now())}


class Taken:
    """What is brought to a job of ours, from an offset on. See `part.Part`."""

    def __init__(self, relay: Relay, job: str, offset: int) -> None:
        self._relay, self._job, self._offset = relay, job, offset
        self._connection: http.client.HTTPSConnection | None = None
        self._response: http.client.HTTPResponse | None = None

    def open(self) -> Head | None:
        """See Part: waits until somebody brings something, or OMS has waited long enough."""
        target = f"{transfer.PATH}{self._job}?offset={self._offset}"
        try:
            self._connection = self._relay.connected()
            self._connection.request("GET", target, headers=self._relay.claim("GET", target))
            self._response = answer = self._connection.getresponse()
            match answer.status:
                case 200:
                    return Head(self._offset, int(answer.headers.get("oms-size", "")))
                case 204:
                    return None
            raise self._refused(answer)
        except (*UNREACHED, ValueError) as failure:
            raise Broken(f"OMS cannot be reached: {failure}") from failure

    def read(self) -> bytes:
        """See Part."""
        assert self._response is not None
        try:
            return self._response.read1(READ_BYTES)
        except UNREACHED as failure:
            raise Broken(str(failure)) from failure

    def hang_up(self) -> None:
        """See Part."""
        _hang_up(self._connection)

    def _refused(self, answer: http.client.HTTPResponse) -> Exception:
        """OMS's words, as an error that is final, or as one after which to try again."""
        try:
            told = msgspec.json.decode(answer.read(LONGEST_ANSWER_BYTES), type=dict[str, WireError])["error"]
        except (msgspec.MsgspecError, UnicodeError, KeyError, RecursionError):
            return Broken(f"OMS answers {answer.status}")
        never_was_there = told.kind == "HostUnavailable" and not self._offset
        return unpack(told) if told.kind in OVER or never_was_there else Broken(told.message)


class Sent:
    """A file of ours on its way to another host's job. All but `hang_up` blocks."""

    def __init__(self, relay: Relay, file: OwnFile, job: str, offset: int) -> None:
        self._relay, self._file, self._offset = relay, file, offset
        self.name, self.job = Path(file.path).name, job
        self._place = -1
        self._connection: http.client.HTTPSConnection | None = None

    def open(self) -> int:
        """The file's size. Raises OSError, also where it is another file by now."""
        self._place = os.open(self._file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        found = os.fstat(self._place)
        if (found.st_dev, found.st_ino) != (self._file.device, self._file.inode):
            os.close(self._place)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._file.path)
        return found.st_size

    def bring(self) -> None:
        """Send it. Raises what UNREACHED has."""
        with os.fdopen(self._place, "rb", buffering=0) as file:
            digest = hashlib.sha256()
            left = self._offset
            while left > 0 and (piece := file.read(min(left, READ_BYTES))):
                digest.update(piece)
                left -= len(piece)
            self._send(file, digest, os.fstat(file.fileno()).st_size)

    def _send(self, file: io.FileIO, digest: "hashlib._Hash", size: int) -> None:
        target = f"{transfer.PATH}{self.job}"
        span = Span(self._offset, size + transfer.DIGEST_BYTES - 1, size + transfer.DIGEST_BYTES)
        self._connection = connection = self._relay.connected()
        try:
            connection.putrequest("PUT", target)
            for name, value in self._relay.claim("PUT", target).items():
                connection.putheader(name, value)
            connection.putheader("Content-Range", str(span))
            connection.putheader("Content-Length", str(span.last + 1 - span.first))
            connection.endheaders()
            left = size - min(self._offset, size)
            while left > 0 and (piece := file.read(min(left, READ_BYTES))):
                digest.update(piece)
                left -= len(piece)
                connection.send(piece)
            connection.send(digest.digest()[max(self._offset - size, 0) :])
            connection.getresponse().read(LONGEST_ANSWER_BYTES)
        finally:
            connection.close()

    def hang_up(self) -> None:
        """End it."""
        _hang_up(self._connection)


def _hang_up(connection: http.client.HTTPSConnection | None) -> None:
    if connection is not None:
        if (line := connection.sock) is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        connection.close()
