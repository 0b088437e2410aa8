"""Jobs on OMS's side: written down, handed to the host at most once, and never forgotten before they have ended.

    queued ──sent──> sent ──> running ──> done | failed
       └── refused by the host, or certainly not delivered ──> failed, nothing changed
       └── cancelled before it began ──> cancelled

Truth about a job is the agent's journal. Its events are a courtesy; whatever they lose is asked for whenever the
host is greeted, and again every few seconds while a job is open.
"""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection

from oms.background import Background
from oms.bus.call import Caller, decode, encode
from oms.contract.errors import (
    FuncMethodTimeoutError,
    HostBusy,
    HostUnavailable,
    JobExpired,
    JobInterrupted,
    NoSuchTask,
    NotSupported,
    OmsError,
    pack,
)
from oms.contract.internal import AskJobs, CancelJob, JobState
from oms.contract.operation import HostOperation
from oms.contract.registry import OF_JOBS
from oms.server.same_commit import Row, Rows
from oms.server.store import Store, jobs
from oms.server.store.hosts import Host
from oms.server.store.jobs import ENDED, Job
from oms.server.told import answered, noted

log = structlog.get_logger("oms.jobs")
MOST_UNFINISHED = 256
"""Of one host."""
ASK_AGAIN_SECONDS = 3.0
LOOK_AGAIN_SECONDS = 0.2
NEWS_SECONDS = 0.2
"""From a host's having a job until that is written down, where it has not ended by then: most have."""
CERTAIN = (HostUnavailable, HostBusy, NotSupported)
"""Refusals after which a host has certainly not written a job down."""
EXPIRY_SLACK_SECONDS = 5.0
"""After a deadline the agent refuses for certain; the slack is for the clocks' disagreement."""


