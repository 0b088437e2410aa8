"""The one road that every call takes: find, session, permission, decode, then the answer from where it is.

find the operation → who calls → may he → decode → what OMS itself answers
                                                  → a read: recorded, or asked of the host
                                                  → a change: a job, and its outcome
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import msgspec
import structlog
from msgspec import UNSET, Raw, UnsetType

from oms.bus.call import encode
from oms.contract import auth, decode, event, user
from oms.contract.decode import Decoded
from oms.contract.errors import (
    AuthError,
    FuncManError,
    FuncMethodTimeoutError,
    OmsError,
    ParameterMismatch,
    PermissionDenied,
)
from oms.contract.operation import HostOperation, OpenOperation, Operation, Permission
from oms.server import audit, jobs, told
from oms.server.audit import Audit, Line
from oms.server.desk import Desk, House, Table
from oms.server.ledger import Ledger
from oms.server.metrics.own import UNKNOWN, Own
from oms.server.reads import Reads
from oms.server.rules import consequences
from oms.server.rules import tags as rules
from oms.server.rules.tokens import is_token
from oms.server.same_commit import Row
from oms.server.sessions import NOT_VALID
from oms.server.store.moments import moment, now
from oms.server.store.sessions import Session
from oms.server.tagging import Tagging

log = structlog.get_logger("oms.pipeline")
PERHAPS_DONE = ("ok", "defect", "broken off", FuncMethodTimeoutError.wire_name)
"""Outcomes of an audit line after which something may have been changed."""


BEFORE_A_NEW_PASSWORD = (auth.Checksessid, user.Whoami, user.ChangePassword)
"""What may be called, besides logging out, while somebody else knows the caller's password."""
NO_USE = (event.ListEvents,)
"""What does not keep a session from its idle end: it is called by programs that watch, whether anybody is there or
not."""
LONG_SECONDS = 60
"""A read that may take longer than that ends with its session."""


NAMES = ("username", "user_name", "token_id", "task_id", "hostname_list", "console", "recording")
"""Fields that say what a call of OMS's own is about."""
NOT_KEPT = "OMS cannot write down in its database who asked what: make room on OMS's disk, or see that it answers."
OTHER_JOB = (
    "There is a job of that Idempotency-Key, and it is not of this call: choose another key for each change."
)


class Origin(msgspec.Struct, frozen=True):
    """Who made a request, as far as it tells by itself, and what he wants besides. `foreign`: a browser says that
    another site's page made it. `bearer`: what stood behind `Authorization: Bearer`, empty where nothing did; a
    token, or nothing to us. `job`: the id that the job is to have which the call begins; empty: any. `wait`: how
    many seconds to wait for a change's outcome; None: as the method says."""

    address: str
    foreign: bool = False
    bearer: str = ""
    unattended: bool = False
    """A program says that it calls by itself, as a page does that has heard of a change: no use of the session."""
    job: str = ""
    wait: float | None = None


class Call(msgspec.Struct, frozen=True):
    """A call as it came in, on any dialect."""

    service: Any
    method: Any
    params: Any
    caller: Origin


class Answer(msgspec.Struct, frozen=True):
    """A result: its type, itself (JSON values, structs or Raw), and when it was so (RFC 3339)."""

    type: str
    result: Any
    as_of: str


class InHost(msgspec.Struct, frozen=True, omit_defaults=True):
    """A host's answer, with the host's name, and what is missing in it where anything is."""

    client: str
    result: Any
    missing: Any = UNSET


