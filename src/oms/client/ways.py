"""The ways to an OMS: its addresses, which are tried in turn, and by what it is known.

What was certainly not sent may be tried anywhere; what may have arrived is sent again only where that
does no harm.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpcore
import msgspec

from oms.bus import pinning
from oms.bus.pinning import NotOurs

CONNECT_SECONDS = 10.0
PAUSES_SECONDS = (0.0, 0.5, 2.0)
"""Before each round through all the addresses."""
FAULT = 500
"""From this status on, no call was answered: another try may help."""
UNKNOWN = " Whether it was done is not known: taskservices.list_tasks says it."
UNGIVEN = "this machine's own CAs, and the fingerprint of OMS's (ca_sha256) was not given"
FAILURES = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, ssl.SSLError)


class ClientError(Exception):
    """There is no answer that could be understood; the text says why, and what to do."""


class OutOfReach(ClientError):
    """OMS could not be asked, or did not answer."""


class Response(msgspec.Struct, frozen=True):
    """What an address answered."""

    url: str
    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body as far as it is text."""
        return self.body[:200].decode("utf-8", "replace")


def check_address(url: str) -> None:
    """Raises ValueError for what is no address of an OMS."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:  # of what is no port
        is_one = False
    if not is_one:
        raise ValueError(f"{url!r} is no address of OMS: legal is https://NAME:PORT.")


class Ways:
    """Connections to whichever address of one OMS answers. `urls` are never empty."""

    def __init__(self, urls: Sequence[str], ca_sha256: str, ca_file: Path | None) -> None:
        for url in urls:
            check_address(url)
        self.urls = [url.rstrip("/") for url in urls]
        """The one that answered last stands first."""
        self._ca_sha256, self._ca_file = pinning.plain(ca_sha256), ca_file
        self.trusted: ssl.SSLContext
        self._pool: httpcore.AsyncConnectionPool

    async def open(self) -> None:
        """Raises NotOurs, OutOfReach, and OSError for a CA file that cannot be read."""
        self.trusted = await self._known()
        self._pool = _pool(self.trusted)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str], *, seconds: float, again: bool, changes: bool
    ) -> Response:
        """POST it. `seconds` is how long the answer may take; `again`: whether it may be sent again when it is not
        known whether it came; `changes`: whether that is worth a word. Raises OutOfReach, NotOurs."""
        failed: Exception | Response | None = None
        came: Exception | Response | None = None
        for pause in PAUSES_SECONDS:
            await asyncio.sleep(pause)
            for url in tuple(self.urls):
                try:
                    response = await self.request("POST", f"{url}{path}", body, headers, seconds)
                except FAILURES as failure:
                    failed = self._told(failure, url, changes=changes)
                    sent = not isinstance(failure, (httpcore.ConnectError, httpcore.ConnectTimeout))
                    if isinstance(failed, NotOurs) or (sent and not again):
                        raise failed from failure
                    came = failed if sent else came
                    continue
                self._prefer(url)
                if response.status < FAULT or not again:
                    return response
                failed = came = response
            if not again and len(self.urls) == 1:
                break
        failed = came or failed  # that nobody is there now does not tell what became of what has come
        if isinstance(failed, Response):
            return failed
        assert failed is not None
        raise failed

    async def request(
        self, verb: str, url: str, body: bytes | AsyncIterator[bytes], headers: Mapping[str, str], seconds: float
    ) -> Response:
        """One request to one address. Raises FAILURES."""
        limits = {"connect": CONNECT_SECONDS, "read": seconds, "write": seconds, "pool": seconds}
        answer = await self._pool.request(
            verb, url, headers=list(headers.items()), content=body, extensions={"timeout": limits}
        )
        return Response(url, answer.status, answer.content)

    def _prefer(self, url: str) -> None:
        if self.urls[0] != url:
            self.urls.sort(key=lambda other: other != url)

    def _told(self, failure: BaseException, url: str, *, changes: bool) -> Exception:
        """What a failure says to whoever called."""
        cause: BaseException | None = failure
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                by = "the CA that was given" if self._ca_file or self._ca_sha256 else UNGIVEN
                return NotOurs(f"{url} is not verified by {by}: {cause.verify_message.rstrip('.')}.")
            cause = cause.__cause__ or cause.__context__
        why = str(failure) or type(failure).__name__
        if isinstance(failure, (httpcore.ConnectError, httpcore.ConnectTimeout)):
            return OutOfReach(f"{url} cannot be reached: {_of_system(failure) or why}.")
        return OutOfReach(f"{url} did not answer: {why}.{UNKNOWN if changes else ''}")

    async def _known(self) -> ssl.SSLContext:
        if self._ca_file is not None:
            pem, where = self._ca_file.read_text(), str(self._ca_file)
        elif self._ca_sha256:
            pem, where = await self._offered()
        else:
            return ssl.create_default_context()
        pinning.check(pem, self._ca_sha256, where)
        return ssl.create_default_context(cadata=pem)

    async def _offered(self) -> tuple[str, str]:
        """The CA of the first that answers, to be checked, and who that is."""
        failed: Exception | None = None
        async with _pool(pinning.unverified()) as anybody:
            for url in self.urls:
                limits = dict.fromkeys(("connect", "read", "write", "pool"), CONNECT_SECONDS)
                try:
                    answer = await anybody.request("GET", f"{url}/ca.pem", extensions={"timeout": limits})
                except FAILURES as failure:
                    failed = self._told(failure, url, changes=False)
                else:
                    if answer.status == 200:
                        return answer.content.decode("utf-8", "replace"), url
                    failed = OutOfReach(f"{url} answers {answer.status}: {Response(url, 0, answer.content).text}")
        assert failed is not None
        raise failed


def _pool(trusted: ssl.SSLContext) -> httpcore.AsyncConnectionPool:
    """Straight to OMS: what the environment says of proxies and CAs is not for it."""
    return httpcore.AsyncConnectionPool(ssl_context=trusted, max_connections=64, keepalive_expiry=5)


def _of_system(failure: BaseException) -> str:
    """The words of this machine on a connection that it could not make, below those of libraries; nothing where it
    has none."""
    waiting: list[BaseException | None] = [failure]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, ConnectionRefusedError):
            return "nothing listens there; see that OMS is running"
        if isinstance(one, OSError) and one.errno and not isinstance(one, ssl.SSLError):
            return str(one.strerror) if isinstance(one, socket.gaierror) else os.strerror(one.errno)
        if one is not None:
            waiting += [*getattr(one, "exceptions", ()), one.__cause__ or one.__context__]
    return ""
