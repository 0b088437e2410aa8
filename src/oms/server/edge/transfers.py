"""/transfers/JOB: bulk over HTTPS, passed on as it comes. Callers PUT with their SESSID, hosts with a signature.

An upload is PUT whole, or in parts that each say by Content-Range which they are. GET says from where on the host
wants bytes: what it has got is on its disk. So after any break one asks, and goes on from there.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec

from oms.bus import transfer
from oms.bus.enrolment import Refusal
from oms.bus.transfer import Span
from oms.contract.errors import AuthError, FuncManError, NoSuchTask, OmsError
from oms.server import audit
from oms.server.audit import Audit, Line
from oms.server.edge.detour import NONE_YET, ONCE_REMOVED, Detours
from oms.server.edge.http import ALWAYS, Answered, Receive, Scope, Send, bearer
from oms.server.meeting import Broken, Pipe
from oms.server.store.jobs import Job
from oms.server.store.moments import moment, now
from oms.server.transfers import Transfers

HOST_WAITS_SECONDS = 50.0
"""A host asks again after that, so that neither side waits for one that has gone unseen."""
CALLER_WAITS_SECONDS = 20.0
"""For the host to come back between two parts of a file."""
LOOK_SECONDS = 3.0
"""For the same, where a caller only asks."""
STALLED_SECONDS = 60.0
"""Who brings nothing for so long has gone."""
SESSION_LOOKED_AT_SECONDS = 1.0
"""How often, while a caller brings bytes; each look is a use of his session. Who is thrown out brings no more."""
STATUSES: dict[type[OmsError], int] = {AuthError: 401, NoSuchTask: 404}
"""By an error's kind, or that of which it is one; 409 for all others."""
AT_ONCE = 64
"""Requests that bring bulk, so that calls keep their share of the machine. Hosts that wait for some are many."""
_JSON = [(b"content-type", b"application/json"), *ALWAYS]
_BYTES = [(b"content-type", b"application/octet-stream"), *ALWAYS]
Headers = dict[str, str]


class Gone(Exception):
    """Whoever made the request has left: nobody reads an answer."""


class Stand(msgspec.Struct, frozen=True):
    """How an upload stands. `offset`: from where on bytes are wanted; -1: the host wants none just now."""

    job: str
    state: str
    offset: int