class Pipeline:
    """The road. `answer` is all that an edge needs."""

    def __init__(self, house: House, table: Table, reads: Reads, *, log: Audit, ledger: Ledger, own: Own) -> None:
        self._house, self._table, self._reads, self._own = house, table, reads, own
        self._log, self._ledger = log, ledger
        self._tagging = Tagging(house.store)

    async def answer(self, call: Call) -> Answer:
        """The answer to a call, after its audit line was written. Raises OmsError."""
        trace = _Trace(call)
        began = time.perf_counter()
        try:
            return await self._answer(call, trace)
        except OmsError as error:
            trace.failed(error)
            raise
        except asyncio.CancelledError:
            trace.line["outcome"] = "broken off"  # the server is being stopped
            raise
        except Exception:
            trace.line["outcome"] = "defect"
            raise
        finally:
            seconds = time.perf_counter() - began
            self._own.called(trace.method, trace.line.get("outcome", "ok"), seconds)
            await self._write(trace, round(seconds * 1000, 3))

    async def _write(self, trace: "_Trace", milliseconds: float) -> None:
        line = trace.written(milliseconds)
        try:
            self._log.write(line)
        except FuncManError as unwritable:
            raise trace.unwritten(unwritable) from unwritable
        if trace.row is not None and await trace.row.is_written():
            return
        if not self._ledger.wants(trace.kind, trace.line):
            return
        try:
            await self._ledger.write(line, trace.target())
        except OmsError as unwritable:
            if line.outcome in PERHAPS_DONE:
                raise trace.unwritten(FuncManError(NOT_KEPT, cause="audit")) from unwritable
            log.warning(
                "audit row not written", failure=unwritable.message
            )  # nothing was changed; the file has it

    async def _answer(self, call: Call, trace: "_Trace") -> Answer:
        kind = decode.find(call.service, call.method)
        trace.line["method"] = trace.method = kind.facts.wire
        trace.kind = kind
        desk = await self._admit(kind, call, trace)
        decoded = decode.decode(kind, decode.signed(kind, call.params, desk.sessid))
        trace.decoded(decoded)
        if isinstance(decoded.op, HostOperation):
            return await self._of_host(decoded, decoded.op, desk, trace, call.caller)
        handler = self._table.find(kind)
        if handler is None:
            raise FuncManError(f"{kind.facts.wire} is not served here.")
        asked = handler(decoded.op, desk)
        if desk.known is not None and kind.facts.timeout > LONG_SECONDS and not kind.facts.changes:
            asked = self._while_in(desk.known, asked)
        return Answer(kind.facts.answers, await asked, moment(now()))

    async def _while_in(self, session: Session, asked: Awaitable[Any]) -> Any:
        """What is asked, given up when the session ends. Raises AuthError then."""
        answer = asyncio.ensure_future(asked)
        async with self._house.sessions.lasting(session) as ended:
            over = asyncio.create_task(ended.wait())
            try:
                await asyncio.wait((answer, over), return_when=asyncio.FIRST_COMPLETED)
                if answer.done():
                    return answer.result()
                raise auth.NoSession(NOT_VALID)
            finally:
                for task in (answer, over):
                    task.cancel()

    async def _admit(self, kind: type[Operation[Any]], call: Call, trace: "_Trace") -> Desk:
        """Who calls, and may he. Looks at nothing but the SESSID; raises AuthError."""
        facts, caller = kind.facts, call.caller
        if caller.foreign and facts.changes:
            raise PermissionDenied("Another site's page may not change anything here.")
        if issubclass(kind, OpenOperation):
            return Desk("", Permission.NOBODY, caller.address, None, self._house)
        given = decode.sessid(call.params) or (caller.bearer if is_token(caller.bearer) else None)
        if facts.permission is Permission.NOBODY:
            return Desk("", Permission.NOBODY, caller.address, given, self._house)
        session = await self._house.sessions.check(
            given, any_password=kind in BEFORE_A_NEW_PASSWORD, is_use=kind not in NO_USE and not caller.unattended
        )
        trace.line["user"], trace.line["session"] = session.user, session.token or session.digest[:8]
        if session.role < facts.permission:
            raise AuthError(
                f"{facts.wire} needs the role {facts.permission.name.lower()}; "
                f"{session.user} is {session.role.name.lower()}. An administrator can change that."
            )
        return Desk(session.user, session.role, caller.address, given, self._house, session)

    async def _of_host(
        self, decoded: Decoded, op: HostOperation[Any], desk: Desk, trace: "_Trace", caller: Origin
    ) -> Answer:
        if op.facts.changes:
            return await self._change(decoded, op, desk, trace, caller)
        host = await self._house.fleet.host(decoded.host)
        asked, tags = rules.parted(op)
        key = (host.id, op.facts.wire, encode(asked))
        recorded = self._reads.recorded(key, decoded.cache_timeout)
        kind = "tmp_cache"
        if fresh := recorded is None:
            recorded = await self._reads.ask(key, lambda: self._house.caller.ask_raw(host.id, asked))
            kind = op.facts.answers
        answer = _in_host(host.name, recorded.answer, op)
        listed = await self._tagging.dressed(type(op), host.id, answer.result, tags, fresh=fresh)
        return Answer(kind, msgspec.structs.replace(answer, result=listed), recorded.as_of)

    async def _change(
        self, decoded: Decoded, op: HostOperation[Any], desk: Desk, trace: "_Trace", caller: Origin
    ) -> Answer:
        host = await self._house.fleet.host(decoded.host)
        name = self._house.inventory.name(host.id, *about) if (about := consequences.called(op)) else ""
        job = await self._house.jobs.submit(op, host, desk.user, job_id=caller.job, name=name)
        if job.id == caller.job and not jobs.is_of(job, op, host, desk.user):
            raise ParameterMismatch(OTHER_JOB, parameter="Idempotency-Key")
        trace.line["job"] = job.id
        if self._ledger.wants(trace.kind, trace.line):
            trace.row = self._ledger.with_end(trace.written(0), trace.target())
        wait = op.facts.timeout if caller.wait is None else min(caller.wait, op.facts.timeout)
        answered = await self._house.jobs.outcome(job, wait, trace.row)
        return Answer(op.facts.answers, InHost(host.name, told.result(answered)), moment(now()))


