"""OMS's desk for hosts, over HTTPS: known by a pinned CA, and by nothing else.

The first contact fetches that CA from somebody who may be anybody; it is kept only if its fingerprint is the one
that a person brought here. Nothing is sent before that.
"""

import asyncio
import contextlib
import http.client
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import msgspec

from oms import durable
from oms.agent.config import AgentConfig
from oms.agent.identity import Identity
from oms.bus import pinning
from oms.bus.enrolment import EnrolAnswer, Refusal, shown
from oms.bus.pinning import NotOurs

LONGEST_ANSWER_BYTES = 64 * 1024
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
"""For an exchange as a whole, however slowly the other side speaks."""


class OutOfReach(Exception):
    """OMS could not be asked; trying again may help."""


class Desk:
    """Asks one OMS. The methods raise OutOfReach, and NotOurs where it is another."""

    def __init__(self, config: AgentConfig, identity: Identity) -> None:
        self._config, self._identity = config, identity
        parts = urlsplit(config.server)
        self._host, self._port = parts.hostname or "", parts.port or 443

    async def pin(self) -> None:
        """Keep the CA that was meant: the one in the file that was given, or that OMS gives if its fingerprint is
        the one that was given, or the one kept before where neither was given now."""
        wanted = pinning.plain(self._config.ca_sha256)
        if self._config.ca_file is not None:
            pem = self._config.ca_file.read_text()
            pinning.check(pem, wanted, str(self._config.ca_file))
        elif (kept := self._kept()) and wanted in ("", kept):
            return
        elif not wanted:
            raise NotOurs(
                "Whether that is OMS cannot be told: give --ca-sha256 with the fingerprint that OMS printed at "
                "its start, or --ca-file. Nobody is trusted unseen."
            )
        else:
            pem = await self._offered()
            pinning.check(pem, wanted, self._config.server)
        durable.write_whole(self._identity.ca, pem.encode())

    def _kept(self) -> str:
        try:
            return self._identity.pinned()
        except ValueError:
            return ""

    async def _offered(self) -> str:
        status, body = await self._exchange(pinning.unverified(), "GET", "/ca.pem", b"")
        said = body.decode("ascii", "replace")
        if status != 200:
            raise OutOfReach(f"{self._config.server} answers {status}: {_printable(said.strip())}")
        return said

    async def ask(self, path: str, question: msgspec.Struct) -> EnrolAnswer:
        """OMS's answer. Raises Refusal with OMS's reason besides."""
        try:
            trusted = ssl.create_default_context(cafile=str(self._identity.ca))
        except (OSError, ssl.SSLError) as error:
            raise NotOurs(f"{self._identity.ca} is no CA that can be trusted: {error}.") from error
        status, answer = await self._exchange(trusted, "POST", path, msgspec.json.encode(question))
        try:
            if status == 200:
                return msgspec.json.decode(answer, type=EnrolAnswer)
            reason = str(msgspec.json.decode(answer, type=dict[str, Any]).get("error", ""))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise OutOfReach(f"{self._config.server} answers {status}, and not as OMS does.") from None
        if status >= 500:
            raise OutOfReach(f"OMS cannot do it now: {_printable(reason)}")
        raise Refusal(_printable(reason))

    async def _exchange(self, context: ssl.SSLContext, verb: str, path: str, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_SECONDS, context=context)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await asyncio.to_thread(_spoken, connection, verb, path, body)
        except ssl.SSLCertVerificationError as error:
            why = error.verify_message.rstrip(".")
            raise NotOurs(f"{self._config.server} is not verified by the CA that was pinned: {why}.") from error
        except (OSError, http.client.HTTPException) as error:
            raise OutOfReach(f"{self._config.server} cannot be reached: {str(error) or 'no answer'}") from error
        finally:
            _hang_up(connection)  # the thread may still be reading


def _spoken(connection: http.client.HTTPSConnection, verb: str, path: str, body: bytes) -> tuple[int, bytes]:
    """In a thread: one request and its answer."""
    try:
        connection.request(verb, path, body or None, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read(LONGEST_ANSWER_BYTES)
    finally:
        connection.close()


def _hang_up(connection: http.client.HTTPSConnection) -> None:
    if (line := connection.sock) is not None:
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)


def _printable(reason: str) -> str:
    """OMS's words, if a person may read them as they are."""
    return reason if reason.isprintable() and len(reason) <= 500 else shown(reason)