class Jobs:
    """The jobs of all hosts."""

    def __init__(
        self,
        store: Store,
        caller: Caller,
        changed: Callable[..., None],
        ended: Callable[[Job], None] = lambda _job: None,
        progressed: Callable[[str], None] = lambda _job_id: None,
    ) -> None:
        """`changed` hears the id of a host on which something is another now, and that of the job whose answer it
        is, if it is one; `ended` of each job that is over, `progressed` the id of one that goes on."""
        self._store = store
        self._caller = caller
        self._changed = changed
        self._ended = ended
        self._progressed = progressed
        self._answered: dict[str, asyncio.Future[Job]] = {}
        self._ours: set[str] = set()
        """Jobs that this start has sent and whose answers nobody was told yet: they need not be looked up."""
        self._watched: set[str] = set()
        """Open jobs that this server watches over; others have others."""
        self._left = False
        self._taken: set[str] = set()
        """Jobs that their hosts have, which is not written down yet."""
        self._rows = Rows()
        self._tasks = Background()

    async def begin(self) -> None:
        """Take up what the start before this one watched over."""
        mine = await self._store.read(lambda tx: jobs.unfinished(tx, server=self._caller.server))
        self._watched.update(job.id for job in mine)

    # --- for callers

    async def submit(
        self, op: HostOperation[Any], host: Host, owner: str, *, job_id: str = "", name: str = ""
    ) -> Job:
        """Write the change down as a job and send it; the same change under way already is the answer instead, or
        the job of that id, where one is given. `name`: what people call the guest that it is about.

        Raises HostBusy where nothing was written.
        """
        job = msgspec.structs.replace(
            _job(op, host, owner, self._caller.now(), job_id), server=self._caller.server, name=name
        )
        if job_id and (known := await self._store.read(lambda tx: jobs.by_id(tx, job_id))) is not None:
            return known
        kept = await self._store.write(lambda tx: self._begin(tx, job, asked_for=bool(job_id)))
        if kept.state in ENDED:
            return kept
        self._changed(host.id)
        if kept.id == job.id:
            self._ours.add(job.id)
            self._watched.add(job.id)
            self._background(self._deliver(job, op))
        return kept

    def _begin(self, tx: Connection, job: Job, *, asked_for: bool) -> Job:
        """`asked_for`: its id is the caller's own, and not one that was drawn here."""
        if asked_for and (known := jobs.by_id(tx, job.id)) is not None:
            return known  # the same call came twice in one moment
        return jobs.begin(tx, job, MOST_UNFINISHED)

    async def outcome(self, job: Job, wait: float, row: Row | None = None) -> Job:
        """The job once its answer is known, with a row for that. Raises FuncMethodTimeoutError with its id where
        that takes longer, and always where the wait is 0."""
        if not wait:
            raise _not_known(job)
        with self._rows.ready(job.id, row):
            return await self._outcome(job, wait)

    async def _outcome(self, job: Job, wait: float) -> Job:
        known = self._answered.setdefault(job.id, asyncio.get_running_loop().create_future())
        if job.id not in self._ours:
            current = await self._store.read(lambda tx: jobs.by_id(tx, job.id))
            if current is not None and answered(current):
                # Whoever began to wait before the end was written may stand on the same future.
                self._tell(current)
                return current
        if not self._left:
            await asyncio.wait((known,), timeout=wait)
        if known.done() and not known.cancelled():
            return known.result()
        raise _not_known(job)

    async def find(self, job_id: str) -> Job:
        """A job by id. Raises NoSuchTask."""
        job = await self._store.read(lambda tx: jobs.by_id(tx, job_id))
        if job is None:
            raise NoSuchTask(f"There is no job {job_id}: taskservices.list_tasks lists them.")
        return job

    async def wait(self, job_id: str, seconds: float) -> Job:
        """A job once it has ended, or as it is when the seconds are over. Raises NoSuchTask."""
        end = time.monotonic() + seconds
        job = await self.find(job_id)
        while job.state not in ENDED and (left := end - time.monotonic()) > 0 and not self._left:
            await self._next_word(job, left)
            job = await self.find(job_id)
        if job.state in ENDED:
            self._tell(job)  # to whoever began to wait before the end was written
        return job

    async def _next_word(self, job: Job, seconds: float) -> None:
        if not answered(job):
            with contextlib.suppress(FuncMethodTimeoutError):
                await self.outcome(job, seconds)
            return
        await asyncio.sleep(min(LOOK_AGAIN_SECONDS, seconds))  # few jobs outlive their answers

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job; as it is after that. Raises NoSuchTask, or what the host says."""
        job = await self.find(job_id)
        if job.state not in ENDED:
            state = await self._caller.ask(job.host_id, CancelJob(job_id))
            await self.heard(job.host_id, state)
        return await self.find(job_id)

    # --- for the bus

    async def told(self, host_id: str, state: JobState) -> None:
        """A host tells all servers a job's state: one of them writes it down, and the others hear of that."""
        if state.id in self._watched:
            await self.heard(host_id, state)

    async def heard(self, host_id: str, state: JobState) -> None:
        """A host says what a job's state is: write it down if there is something new, then tell those who wait."""
        if state.state not in ENDED and not state.result:
            self._tell_of(await self._store.write(lambda tx: noted(tx, host_id, state)))
            return
        kept = await self._rows.with_end(
            state.id, lambda write: self._store.write(lambda tx: noted(tx, host_id, state, write))
        )
        self._tell_of(kept)

    async def greeted(self, host_id: str, known: tuple[JobState, ...]) -> None:
        """A host has connected and told the jobs it knows: bring ours up to that, and ask for the rest."""
        for state in known:
            await self.told(host_id, state)
        for job in await self._store.read(lambda tx: jobs.unfinished(tx, host_id, self._caller.server)):
            self._background(self._settle(job))

    def ended_elsewhere(self, job_id: str) -> None:
        """Another server has written down how a job ended."""
        if job_id in self._answered or job_id in self._watched:
            self._background(self._look_up((job_id,)))

    def missed(self) -> None:
        """That may have been told, and not heard."""
        self._background(self._look_up(tuple(self._answered)))

    async def _look_up(self, ids: Iterable[str]) -> None:
        for job in await self._store.read(lambda tx: jobs.by_ids(tx, ids)):
            if answered(job):
                self._tell(job)

    def take_up(self, taken: Iterable[Job]) -> None:
        """Watch over these too, and see how they stand."""
        for job in taken:
            self._watched.add(job.id)
            if job.host_id in self._caller.wire.connected_hosts():
                self._background(self._settle(job))

    def leave(self) -> None:
        """This server ends: whoever waits is told that it is not known yet, and asks another one."""
        self._left = True
        for known in self._answered.values():
            known.cancel()

    async def abandoned(self, host_id: str) -> None:
        """A host was removed: what became of its open jobs will not be known."""
        gone = JobInterrupted("The host was removed while this job was open: how it ended is not known.")
        for job in await self._store.read(lambda tx: jobs.unfinished(tx, host_id)):
            await self._fail(job, gone)

    async def watch(self) -> None:
        """Runs for ever: asks again for what stays open, and closes what can never begin any more."""
        while True:
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            try:
                await self._ask_again()
            except OmsError as failure:
                log.warning("jobs not asked for", failure=failure.message)

    async def _ask_again(self) -> None:
        await self._look_up(tuple(self._answered))
        connected = self._caller.wire.connected_hosts()
        for job in await self._store.read(lambda tx: jobs.unfinished(tx, server=self._caller.server)):
            fresh = 0 <= self._caller.now() - job.created < ASK_AGAIN_SECONDS
            if job.host_id in connected and not fresh:
                self._background(self._settle(job))

    async def close(self) -> None:
        """Send and settle nothing more; what is open is taken up by the next start."""
        await self._tasks.end()

    # --- inside

    async def _deliver(self, job: Job, op: HostOperation[Any], *, first: bool = True) -> None:
        """Hand a job to its host. What is certain is written; what is not is left to `_settle`: after a first
        attempt that was not answered, a second one that did not get through proves nothing."""
        try:
            state = await self._caller.send_job(job.host_id, op, job.id, job.deadline)
        except FuncMethodTimeoutError:
            return
        except JobExpired as late:
            await self._fail(job, late)
        except OmsError as refusal:
            if first and (isinstance(refusal, CERTAIN) or not await self._may_be_there(job)):
                await self._fail(job, refusal)
        else:
            if first and state.state not in ENDED:
                await self._heard_soon(job, state)
            else:
                await self.heard(job.host_id, state)

    async def _heard_soon(self, job: Job, state: JobState) -> None:
        """Leave a job a moment in which its end may be told: then one write of the disk tells both, and none meets
        what the host is doing. What is not written yet was promised to nobody, and is asked of the host again
        after a crash; and meanwhile a host that loses its journal is not sent the job a second time."""
        self._taken.add(job.id)
        try:
            await asyncio.sleep(NEWS_SECONDS)
            if job.id in self._ours:
                await self.heard(job.host_id, state)
        finally:
            self._taken.discard(job.id)

    async def _may_be_there(self, job: Job) -> bool:
        """Whether a host that gave no proper answer may have written the job down all the same."""
        try:
            (state,) = await self._caller.ask(job.host_id, AskJobs((job.id,)))
        except (OmsError, ValueError):
            return True
        await self.heard(job.host_id, state)
        return state.state != "unknown"

    async def _settle(self, job: Job) -> None:
        """Ask the host what became of a job; one that it never heard of is sent again, or is over."""
        try:
            (state,) = await self._caller.ask(job.host_id, AskJobs((job.id,)))
        except (OmsError, ValueError):
            return
        if state.state != "unknown":
            await self.heard(job.host_id, state)
        elif job.state != "queued" or job.id in self._taken:
            lost = "The host had this job and does not know of it any more: how it ended is not known."
            await self._fail(job, JobInterrupted(lost))
        elif self._caller.now() > job.deadline + EXPIRY_SLACK_SECONDS:
            await self._fail(
                job, JobExpired("The host did not get this in time: it was not begun and will not be.")
            )
        elif self._caller.now() < job.deadline and job.op:
            await self._deliver(job, decode(job.op, OF_JOBS[job.method]), first=False)

    async def _fail(self, job: Job, error: OmsError) -> None:
        failure = _json(pack(error))
        noted = await self._store.write(lambda tx: jobs.change(tx, job.id, state="failed", error=failure))
        self._tell_of(noted, news=noted is not None and noted.error == failure)

    def _tell_of(self, noted: Job | None, *, news: bool = True) -> None:
        """`news` is False where the job had ended otherwise before."""
        if news and noted is not None and noted.state in ENDED:
            self._ended(noted)
        elif noted is not None and noted.state not in ENDED:
            self._progressed(noted.id)
        if noted is not None and answered(noted):
            self._changed(noted.host_id, noted.id)
            self._tell(noted)

    def _tell(self, job: Job) -> None:
        self._ours.discard(job.id)
        if job.state in ENDED:
            self._watched.discard(job.id)
        waiting = self._answered.pop(job.id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(job)

    async def _or_later(self, work: Coroutine[Any, Any, None]) -> None:
        """What cannot be written down now is settled when the job is asked for again."""
        try:
            await work
        except OmsError as failure:
            log.warning("job not settled", failure=failure.message)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.begin(self._or_later(work))


def _not_known(job: Job) -> FuncMethodTimeoutError:
    return FuncMethodTimeoutError(
        f"It is not known yet how this ends: ask taskservices.get_task for job {job.id}, or make the same "
        "call again and wait on.",
        job=job.id,
    )


def is_of(job: Job, op: HostOperation[Any], host: Host, owner: str) -> bool:
    """Whether a job is that change of that host, begun by that user."""
    return (job.host_id, job.owner, job.same) == (host.id, owner, _same(op))


def _same(op: HostOperation[Any]) -> str:
    return hashlib.sha256(op.facts.wire.encode() + b"\0" + encode(op)).hexdigest()


def _job(op: HostOperation[Any], host: Host, owner: str, moment: float, job_id: str) -> Job:
    facts = op.facts
    return Job(
        id=job_id or secrets.token_hex(16),
        method=facts.wire,
        host_id=host.id,
        host=host.name,
        target=str(getattr(op, facts.target)) if facts.target else "",
        owner=owner,
        same=_same(op),
        op=encode(op).decode(),
        state="queued",
        created=moment,
        deadline=moment + facts.timeout,
    )


def _json(value: Any) -> str:
    return encode(value).decode()
