"""The other servers over the same database, and this one's place among them.

Each server says every few seconds in the database that it is there. The open jobs of one that does not are taken
up by another, together with the rows of the audit log that it did not come to write: in one transaction, so that
one alone does it.

What changes at one server is told to the others over the bus, and may be lost there. So it is only ever told that
something changed: what is true now, each reads in the database, or asks of the host.
"""

import asyncio
import fcntl
import time
from collections.abc import Callable

import msgspec
import structlog
from sqlalchemy import Connection

from oms.bus.wire import ServerWire
from oms.contract.errors import OmsError
from oms.server import ledger
from oms.server.events.gathering import Gathering
from oms.server.jobs import Jobs
from oms.server.reads import Reads
from oms.server.store import Store, servers
from oms.server.store.jobs import Job

log = structlog.get_logger("oms.servers")
BEAT_SECONDS = 2.0
CHANGED, RUNG = "changed", "events"


class Changed(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something is another on a host; `job`: of that it is known how it ended."""

    host: str
    job: str = ""


_changed = msgspec.json.Decoder(Changed)
_encode = msgspec.json.Encoder().encode


class Notices:
    """What servers tell each other."""

    def __init__(self, wire: ServerWire, reads: Reads, *, others: bool) -> None:
        """`others`: whether there may be any."""
        self._wire, self._reads, self._others = wire, reads, others
        self._job_ended: Callable[[str], None] = lambda _job: None
        self._rung: Callable[[int], None] = lambda _head: None
        wire.on_told(self._told)

    def use(self, job_ended: Callable[[str], None], missed: Callable[[], None]) -> None:
        """`job_ended` hears the id of a job that ended at another server; `missed` that something may have been
        told unheard."""
        self._job_ended = job_ended

        def all_missed() -> None:
            self._reads.forget()
            missed()

        self._wire.on_missed(all_missed)

    def ring(self, head: int) -> None:
        """There are events up to that number."""
        if self._others:
            self._wire.tell(RUNG, b"%d" % head)

    def on_ring(self, callback: Callable[[int], None]) -> None:
        """Call back when another server has rung."""
        self._rung = callback

    def changed(self, host_id: str, job: str = "") -> None:
        """Something is another on a host now: here, and for the others."""
        self._reads.changed(host_id)
        if self._others:
            self._wire.tell(CHANGED, _encode(Changed(host_id, job)))

    def _told(self, topic: str, payload: bytes) -> None:
        if topic == RUNG and payload.isdigit():
            self._rung(int(payload))
        if topic != CHANGED:
            return
        try:
            change = _changed.decode(payload)
        except msgspec.MsgspecError:
            log.warning("another server was not understood", topic=topic)
            return
        self._reads.changed(change.host)
        if change.job:
            self._job_ended(change.job)


class Place:
    """This server's among the others."""

    def __init__(self, store: Store, server: str, epoch: int, jobs: Jobs, gathering: Gathering) -> None:
        self._gathering = gathering
        self._store, self._server, self._epoch, self._jobs = store, server, epoch, jobs
        self._let_go = store.held(fcntl.LOCK_SH)
        self._steady_since = self._beaten = time.monotonic()

    async def keep(self) -> None:
        """Where there may be others, runs for ever: says that this one is there, and takes up what they leave."""
        if not self._store.is_shared:
            return
        self._gathering.tells = False
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self._beat()
            except OmsError as failure:
                self._steady_since = time.monotonic()
                log.warning("this server could not say that it is there", failure=failure.message)

    async def _beat(self) -> None:
        began = time.monotonic()
        if not await self._store.write(lambda tx: servers.beat(tx, self._server, self._epoch)):
            log.error("another server uses this one's identity: no two may share a data directory")
        if time.monotonic() - min(began, self._beaten + BEAT_SECONDS) > BEAT_SECONDS:
            self._steady_since = time.monotonic()  # this server hung, or the database: let the others be back too
        self._beaten = time.monotonic()
        if time.monotonic() - self._steady_since < servers.LEASE_SECONDS:
            return
        first = min(server.id for server in await self._store.read(servers.alive))
        self._gathering.take_over(tells=first == self._server)
        for left in await self._store.read(servers.gone):
            if left != self._server:
                await self._take_up(left)

    async def _take_up(self, left: str) -> None:
        def take(tx: Connection) -> list[Job] | None:
            if left not in servers.gone(tx):
                return None  # it is back, or another was quicker
            ledger.catch_up(tx, left)
            return servers.take_up(tx, left, self._server)

        taken = await self._store.write(take)
        if taken is not None:
            log.warning("a server is gone, and its work taken up", server=left, jobs=len(taken))
            self._jobs.take_up(taken)

    async def leave(self) -> None:
        """It ends: others need not wait for its lease to run out."""
        try:
            await self._store.write(lambda tx: servers.leave(tx, self._server, self._epoch))
        except OmsError as failure:
            log.warning("this server could not say that it ends", failure=failure.message)
        self._let_go()
