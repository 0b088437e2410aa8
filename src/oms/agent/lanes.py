"""The queue of jobs: each lane one job at a time, some lanes side by side, nothing begun after its deadline.

A lane is one machine, or a whole service where an operation changes no single thing. What a job does is never
cut short here: it ends by itself, or with the agent, whose next start takes it up again. A job that only waits for
what others do may step aside meanwhile, out of its lane, and comes back in its turn.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import structlog

from oms.agent.context import JOURNAL, Host, Job
from oms.agent.journal import Entry, Journal, JournalError
from oms.agent.run import Outcome, Unfinished, failed
from oms.agent.server_clocks import ServerClocks
from oms.background import Background
from oms.bus.call import defect, encode
from oms.contract.errors import HypervisorUnavailable, JobExpired, JobInterrupted, OmsError
from oms.contract.handlers import Handlers

log = structlog.get_logger("oms.agent")
MOST_RUNNING = 8
MOST_RUNS = 10
"""A job in which the agent itself broke so often is not tried again."""
AGAIN_SECONDS = 1.0
"""Between two tries: to write to a journal that could not be written, to go on with a job that was broken off."""

Surroundings = Callable[[Job], Host]
"""The host as a handler sees it, for one job."""
Told = Callable[[Unfinished], None]


class Lanes:
    """Jobs that wait, and jobs that run."""

    def __init__(
        self,
        journal: Journal,
        handlers: Handlers[Host],
        surroundings: Surroundings,
        clocks: ServerClocks,
        *,
        on_begun: Told,
        on_ended: Told,
    ) -> None:
        """`on_begun` and `on_ended` are called when that stands in the journal."""
        self._journal, self._handlers = journal, handlers
        self._surroundings, self._clocks = surroundings, clocks
        self._on_begun, self._on_ended = on_begun, on_ended
        self._queue: list[Unfinished] = []
        self._busy: set[str] = set()
        self._arriving: set[Unfinished] = set()
        self._running = Background()
        self._resting: set[Unfinished] = set()
        self._coming_back: dict[Unfinished, asyncio.Future[None]] = {}
        self._expiring = Background()
        self._stopping = False

    @property
    def running(self) -> int:
        """How many jobs run."""
        return len(self._running)

    async def enter(self, job: Unfinished) -> None:
        """Write a new job down, and begin it or let it wait for its turn. Raises JournalError: it is not there.

        One that need not wait is written down as begun: one sync of the disk instead of two.
        """
        at_once = self._may_begin(job) and all(job.entry.lane != other.entry.lane for other in self._arriving)
        if at_once:
            self._busy.add(job.entry.lane)
            job.change(state="running", started=max(time.time(), 1.0), runs=1)
        self._arriving.add(job)
        try:
            await self._journal.add(job.entry)
        except JournalError:
            if at_once:
                self._busy.discard(job.entry.lane)
            raise
        else:
            self._take_in(job, at_once)
        finally:
            self._arriving.discard(job)
            self._pump()

    def _take_in(self, job: Unfinished, at_once: bool) -> None:
        if not at_once:
            self.put(job)
        elif not self._stopping:
            job.step_aside = functools.partial(self._aside, job)
            self._begin_among(self._running, self._run(job, self._go))

    def put(self, job: Unfinished) -> None:
        """Let a job that is written down wait for its turn."""
        job.step_aside = functools.partial(self._aside, job)
        self._queue.append(job)
        self._watch(job)
        self._pump()

    async def withdraw(self, job: Unfinished) -> bool:
        """Cancel a job that waits; False where it does not wait any more. Raises JournalError: it waits on."""
        if job not in self._queue or job.ending:
            return False
        job.ending = True
        try:
            await self._journal.end(entry := job.ended(Outcome("cancelled")))
        except JournalError:
            job.ending = False
            self._pump()
            raise
        self._leave(job, entry)
        return True

    def time_is_known(self) -> None:
        """A server's clock is known now: what waited for that can go on, or is over."""
        for job in self._queue:
            self._watch(job)
        self._pump()

    async def stop(self, grace: float) -> None:
        """Begin nothing more; give what runs `grace` seconds to end, then leave it to the next start."""
        self._stopping = True
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        left = [*self._running, *self._expiring]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=2)
        for job in self._queue:
            job.watch(None)

    def _watch(self, job: Unfinished) -> None:
        """Look at a job again when its deadline is over."""
        now = self._clocks.now(job.entry.server)
        if now is not None:
            wait = max(job.entry.deadline - now, 0) + 0.01
            job.watch(asyncio.get_running_loop().call_later(wait, self._pump))

    def _pump(self) -> None:
        """Begin what can begin, after what comes back; end what never will."""
        for job in tuple(self._coming_back):
            if self._has_room(job):
                self._busy.add(job.entry.lane)
                self._resting.discard(job)
                self._coming_back.pop(job).set_result(None)
        for job in tuple(self._queue):
            if self._stopping:
                return
            if job.ending:
                continue
            if self._late(job):
                job.ending = True
                self._begin_among(self._expiring, self._end(job, failed(_expired())))
            elif self._may_begin(job):
                self._queue.remove(job)
                self._busy.add(job.entry.lane)
                self._begin_among(self._running, self._run(job, self._begin))

    def _late(self, job: Unfinished) -> bool:
        """What has begun is never late."""
        if job.resumed:
            return False
        if self._clocks.now(job.entry.server) is None:
            # Before a greeting only the host's own clock can be asked: it may end a job, but not begin it.
            return time.time() >= job.entry.deadline
        return self._clocks.passed(job.entry.server, job.entry.deadline)

    def _may_begin(self, job: Unfinished) -> bool:
        if not self._has_room(job):
            return False
        return job.resumed or self._clocks.now(job.entry.server) is not None

    def _has_room(self, job: Unfinished) -> bool:
        return not self._is_full() and job.entry.lane not in self._busy

    def _is_full(self) -> bool:
        """Those that were broken off, or wait aside, do not count: they must not hold up what need not wait."""
        begun = sum(job.entry.state == "running" for job in self._arriving)
        return begun + len(self._running) - len(self._resting) >= MOST_RUNNING

    def _begin_among(self, tasks: Background, work: Coroutine[Any, Any, None]) -> None:
        tasks.begin(work).add_done_callback(lambda _task: self._pump())

    async def _run(self, job: Unfinished, do: Callable[[Unfinished], Awaitable[Outcome]]) -> None:
        try:
            await self._end(job, await do(job))
        finally:
            self._busy.discard(job.entry.lane)

    async def _begin(self, job: Unfinished) -> Outcome:
        """Write down that the job has begun, then do it."""
        started = job.entry.started or max(time.time(), 1.0)
        try:
            runs = await self._written_as_begun(job, started)
        except JournalError as error:
            return failed(_expired(error))
        if self._late(job):  # the disk may have taken its time
            return failed(_expired())
        if runs > MOST_RUNS:
            return failed(_given_up(job.entry))
        job.change(state="running", started=started, runs=runs)
        self._on_begun(job)
        return await self._act(job)

    async def _go(self, job: Unfinished) -> Outcome:
        """Do what was written down as begun when it came; its sender hears of that in the answer."""
        return failed(_expired()) if self._late(job) else await self._act(job)

    async def _written_as_begun(self, job: Unfinished, started: float) -> int:
        """How often it was begun. Raises JournalError when it has become too late for it."""
        while True:
            try:
                return await self._journal.begin(job.id, started)
            except JournalError as error:
                log.error("a job cannot be begun yet", id=job.id, why=str(error))  # noqa: TRY400 - no bug
                if self._late(job):
                    raise
            await asyncio.sleep(AGAIN_SECONDS)

    async def _act(self, job: Unfinished) -> Outcome:
        handler = self._handlers.find(type(job.op)) if job.op is not None else None
        if handler is None:
            return failed(_not_known(job.entry))
        log.info("job begun", id=job.id, verb=job.entry.verb, lane=job.entry.lane, resumed=job.resumed)
        while (outcome := await self._tried(job, handler)) is None:
            await self._rest(job)
        return outcome

    async def _tried(self, job: Unfinished, handler: Callable[..., Any]) -> Outcome | None:
        """How it ended; None where it was broken off in its midst. To say "failed" of what may have been done
        would be a guess: it is finished or undone later, as after a crash of the agent."""
        try:
            return Outcome("done", result=encode(await handler(job.op, self._surroundings(job))).decode())
        except OmsError as error:
            if not (by := _broken_off_by(error, job)):
                return failed(error)
            if job.break_off(by):
                log.warning("a job waits", id=job.id, verb=job.entry.verb, waits_for=by, why=error.message)
            return None
        except Exception as bug:  # noqa: BLE001 - a handler's bug ends its job, not the agent
            return failed(defect(bug, job.entry.verb))

    async def _rest(self, job: Unfinished) -> None:
        """Leave the turn to others for a while."""
        self._resting.add(job)
        self._pump()
        try:
            await asyncio.sleep(AGAIN_SECONDS)
            while self._is_full():  # noqa: ASYNC110 - whoever makes room looks at the queue first
                await asyncio.sleep(AGAIN_SECONDS)
        finally:
            self._resting.discard(job)

    @contextlib.asynccontextmanager
    async def _aside(self, job: Unfinished) -> AsyncIterator[None]:
        """Leave the turn and the lane to others. What follows is done in turn again, be it to go on or to undo;
        but an agent that ends waits for no turn."""
        self._resting.add(job)
        self._busy.discard(job.entry.lane)
        self._pump()
        try:
            yield
        finally:
            if not self._stopping:
                self._coming_back[job] = turn = asyncio.get_running_loop().create_future()
                self._pump()
                await turn

    async def _end(self, job: Unfinished, outcome: Outcome) -> None:
        """Write the end down, however long that takes; it is told only then."""
        entry = job.ended(outcome)
        while not await self._written_as_ended(entry):  # noqa: ASYNC110 - a disk tells nobody that it has room
            await asyncio.sleep(AGAIN_SECONDS)
        self._leave(job, entry)

    async def _written_as_ended(self, entry: Entry) -> bool:
        try:
            await self._journal.end(entry)
        except JournalError as error:
            log.error("the end of a job cannot be written down yet", id=entry.id, why=str(error))  # noqa: TRY400
            return False
        return True

    def _leave(self, job: Unfinished, entry: Entry) -> None:
        if job in self._queue:
            self._queue.remove(job)
        job.watch(None)
        job.entry = entry
        kind = entry.error.kind if entry.error else ""
        log.info("job ended", id=job.id, verb=entry.verb, state=entry.state, error=kind)
        self._on_ended(job)


def _broken_off_by(error: OmsError, job: Unfinished) -> str:
    """What was away when the job needed it, if it may have acted before; "" where an error is its end."""
    if isinstance(error, HypervisorUnavailable):
        return "hypervisor" if job.may_have_acted or error.data.get("outcome") == "unknown" else ""
    return JOURNAL if job.may_have_acted and error.data.get("cause") == JOURNAL else ""


def _expired(error: JournalError | None = None) -> JobExpired:
    why = f" The host could not write its journal: {error}." if error else ""
    return JobExpired(f"The host did not come to it before its deadline: nothing was changed.{why}")


def _given_up(entry: Entry) -> JobInterrupted:
    return JobInterrupted(
        f"The agent broke off {MOST_RUNS} times in {entry.verb} and does not try again: see what is left of it"
        f" ({entry.lane}).",
        lane=entry.lane,
    )


def _not_known(entry: Entry) -> JobInterrupted:
    return JobInterrupted(
        f"The agent was replaced by one that does not know {entry.verb}, after it had been accepted: see what is"
        f" left of it ({entry.lane}).",
        lane=entry.lane,
    )
