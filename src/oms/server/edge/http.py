"""The address: a bare ASGI application, because every call passes here.

Calls at `/`; beside them the few pages of `pages`. One of the two places that catch every exception: a bug is
logged with a reference, and no caller sees more of it than that.
"""

import asyncio
import functools
import ipaddress
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol

import msgspec

from oms.bus.call import defect
from oms.contract.errors import OmsError, PermissionDenied
from oms.server.edge import dialects, introspection, preferences, qooxdoo
from oms.server.edge.dialects import Asked, NoCall, Plain
from oms.server.edge.qooxdoo import Qooxdoo
from oms.server.pipeline import Answer, Call, Origin, Pipeline

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LONGEST_URL_BYTES = 16 * 1024
LONGEST_HEADERS_BYTES = 8 * 1024
LONGEST_BODY_BYTES = 1024 * 1024
AT_ONCE_IN_A_BATCH = 8
LONGEST_BATCH_BYTES = 1024 * 1024
"""Of a batch's answers: with so many bytes of them there, no further call of it is made."""
ALWAYS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
Headers = list[tuple[bytes, bytes]]
Answered = tuple[int, Headers, bytes]
"""Status, headers, body."""
_JSON = [(b"content-type", b"application/json"), *ALWAYS]
_SCRIPT = [(b"content-type", b"text/javascript; charset=utf-8"), *ALWAYS]
_TEXT = [(b"content-type", b"text/plain; charset=utf-8"), *ALWAYS]
LONG_URL: Answered = 414, _TEXT, b"An address has at most 16 KiB: POST the call instead."
LONG_HEADERS: Answered = 431, _TEXT, b"The headers have at most 8 KiB."
LONG_BODY: Answered = 413, _TEXT, b"A body has at most 1 MiB."
NO_HTTP: Answered = 400, _TEXT, b"This is no HTTP request."
TO_THE_GUI: Answered = 303, [*_TEXT, (b"location", b"/ui/")], b"The GUI is at /ui/, calls are posted here."
SLOW_HEAD: Answered = 408, _TEXT, b"The headers did not come in time."
SLOW_BODY: Answered = 408, _TEXT, b"The body did not come in time."


class Ask(msgspec.Struct, frozen=True):
    """One request for a page."""

    verb: str
    body: bytes
    address: str
    host: str
    authorization: str = ""


class Reply(msgspec.Struct, frozen=True):
    """A page's answer."""

    status: int
    body: bytes
    media: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


Page = Callable[[Ask], Awaitable[Reply]]


class Sockets(Protocol):
    """What takes WebSockets, and all requests at other ports than the main one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send, *, foreign: bool) -> Answered | None:
        """One request."""

    async def socket(self, scope: Scope, receive: Receive, send: Send, ours: Callable[[str], bool]) -> None:
        """One WebSocket. `ours` knows the names that this server answers to."""


class Stream(Protocol):
    """What answers requests with bodies of any length."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send, /, *, foreign: bool) -> Answered | None:
        """One request; what is to be answered, or None where nothing is (any more)."""


_FULL = PermissionDenied(
    "The answers of this batch are longer than 1 MiB already, so this call was not made: make it by itself."
)


class TooLarge(Exception):
    """A body above the limit."""


class Gone(Exception):
    """The caller left before the body had come: what there is of it is no call."""


