"""A file from the web: http and https, followed where servers send on, gone on with by Range where they let one.

Every name is looked up here and the connection made to the address that was looked at, so that a name which
changes its address in between leads nowhere else. No proxy, no cookies, no netrc.
"""

import contextlib
import functools
import http.client
import re
import socket
import ssl
from collections.abc import Callable

import msgspec

from oms import __version__
from oms.agent.transfer import addresses
from oms.agent.transfer.addresses import Place
from oms.agent.transfer.part import READ_BYTES, Broken, Head
from oms.contract.errors import NotFetched

CONNECT_SECONDS = 15.0
QUIET_SECONDS = 60.0
MOST_HOPS = 5
SENT_ON = (301, 302, 303, 307, 308)
UNREACHED = (OSError, http.client.HTTPException, ssl.SSLError)
LookUp = Callable[[str, int], list[str]]
"""A name and a port; its addresses. Blocks; raises OSError."""
_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15})")


class Fetching(msgspec.Struct, frozen=True):
    """What this host fetches, by its settings."""

    private: bool = False
    """Also from addresses inside the own network."""
    largest_bytes: int = 64 * 1024**3


def looked_up(name: str, port: int) -> list[str]:
    """A name's addresses, as the system knows them. Blocks; raises OSError."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


class WebPart:
    """What a server gives, from an offset on. See `part.Part`."""

    def __init__(self, url: str, rules: Fetching, offset: int, mark: str, look_up: LookUp = looked_up) -> None:
        self._url, self._rules, self._offset, self._mark = url, rules, offset, mark
        self._look_up = look_up
        self._connection: http.client.HTTPConnection | None = None
        self._response: http.client.HTTPResponse | None = None

    def open(self) -> Head:
        """See Part."""
        where = addresses.place(self._url)
        for _ in range(MOST_HOPS + 1):
            self._response = answer = self._asked(where)
            if answer.status not in SENT_ON:
                return self._head(answer, where)
            where = addresses.place(answer.headers.get("Location", ""), since=where)
            self.hang_up()
        raise NotFetched(f"{self._url} sends on more than {MOST_HOPS} times")

    def _asked(self, where: Place) -> http.client.HTTPResponse:
        headers = {"User-Agent": f"OMS/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
        if self._offset:
            headers |= {"Range": f"bytes={self._offset}-", "If-Range": self._mark}
        try:
            self._connection = self._connected(where)
            self._connection.request("GET", where.target, headers=headers)
            return self._connection.getresponse()
        except ssl.SSLCertVerificationError as error:
            raise NotFetched(f"{where.host} does not prove that it is the one: {error.verify_message}") from error
        except UNREACHED as failure:
            raise Broken(f"{where.host} cannot be reached: {failure}") from failure

    def _connected(self, where: Place) -> http.client.HTTPConnection:
        """To one of the addresses that were looked at: the first that answers."""
        chosen = addresses.allowed(self._look_up(where.host, where.port), where, private=self._rules.private)
        made: http.client.HTTPConnection
        if where.scheme == "https":
            context = ssl.create_default_context()
            made = http.client.HTTPSConnection(where.host, where.port, timeout=CONNECT_SECONDS, context=context)
        else:
            made = http.client.HTTPConnection(where.host, where.port, timeout=CONNECT_SECONDS)
        made._create_connection = functools.partial(_to_one_of, chosen)  # type: ignore[attr-defined]
        made.connect()
        made.sock.settimeout(QUIET_SECONDS)
        return made

    def _head(self, answer: http.client.HTTPResponse, where: Place) -> Head:
        if answer.status in (429, 500, 502, 503, 504):
            raise Broken(f"{where.host} answers {answer.status} {_printable(answer.reason)}")
        if answer.status not in (200, 206) or answer.headers.get("Content-Encoding", "identity") != "identity":
            raise NotFetched(
                f"{where.url} is not given: {where.host} answers {answer.status} {_printable(answer.reason)}"
            )
        mark = _mark(answer)
        if answer.status == 200:
            return Head(0, answer.length, mark)
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != self._offset:
            raise Broken(f"{where.host} gives another part of the file than was asked for")
        return Head(self._offset, int(found[2]), mark)

    def read(self) -> bytes:
        """See Part."""
        assert self._response is not None
        try:
            piece = self._response.read1(READ_BYTES)
        except UNREACHED as failure:
            raise Broken(str(failure) or "the connection broke") from failure
        if not piece and self._response.length:
            raise Broken("the connection ended before the file did")
        return piece

    def hang_up(self) -> None:
        """See Part."""
        if (connection := self._connection) is not None:
            if (line := connection.sock) is not None:
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
            connection.close()


def _to_one_of(chosen: list[str], where: tuple[str, int], timeout: float, _source: object = None) -> socket.socket:
    """In the place of what looks names up by itself."""
    for last, address in enumerate(chosen, 1):
        try:
            return socket.create_connection((address, where[1]), timeout)
        except OSError:
            if last == len(chosen):
                raise
    raise OSError("no address")


def _mark(answer: http.client.HTTPResponse) -> str:
    """By what the server will know that it is still the same file; "" where it says nothing of the kind."""
    tag = str(answer.headers.get("ETag", ""))
    return tag if tag and not tag.startswith("W/") else str(answer.headers.get("Last-Modified", ""))


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:100]
