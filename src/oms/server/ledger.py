"""The audit log that lasts: a row for every call that changes something or reads what others did at a console, for
logins, and for what a role refused.

What anybody can cause without a session is limited: more of it than that stands in the file `audit.log` alone.
"""

import time
from typing import Any, Self

import msgspec
import structlog
from sqlalchemy import Connection

from oms.contract import auth, console
from oms.contract.errors import AuthError, OmsError
from oms.contract.operation import Operation
from oms.server.audit import LONGEST_TEXT, Line
from oms.server.same_commit import Row
from oms.server.store import Store, audit, meta
from oms.server.store.audit import Entry
from oms.server.store.jobs import Job
from oms.server.store.moments import moment, now
from oms.server.told import result

log = structlog.get_logger("oms.audit")
LONGEST_PARAMS = 8 * 1024
"""Of JSON; longer ones stand in the file."""
BURST, PER_SECOND = 200, 2.0
"""Refusals that are written at once, and in the long run."""
STARTED = "audited_from"


class Ledger:
    """The door to it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._left, self._looked = float(BURST), time.monotonic()
        self._encode = msgspec.json.Encoder(enc_hook=str).encode

    def wants(self, kind: type[Operation[Any]] | None, line: dict[str, Any]) -> bool:
        """Whether such a call is to stand there."""
        refused = line.get("outcome") == AuthError.wire_name
        if kind is auth.Authenticate:
            return line.get("outcome", "ok") == "ok" or (refused and self._may())
        if kind is None or not line.get("user"):
            return False
        return kind.facts.changes or kind is console.ReadRecording or (refused and self._may())

    async def write(self, line: Line, target: str) -> None:
        """Put a call there; it is on the disk when this returns. Raises the document's Database...Errors."""
        entry = self._entry(line, target)
        await self._store.write(lambda tx: audit.append(tx, entry))

    def with_end(self, line: Line, target: str) -> Row:
        """A call's row that can be written with the end of its job. `line` says all but how that was."""
        entry = self._entry(line, target)

        def write(tx: Connection, job: Job) -> None:
            outcome, reason = how_it_ended(job)
            audit.append(tx, msgspec.structs.replace(entry, time=moment(now()), outcome=outcome, reason=reason))

        return Row(write)

    def _entry(self, line: Line, target: str) -> Entry:
        params = self._encode(line.params).decode()
        if len(params) > LONGEST_PARAMS:
            params = msgspec.json.encode({"…": f"{len(params)} characters, in the file audit.log"}).decode()
        return Entry(
            time=line.time,
            method=line.method,
            user=line.user,
            session=line.session,
            address=line.address,
            host=line.host,
            target=target,
            params=params,
            outcome=line.outcome,
            reason=line.reason,
            job=line.job,
        )

    @classmethod
    async def begun(cls, store: Store, server: str) -> Self:
        """At a start, after writing the rows that the one before did not come to write, because it was killed."""
        await store.write(lambda tx: catch_up(tx, server))
        return cls(store)

    async def prune(self, days: int, rows: int) -> None:
        """Take out what need not be kept; and tell the head to the log, which may be kept elsewhere."""
        before = moment(now() - days * 86_400)
        gone, head = await self._store.write(
            lambda tx: (audit.prune(tx, before, rows, moment(now())), audit.mark(tx, audit.HEAD))
        )
        log.info("audit", head=f"{head.seq}:{head.sha256}", pruned=gone)

    def _may(self) -> bool:
        """Whether one more refusal is written."""
        passed = time.monotonic() - self._looked
        self._looked += passed
        self._left = min(float(BURST), self._left + passed * PER_SECOND)
        if self._left < 1:
            return False
        self._left -= 1
        return True


def how_it_ended(job: Job) -> tuple[str, str]:
    """Outcome and reason of a call that waited for a job."""
    try:
        result(job)
    except OmsError as error:
        return error.wire_name, error.message[:LONGEST_TEXT]
    return "ok", ""


def catch_up(tx: Connection, server: str) -> None:
    """Write the rows of jobs for which a server did not come to do that."""
    mine = f"{STARTED}.{server}"
    since = meta.get(tx, mine) or meta.get(tx, STARTED)
    for job, method, owner, host, target in audit.unwritten(tx, float(since), server) if since else ():
        why = "OMS was killed before this call was answered: the job says how it ended."
        entry = Entry(moment(now()), method, user=owner, host=host, target=target, job=job, reason=why)
        audit.append(tx, msgspec.structs.replace(entry, outcome="broken off"))
    meta.put(tx, mine, repr(now()))