class Edge:
    """The ASGI application. `names` are the host names it answers to, besides any literal address."""

    def __init__(
        self,
        pipeline: Pipeline,
        pages: Mapping[str, Page],
        names: frozenset[str],
        extras: Qooxdoo,
        streams: Mapping[str, Stream],
        *,
        sockets: Sockets,
        ending: Callable[[], None],
        leave: Callable[[], None] = lambda: None,
    ) -> None:
        """`streams` are by the beginning of their addresses; `ending` ends those that would last for ever; `leave`
        has those answered at the end who wait for long."""
        self.ending, self.leave = ending, leave
        self._sockets = sockets
        self._pipeline, self._pages, self._names, self._extras = pipeline, pages, names, extras
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: one request."""
        if scope["type"] == "websocket":
            await self._sockets.socket(scope, receive, send, self._ours)
            return
        if scope["type"] != "http":
            return
        try:
            answered = await self._answer(scope, receive, send)
        except TooLarge:
            answered = LONG_BODY
        except Gone:
            return
        except Exception as bug:  # noqa: BLE001 - the edge of the server
            answered = 500, _TEXT, defect(bug, scope["path"][:200]).message.encode()
        if answered is None:
            return
        status, headers, body = answered
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Answered | None:
        if len(scope["raw_path"]) + len(scope["query_string"]) > LONGEST_URL_BYTES:
            return LONG_URL
        host, foreign, size, bearer, unattended = _origin(scope["headers"])
        if size > LONGEST_HEADERS_BYTES:
            return LONG_HEADERS
        if not self._ours(host):
            return 421, _TEXT, b"This server does not answer to that name: see its setting `names`."
        address = scope["client"][0] if scope["client"] else ""
        if scope.get("server"):  # not the main address
            return await self._sockets(scope, receive, send, foreign=foreign)
        verb, path = scope["method"], scope["path"]
        if path == "/":
            return await self._calls(verb, scope, receive, Origin(address, foreign, bearer, unattended))
        if stream := next((stream for front, stream in self._streams.items() if path.startswith(front)), None):
            return await stream(scope, receive, send, foreign=foreign)
        page = self._pages.get(path)
        if page is None:
            return 404, _TEXT, b"There is nothing here."
        reply = await page(Ask(verb, await body(receive), address, host, _authorization(scope["headers"])))
        return reply.status, [(b"content-type", reply.media), *reply.headers, *ALWAYS], reply.body

    def _ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        return name in self._names or _is_address(name)

    async def _calls(self, verb: str, scope: Scope, receive: Receive, caller: Origin) -> Answered:
        asked: Asked | list[Asked]
        try:
            job, wait = preferences.read(scope["headers"])
            if verb == "POST":
                asked = dialects.from_body(await body(receive))
            elif verb in ("GET", "HEAD") and not scope["query_string"]:
                return TO_THE_GUI
            elif verb in ("GET", "HEAD"):
                asked = dialects.from_query(scope["query_string"])
            else:
                return 405, [*_TEXT, (b"allow", b"GET, POST")], dialects.EXPECTED.encode()
        except NoCall as none:
            return 400, _TEXT, str(none).encode()
        if isinstance(asked, list):
            answers = await self._batch(asked, caller)
            return (200, _JSON, b"[" + b",".join(answers) + b"]") if answers else (204, ALWAYS, b"")
        if asked.script and self._extras.script_transport:
            # Pages of other sites are what this transport is for: whoever switches it on lets them.
            answer = await self._one(asked, Origin(caller.address))
            return 200, _SCRIPT, qooxdoo.script(asked.script, answer)
        answer = await self._one(asked, msgspec.structs.replace(caller, job=job, wait=wait))
        return (200, _JSON, answer) if not asked.silent else (204, ALWAYS, b"")

    async def _batch(self, batch: list[Asked], caller: Origin) -> list[bytes]:
        lane = asyncio.Semaphore(AT_ONCE_IN_A_BATCH)
        size = 0

        async def one(asked: Asked) -> bytes:
            nonlocal size
            async with lane:
                full = size > LONGEST_BATCH_BYTES
                answer = dialects.write(asked, _FULL) if full else await self._one(asked, caller)
                size += len(answer)
                return answer

        answers = await asyncio.gather(*(one(asked) for asked in batch))
        return [answer for asked, answer in zip(batch, answers, strict=True) if not asked.silent]

    async def _one(self, asked: Asked, caller: Origin) -> bytes:
        try:
            return dialects.write(asked, await self._outcome(asked, caller))
        except OmsError as error:
            return dialects.write(asked, error)
        except Exception as bug:  # noqa: BLE001 - the edge of the server
            return dialects.write(asked, defect(bug, f"{asked.service}.{asked.method}"[:200]))

    async def _outcome(self, asked: Asked, caller: Origin) -> Answer | Plain:
        if asked.script and not self._extras.script_transport:
            raise PermissionDenied("The script transport is switched off here: POST the call instead.")
        if asked.service == qooxdoo.SERVICE and self._extras.test_service:
            return await qooxdoo.test(asked)
        if plain := introspection.answer(asked):
            return plain
        return await self._pipeline.answer(Call(asked.service, asked.method, asked.params, caller))


async def body(receive: Receive) -> bytes:
    """All of a request's body. Raises TooLarge and Gone; that it comes in time, `protocol` sees to."""
    parts: list[bytes] = []
    size = 0
    while size <= LONGEST_BODY_BYTES:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size <= LONGEST_BODY_BYTES and not message.get("more_body"):
            return b"".join(parts)
    raise TooLarge


def bearer(authorization: str) -> str:
    """What stands behind `Bearer` in that header's value; "" where nothing does."""
    kind, _, secret = authorization.partition(" ")
    return secret.strip() if kind.lower() == "bearer" else ""


@functools.lru_cache(maxsize=256)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
    except ValueError:
        return False
    return True


def _authorization(headers: list[tuple[bytes, bytes]]) -> str:
    """What the caller says of who he is; empty where he says it twice."""
    said = [value for name, value in headers if name == b"authorization"]
    return said[0].decode("latin-1") if len(said) == 1 else ""


def _origin(headers: list[tuple[bytes, bytes]]) -> tuple[str, bool, int, str, bool]:
    """The name the caller called us by, empty where there are several; whether a browser says that another site's
    page made the request; the size of all headers; what stands behind `Authorization: Bearer`; and
    whether a program says that it calls by itself."""
    host = origin = site = authorization = b""
    size = hosts = 0
    unattended = False
    for name, value in headers:
        size += len(name) + len(value)
        if name == b"host":
            hosts += 1
            host = value if hosts == 1 else b""
        elif name == b"origin":
            origin = value
        elif name == b"sec-fetch-site":
            site = value
        elif name == b"authorization":
            authorization = value
        elif name == b"oms-unattended":
            unattended = value == b"1"
    foreign = site in (b"cross-site", b"same-site") or origin not in (b"", b"https://" + host)
    return host.decode("latin-1").lower(), foreign, size, bearer(authorization.decode("latin-1")), unattended