class Door:
    """The address."""

    def __init__(self, transfers: Transfers, log: Audit, detours: Detours) -> None:
        self._transfers, self._log, self._detours = transfers, log, detours
        transfers.call = detours.call
        self._busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send, *, foreign: bool) -> Answered | None:
        """One request; what is to be answered, or None where nothing is (any more)."""
        if foreign:
            return _refused(403, "Another site's page may bring nothing here.")
        try:
            return await self._answer(scope, receive, send)
        except Gone:
            return None
        except Refusal as refusal:
            return _refused(400, refusal.reason)
        except OmsError as error:
            status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 409)
            return _refused(status, error.message, type(error))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Answered | None:
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        job_id = scope["path"].removeprefix(transfer.PATH)
        claim = headers.get(transfer.HOST_HEADER)
        match scope["method"]:
            case "GET" if claim is not None:
                return await self._take(scope, claim, job_id, receive, send)
            case "PUT" if claim is not None:
                host = await self._transfers.host(claim, "PUT", _target(scope))
                job = await self._transfers.brought_by(job_id, host)
                return await self._fill(job, _span(headers), receive, _still)
            case "PUT":
                return await self._bring(scope, headers, job_id, receive)
            case "GET" | "HEAD":
                session = await self._transfers.session(bearer(headers.get("authorization", "")))
                await self._transfers.upload(job_id, session)
                return await self._stand(200, job_id, LOOK_SECONDS)
        return _refused(405, "PUT the bytes of an upload, or GET how it stands.")

    # --- a host takes

    async def _take(self, scope: Scope, claim: str, job_id: str, receive: Receive, send: Send) -> Answered | None:
        host = await self._transfers.host(claim, "GET", _target(scope))
        job = await self._transfers.taken_by(job_id, host)
        once_removed = any(name == ONCE_REMOVED.encode() for name, _ in scope["headers"])
        pipe = await self._transfers.begin(job, _offset(scope), once_removed=once_removed)
        leaving = asyncio.create_task(_watch(receive, pipe))
        begun = asyncio.create_task(pipe.begun.wait())
        try:
            await asyncio.wait((leaving, begun), timeout=HOST_WAITS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not pipe.begun.is_set():
                return NONE_YET
            if pipe.at:
                if once_removed:
                    return NONE_YET  # the host asks again, and comes to where they are
                return await self._detours.passed_on(pipe.at, _target(scope), claim, send)
            await _pass_on(pipe, send)
        finally:
            self._transfers.meetings.close(job_id, pipe)
            for task in (leaving, begun):
                task.cancel()
        return None

    # --- somebody brings

    async def _bring(self, scope: Scope, headers: Headers, job_id: str, receive: Receive) -> Answered:
        sessid = bearer(headers.get("authorization", ""))
        session = await self._transfers.session(sessid)
        line: dict[str, Any] = {"user": session.user, "session": session.digest[:8]}
        try:
            job = await self._transfers.upload(job_id, session)
            line |= {"host": job.host, "job": job.id}
            span = _span(headers)
            self._transfers.check_size(job, span.size)

            async def still() -> None:
                await self._transfers.session(sessid)

            return await self._fill(job, span, receive, still)
        except OmsError as error:
            line |= {"outcome": error.wire_name, "reason": error.message[: audit.LONGEST_TEXT]}
            raise
        finally:
            address = scope["client"][0] if scope["client"] else ""
            self._log.write(Line(time=moment(now()), address=address, method="PUT /transfers", **line))

    async def _fill(
        self, job: Job, span: Span, receive: Receive, still: Callable[[], Awaitable[None]]
    ) -> Answered:
        if self._busy >= AT_ONCE:
            return _refused(503, "As many transfers are under way as may: try again in a moment.")
        self._busy += 1
        try:
            return await self._passed_on(job, span, receive, still)
        finally:
            self._busy -= 1

    async def _passed_on(
        self, job: Job, span: Span, receive: Receive, still: Callable[[], Awaitable[None]]
    ) -> Answered:
        """Pass on what is brought, as far as the host takes it; how the job stands then."""
        pipe = await self._transfers.met(job.id, CALLER_WAITS_SECONDS)
        if pipe is None:
            return await self._stand(503, job.id, 0)
        if pipe.offset != span.first:
            return await self._stand(409, job.id, 0)
        pipe.begin(span.size)
        try:
            async with asyncio.timeout(None) as stalling:
                await _pump(receive, pipe, span.last + 1 - span.first, stalling, still)
        except (Broken, TimeoutError):
            pipe.end()
            return await self._stand(503, job.id, CALLER_WAITS_SECONDS)
        finally:
            pipe.end()
        return await self._stand(200, job.id, CALLER_WAITS_SECONDS)

    async def _stand(self, status: int, job_id: str, seconds: float) -> Answered:
        job, offset = await self._transfers.standing(job_id, seconds)
        if failure := job.failure():
            return _refused(409, failure.message)
        stand = Stand(job.id, job.state, -1 if offset is None else offset)
        return status, [(b"upload-offset", str(stand.offset).encode()), *_JSON], msgspec.json.encode(stand)


async def _still() -> None:
    """A host needs no session."""


async def _watch(receive: Receive, pipe: Pipe) -> None:
    """See when a host leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass
    pipe.break_off()


async def _pass_on(pipe: Pipe, send: Send) -> None:
    size = str(pipe.size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"oms-size", size), *_BYTES]})
    async for part in pipe.parts():
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _pump(
    receive: Receive, pipe: Pipe, left: int, stalling: asyncio.Timeout, still: Callable[[], Awaitable[None]]
) -> None:
    """Raises Broken, TimeoutError, Gone, Refusal, and what `still` raises."""
    loop = asyncio.get_running_loop()
    look_at = time.monotonic() + SESSION_LOOKED_AT_SECONDS
    more = True
    while more:
        stalling.reschedule(loop.time() + STALLED_SECONDS)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part, more = message.get("body", b""), message.get("more_body", False)
        left -= len(part)
        if left < 0 or (left and not more):
            raise Refusal("What came is not as long as was said.")
        await pipe.give(part)
        if time.monotonic() >= look_at:
            await still()
            look_at = time.monotonic() + SESSION_LOOKED_AT_SECONDS


def _span(headers: Headers) -> Span:
    """Which bytes of which whole a request brings. Raises Refusal."""
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit() and 0 < len(length) < 16 and int(length)):
        raise Refusal("A PUT needs a Content-Length of 1 or more.")
    if transfer.RANGE_HEADER not in headers:
        return Span(0, int(length) - 1, int(length))
    span = transfer.span(headers[transfer.RANGE_HEADER])
    if span.last + 1 - span.first != int(length):
        raise Refusal(f"Content-Range is of {span.last + 1 - span.first} bytes, Content-Length of {length}.")
    return span


def _offset(scope: Scope) -> int:
    given = parse_qs(scope["query_string"].decode("latin-1")).get("offset", ["0"])[0]
    if not (given.isascii() and given.isdigit() and len(given) < 16):
        raise Refusal("The offset is a whole number.")
    return int(given)


def _target(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    path: str = scope["raw_path"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _refused(status: int, why: str, kind: type[OmsError] = FuncManError) -> Answered:
    told = {"kind": kind.__name__, "name": kind.wire_name, "message": why}
    return status, _JSON, msgspec.json.encode({"error": told})
