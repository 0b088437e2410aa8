"""`GET /events`: what changes as it changes, as server-sent events.

`id:` is an event's number; a client that comes back with it in `Last-Event-ID` goes on from there. Beside events
without a name, which are those of the API, there are `head` (where the stream begins), `gap` (some are lost: look
at everything anew) and `end` (why it ends). Comments keep proxies from thinking that nothing lives here.

Nobody is waited for: what a client does not read is not kept for him, and one that reads nothing for a minute is
cut off, by the connection's own rule.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from oms.contract import decode
from oms.contract.errors import AuthError, OmsError, ParameterMismatch, PermissionDenied
from oms.contract.event import ListEvents, TooManyListeners
from oms.server.audit import Audit, Line
from oms.server.edge.http import ALWAYS, Answered, Headers, Receive, Scope, Send, bearer
from oms.server.events.log import Listener, Page
from oms.server.events.news import News
from oms.server.rules.events import View, whole
from oms.server.sessions import Sessions
from oms.server.store.moments import moment, now
from oms.server.store.sessions import Session

PATH = "/events"
AT_ONCE = 500
"""Events in one piece."""
KEEP_ALIVE_SECONDS = 15.0
ASKED = {"after", "kinds", "server_hostname", "guest", "job"}
ENDED = "The session has ended, or may do less than before: log in and open the stream anew."
STOPPED = "OMS is being stopped: open the stream anew in a moment."
_STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),
    *((name, b"no-store, no-transform" if name == b"cache-control" else value) for name, value in ALWAYS),
]
_JSON: Headers = [(b"content-type", b"application/json"), *ALWAYS]


class EventDoor:
    """The address."""

    def __init__(self, news: News, sessions: Sessions, log: Audit) -> None:
        self._news, self._sessions, self._log = news, sessions, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send, *, foreign: bool) -> Answered | None:
        """One request."""
        if scope["path"] != PATH:
            return _refused(404, PermissionDenied("There is nothing here."))
        if foreign:
            return _refused(403, PermissionDenied("Another site's page may not listen here."))
        if scope["method"] != "GET":
            return _refused(405, PermissionDenied("GET this."))
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            session = await self._sessions.check(bearer(headers.get("authorization", "")), is_use=False)
            op = asked(scope["query_string"], headers.get("last-event-id", ""))
            with self._news.places.place(session.digest):
                await self._stream(op, session, scope, receive, send)
        except AuthError as error:
            return _refused(401, error)
        except TooManyListeners as error:
            return _refused(429, error)
        except ParameterMismatch as error:
            return _refused(400, error)
        except OmsError as error:
            return _refused(503, error)
        return None

    async def _stream(self, op: ListEvents, session: Session, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises OmsError before anything was sent, and nothing after that."""
        view = View(session.role, session.user, whole(op.kinds), op.server_hostname, op.guest, op.job)
        address = scope["client"][0] if scope["client"] else ""
        async with self._news.log.listening(view, op.after) as listener, self._sessions.lasting(session) as ended:
            began, page = listener.after, await listener.read(AT_ONCE)
            self._note(session, address, "events opened")
            await send({"type": "http.response.start", "status": 200, "headers": _STREAM})
            async with _waking(listener, _left(receive), ended.wait()) as (left, over):
                stream = _Stream(listener, send, left=left.done, over=over.done)
                await stream.run(began, page)
        with contextlib.suppress(OmsError):  # the log of calls says what is wrong with it
            self._note(session, address, "events left")

    def _note(self, session: Session, address: str, method: str) -> None:
        who = session.token or session.digest[:8]
        self._log.write(Line(time=moment(now()), address=address, method=method, user=session.user, session=who))


class _Stream:
    """One answer, which ends when its session does."""

    def __init__(
        self, listener: Listener, send: Send, *, left: Callable[[], bool], over: Callable[[], bool]
    ) -> None:
        """`left`: whether the reader has gone; `over`: whether his session has."""
        self._listener, self._send = listener, send
        self._left, self._over = left, over

    async def run(self, began: int, page: Page) -> None:
        """Begin after a number, with a page that was read already."""
        await self._write(_named("head", began, {"sequence": began}))
        try:
            while (why := self._why_not()) is None:
                page = await self._go_on(page)
        except OmsError as failure:
            why = failure.message
        if why:
            await self._write(_named("end", None, {"reason": why}))
        await self._send({"type": "http.response.body", "body": b""})

    def _why_not(self) -> str | None:
        """Why it does not go on, in words where anybody reads them; None where it does."""
        if self._left():
            return ""
        if self._over():
            return ENDED
        return STOPPED if self._listener.log.closed else None

    async def _go_on(self, page: Page) -> Page:
        """Write a page, or wait for the next one; answers that."""
        if page.gap:
            await self._write(_named("gap", page.next, {"sequence": page.next}))
        elif page.events:
            await self._write(self._listener.stream(page))
        elif not page.more and not await self._listener.wait(KEEP_ALIVE_SECONDS):
            # The number goes on also for those who see little: it must not be taken out under them.
            await self._write(b":\nid: %d\n\n" % self._listener.after)
        return await self._listener.read(AT_ONCE)

    async def _write(self, text: bytes) -> None:
        await self._send({"type": "http.response.body", "body": text, "more_body": True})


def asked(query: bytes, last_id: str) -> ListEvents:
    """What a stream is to tell. Raises ParameterMismatch."""
    given: dict[str, Any] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in ASKED:
            raise ParameterMismatch(
                f"A stream has no parameter {name[:80]!r}; it has {', '.join(sorted(ASKED))}. Who asks is said in "
                "the header Authorization: Bearer, never in the address.",
                parameter=name[:80],
            )
        given[name] = value
    if "kinds" in given:
        given["kinds"] = [kind for kind in given["kinds"].split(",") if kind]
    if last_id:
        given["after"] = last_id
    if "after" in given:
        given["after"] = int(given["after"]) if _is_number(given["after"]) else given["after"]
    op = decode.decode(ListEvents, {"SESSID": "", "cache_timeout": 0, **given}).op
    assert isinstance(op, ListEvents)
    return op


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


@contextlib.asynccontextmanager
async def _waking(
    listener: Listener, *works: Coroutine[Any, Any, object]
) -> AsyncIterator[list[asyncio.Task[object]]]:
    """Wake a listener when one of these has come to its end."""
    tasks = [asyncio.create_task(work) for work in works]
    for task in tasks:
        task.add_done_callback(lambda _done: listener.wake())
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _left(receive: Receive) -> None:
    """Until the reader has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _named(name: str, number: int | None, data: dict[str, Any]) -> bytes:
    """An event of the stream itself."""
    ident = b"" if number is None else b"id: %d\n" % number
    return b"%sevent: %s\ndata: %s\n\n" % (ident, name.encode(), msgspec.json.encode(data))


def _refused(status: int, error: OmsError) -> Answered:
    told = {"kind": type(error).__name__, "name": error.wire_name, "message": error.message}
    return status, _JSON, msgspec.json.encode({"error": told})
