"""Every change of this host as a job: at most once, in its turn, before its deadline, and never forgotten.

    accept ──journal──> queued ──journal──> running ──journal──> done | failed
                          ├── its deadline passed ──> failed (JobExpired), nothing changed
                          └── cancelled ──> cancelled, nothing changed

An arrow with `journal` stands on the disk before what comes after it; what need not wait is written down as
running when it comes. A restarted agent goes on from there: what was running runs again with what it recorded, to
finish or to undo; what was queued keeps its place.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import structlog

from oms.agent.context import JOURNAL, Host
from oms.agent.events import Events
from oms.agent.journal import KEPT_AT_MOST, Entry, Journal, JournalError
from oms.agent.lanes import Lanes, Surroundings
from oms.agent.run import Unfinished
from oms.agent.server_clocks import ServerClocks
from oms.background import Background
from oms.bus.call import Request, decode, encode
from oms.contract.errors import FuncManError, HostBusy, HostUnavailable, OmsError
from oms.contract.handlers import Handlers
from oms.contract.internal import JobState
from oms.contract.operation import HostOperation, Operation

T = TypeVar("T")
log = structlog.get_logger("oms.agent")
MOST_QUEUED = 256
ASKED_AT_MOST = 1000
WELCOME_ENDED = 256
WELCOME_BYTES = 1024 * 1024
PRUNE_AFTER_SECONDS = 600.0
"""From being greeted: by then the server has asked for all that it wants to know."""
TIDY_SECONDS, TIDY_AT_LATEST_SECONDS = 1.0, 10.0
"""Without another job's end, and from the first one's: tidying syncs the disk as often as a job does, and one that
comes meanwhile waits, so it is done for many at once, and when it is quiet."""
_ID = re.compile(r"[0-9a-f]{32}")

Lane = Callable[[HostOperation[Any]], str]
"""What an operation changes, one at a time."""


def lane_of(op: HostOperation[Any]) -> str:
    """Service and target; the service alone where an operation changes no single thing."""
    return op.facts.queue(getattr(op, op.facts.target) if op.facts.target else "")


class Jobs:
    """The jobs of this host that have not ended, and the journal of all."""

    def __init__(
        self,
        journal: Journal,
        handlers: Handlers[Host],
        surroundings: Surroundings,
        *,
        clocks: ServerClocks,
        events: Events,
        lane: Lane = lane_of,
    ) -> None:
        self._journal, self._handlers = journal, handlers
        self._clocks, self._events, self._lane = clocks, events, lane
        self._open: dict[str, Unfinished] = {}
        self._lanes = Lanes(
            journal, handlers, surroundings, clocks, on_begun=self._progressed, on_ended=self._ended
        )
        self._tasks = Background()
        self._stopping = asyncio.Event()
        self._tidying = False
        self._quiet_at = 0.0
        self._prune_at = float("inf")

    async def accept(self, request: Request, op: HostOperation[Any]) -> JobState:
        """Write a command down and queue it; the state of the job of that id if there is one.

        Raises JobExpired, HostUnavailable, HostBusy, FuncManError: then it was not begun and will not be.
        """
        _check_id(request.id)
        job = self._open.get(request.id)
        if job is None:
            job = Unfinished(self._entry(request, op), op, self._journal, self._progressed)
            self._open[job.id] = job
            self._tasks.begin(self._write_down(job, request))
        known = await asyncio.shield(job.written)
        return known.told() if known else job.told()

    def _entry(self, request: Request, op: HostOperation[Any]) -> Entry:
        return Entry(
            id=request.id,
            verb=op.facts.wire,
            lane=self._lane(op),
            server=request.server,
            epoch=request.epoch,
            deadline=request.deadline,
            op=encode(op).decode(),
            created=time.time(),
        )

    async def _write_down(self, job: Unfinished, request: Request) -> None:
        """Into the journal and the queue; `job.written` tells it, or that it was there already, or why not."""
        try:
            known = None
            if self._journal.holds(job.id):
                known = (await self._journal.find([job.id])).get(job.id)
            if known is None:
                self._admit(request)
                await self._lanes.enter(job)
        except OmsError as refusal:
            self._refuse(job, refusal)
        except JournalError as error:
            self._refuse(job, _unwritable(error))
        else:
            job.written.set_result(known)
            if known is not None:
                del self._open[job.id]

    def _refuse(self, job: Unfinished, error: OmsError) -> None:
        del self._open[job.id]
        job.written.set_exception(error)
        job.written.exception()  # whoever asked may be gone

    def _admit(self, request: Request) -> None:
        if self._stopping.is_set():
            raise HostUnavailable("The host's agent is being stopped: nothing was begun, try again in a moment.")
        self._clocks.check(request)
        if not request.deadline:
            raise FuncManError("A change needs a deadline: nothing was begun.")
        if len(self._open) - self._lanes.running > MOST_QUEUED or self._journal.size > 2 * KEPT_AT_MOST:
            raise HostBusy("As many jobs wait on this host as may: nothing was begun, try again in a moment.")

    async def cancel(self, job_id: str) -> JobState:
        """Cancel a job; its state then. One that has not begun is over, one that runs is undone when it can be.

        An id that never came is written down as cancelled, so that its command, should it be under way, is not
        begun. Raises FuncManError where nothing was changed.
        """
        _check_id(job_id)
        return await asyncio.shield(self._tasks.begin(self._cancel(job_id)))

    async def _cancel(self, job_id: str) -> JobState:
        try:
            known = (await self._journal.find([job_id])).get(job_id)
            if (job := self._open.get(job_id)) is not None:
                await job.written
                if not await self._lanes.withdraw(job) and not job.entry.finished:
                    await job.cancel()
                return job.told()
            if known is None:
                moment = max(time.time(), 1.0)
                known = Entry(id=job_id, verb="", lane="", state="cancelled", created=moment, finished=moment)
                await self._journal.add(known)
            return known.told()
        except JournalError as error:
            raise _unwritable(error) from error

    async def ask(self, ids: tuple[str, ...]) -> tuple[JobState, ...]:
        """How these jobs stand, in the order asked; `unknown` are those that never came. Raises FuncManError."""
        if len(ids) > ASKED_AT_MOST:
            raise FuncManError(f"At most {ASKED_AT_MOST} jobs can be asked for at once.")
        if arriving := [self._open[job_id].written for job_id in ids if job_id in self._open]:
            await asyncio.wait(arriving)
        try:
            kept = await self._journal.find(ids)
        except JournalError as error:
            raise FuncManError(f"The host's journal cannot be read: {error}.", cause=JOURNAL) from error
        return tuple(self._told(job_id, kept.get(job_id)) for job_id in ids)

    def _told(self, job_id: str, kept: Entry | None) -> JobState:
        # What is open is told from memory, for its progress; it may have ended since the journal was read, too.
        if job := self._open.get(job_id):
            return job.told()
        return kept.told() if kept else JobState(job_id[:64], "unknown")

    async def known(self) -> tuple[JobState, ...]:
        """The jobs that have not ended, and as many of the newest that have as a greeting carries."""
        states = [job.told() for job in self._open.values() if job.written.done()]
        try:
            ended = [entry.told() for entry in await self._journal.newest(WELCOME_ENDED) if entry.finished]
        except JournalError as error:
            log.error("the journal cannot be read", why=str(error))  # noqa: TRY400 - no bug
            return tuple(states)
        size = 0
        for state in ended:
            size += len(encode(state))
            if size <= WELCOME_BYTES:
                states.append(state)
        return tuple(states)

    async def recover(self) -> None:
        """Take up what the last run of the agent left. Raises JournalError."""
        kinds = {kind.facts.wire: kind for kind in self._handlers}
        for entry, records in await self._journal.unfinished():
            op = _understood(entry.op, kinds.get(entry.verb))
            job = Unfinished(entry, op, self._journal, self._progressed, records)
            job.written.set_result(None)
            self._open[job.id] = job
            if job.resumed:
                log.warning("job taken up again", id=job.id, verb=entry.verb, runs=entry.runs)
            self._lanes.put(job)

    def greeted(self) -> None:
        """A server's clock is known now."""
        loop = asyncio.get_running_loop()
        self._prune_at = min(self._prune_at, loop.time() + PRUNE_AFTER_SECONDS)
        self._lanes.time_is_known()

    async def stop(self, grace: float) -> None:
        """Begin nothing more; give what runs `grace` seconds to end, then leave it to the next start."""
        self._stopping.set()
        await self._lanes.stop(grace)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)

    def _progressed(self, job: Unfinished) -> None:
        self._events.job(job.told(), urgent=False)

    def _ended(self, job: Unfinished) -> None:
        del self._open[job.id]
        self._events.job(job.told(), urgent=True)
        self._quiet_at = asyncio.get_running_loop().time() + TIDY_SECONDS
        if not self._tidying:
            self._tidying = True
            self._tasks.begin(self._tidy())

    async def _tidy(self) -> None:
        await self._quiet()
        self._tidying = False  # whatever ends from now on is tidied the next time
        now = self._clocks.latest()
        try:
            if now is not None and asyncio.get_running_loop().time() > self._prune_at:
                await self._journal.prune(now)
            await self._journal.scrub()
        except JournalError as error:
            log.warning("the journal was not tidied", why=str(error))

    async def _quiet(self) -> None:
        """Until no job has ended for a while, or it has been long enough, or the agent ends."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + TIDY_AT_LATEST_SECONDS
        while not self._stopping.is_set() and loop.time() < (until := min(self._quiet_at, latest)):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._stopping.wait()


def _check_id(job_id: str) -> None:
    if not _ID.fullmatch(job_id):
        raise FuncManError("A job's id has 32 hexadecimal digits: nothing was begun.")


def _understood(op: str, kind: type[Operation[Any]] | None) -> HostOperation[Any] | None:
    if kind is None:
        return None
    try:
        understood: HostOperation[Any] = decode(op, kind)
    except ValueError:
        return None
    return understood


def _unwritable(error: JournalError) -> FuncManError:
    return FuncManError(
        f"The host cannot write its journal ({error}), and without that it changes nothing: make room there.",
        cause=JOURNAL,
    )