def _in_host(host: str, answer: Raw, op: HostOperation[Any]) -> InHost:
    if not op.facts.partly:
        return InHost(host, answer)
    parts = msgspec.json.decode(answer, type=_Parts)
    return InHost(host, parts.result, parts.missing)


class _Parts(msgspec.Struct):
    """A host's `Partly`, as the JSON it came in."""

    result: Raw
    missing: Raw | UnsetType = UNSET


class _Trace:
    """The audit line of a call while it is being made."""

    def __init__(self, call: Call) -> None:
        asked = f"{call.service}.{call.method}"
        self.line: dict[str, Any] = {"method": asked[:256], "address": call.caller.address}
        self.method = UNKNOWN
        self.kind: type[Operation[Any]] | None = None
        self.row: Row | None = None
        """What is written with the end of its job, where it has one."""
        self._decoded: Decoded | None = None

    def decoded(self, decoded: Decoded) -> None:
        self._decoded = decoded

    def failed(self, error: OmsError) -> None:
        self.line["outcome"] = error.wire_name
        self.line["reason"] = error.message[: audit.LONGEST_TEXT]
        if isinstance(error, FuncMethodTimeoutError) and "job" in error.data:
            self.line["job"] = str(error.data["job"])

    def written(self, milliseconds: float) -> Line:
        params: dict[str, Any] = {}
        if self._decoded is not None:
            op = self._decoded.op
            params = audit.printable(op.__struct_fields__, op)
            self.line["host"] = self._decoded.host
            if isinstance(op, auth.Authenticate) and "outcome" not in self.line:
                self.line["user"] = op.username.strip().lower()
        return Line(time=moment(now()), params=params, milliseconds=milliseconds, **self.line)

    def target(self) -> str:
        """The guest, account or thing that it was about, as far as the call came to name one."""
        op = self._decoded.op if self._decoded else None
        if op is None:
            return ""
        name = op.facts.target or next((name for name in NAMES if name in op.__struct_fields__), "")
        named = getattr(op, name) if name else ""
        if isinstance(named, str | int):  # a container's id may come as a number
            return str(named)[: audit.LONGEST_TEXT]
        return ", ".join(map(str, named))[:1024]

    def unwritten(self, why: FuncManError) -> OmsError:
        """What is answered where the line cannot be written: whether the call did anything, not how it ended."""
        changes = self._decoded is not None and self._decoded.op.facts.changes
        if not changes or self.line.get("outcome", "ok") not in PERHAPS_DONE:
            return FuncManError(f"{why.message} Nothing was changed.", **why.data)
        job = {"job": self.line["job"]} if "job" in self.line else {}
        return FuncMethodTimeoutError(f"{why.message} What was asked may have been done.", **why.data, **job)
