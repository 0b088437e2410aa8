"""Jobs as OMS keeps them: written before anything is sent, kept after everything has ended. Each tells as events
that it has begun and ended."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, case, delete, func, insert, or_, select, update

from oms.contract.errors import HostBusy, WireError, unpack
from oms.contract.event.fleet import JobBegun, JobEnded, JobOutcome, JobProgress, JobProgressed, JobWork
from oms.contract.event.shape import Event, EventGuest
from oms.contract.task import State, Task, TaskError
from oms.server.rules import consequences
from oms.server.store import events, now
from oms.server.store.moments import moment
from oms.server.store.tables import jobs

UNFINISHED = ("queued", "sent", "running")
ENDED = ("done", "failed", "cancelled")


class Job(msgspec.Struct, frozen=True):
    """A job's row. `op`, `result`, `error`, `notes` are JSON, empty where there is nothing."""

    id: str
    method: str
    host_id: str
    host: str
    target: str
    owner: str
    same: str
    op: str
    state: State
    created: float
    deadline: float
    progress: int = 0
    started: float = 0
    finished: float = 0
    result: str = ""
    error: str = ""
    notes: str = ""
    eta: float = 0
    server: str = ""
    name: str = ""

    @property
    def guest(self) -> EventGuest | None:
        """The guest that it is about, as far as is known."""
        return consequences.guest(self.method, self.target, _notes(self))

    def failure(self) -> WireError | None:
        """The error it ended with, or None."""
        return msgspec.json.decode(self.error, type=WireError) if self.error else None


# What every job runs is made once: SQLAlchemy takes longer to put such a statement together than to run it. The
# states are named one by one for the same reason: an IN is put together anew each time.
_COLUMNS = tuple(jobs.c[name] for name in Job.__struct_fields__)
_ALL = select(*_COLUMNS)
_IS_OPEN = or_(*(jobs.c.state == state for state in UNFINISHED))
_HAS_SAME = case((jobs.c.same == bindparam("same"), jobs.c.id))
_OPEN = select(func.count(), func.max(_HAS_SAME)).where(jobs.c.host_id == bindparam("host"), _IS_OPEN)
_BEGIN = insert(jobs)
_BY_ID = _ALL.where(jobs.c.id == bindparam("which"))
_CHANGE = update(jobs).where(jobs.c.id == bindparam("which"), _IS_OPEN).returning(*_COLUMNS)


def begin(tx: Connection, job: Job, most: int) -> Job:
    """Write a job down; where the same call is on its way already, that job is the answer. Raises HostBusy where
    the host has so many open jobs: then nothing is written."""
    count, same = tx.execute(_OPEN, {"host": job.host_id, "same": job.same}).one()
    if same:
        return _job(tx.execute(_BY_ID, {"which": same}).one())
    if count >= most:
        raise HostBusy(f"{job.host} has {most} jobs waiting: try again when some of them have ended.")
    tx.execute(_BEGIN, msgspec.structs.asdict(job))
    _tell(tx, job, JobBegun, JobWork(job.method, job.target))
    return job


def by_id(tx: Connection, job_id: str) -> Job | None:
    """The job of that id, or None."""
    row = tx.execute(_BY_ID, {"which": job_id}).one_or_none()
    return _job(row) if row else None


def by_ids(tx: Connection, ids: Iterable[str]) -> list[Job]:
    """The jobs of these ids, as far as there are."""
    wanted = list(ids)
    return [_job(row) for row in tx.execute(_ALL.where(jobs.c.id.in_(wanted)))] if wanted else []


def names(tx: Connection, ids: Iterable[str]) -> dict[str, str]:
    """What the guests of these jobs were called, by job id, as far as it is known."""
    question = select(jobs.c.id, jobs.c.name).where(jobs.c.id.in_(list(ids)), jobs.c.name != "")
    return {row.id: row.name for row in tx.execute(question)}


def unfinished(tx: Connection, host_id: str | None = None, server: str | None = None) -> list[Job]:
    """The jobs that have not ended, the oldest first: all, or a host's, or those that a server watches over."""
    question = _ALL.where(jobs.c.state.in_(UNFINISHED)).order_by(jobs.c.created)
    if host_id is not None:
        question = question.where(jobs.c.host_id == host_id)
    if server is not None:
        question = question.where(jobs.c.server == server)
    return [_job(row) for row in tx.execute(question)]


def count_open(tx: Connection) -> dict[str, int]:
    """How many jobs there are in each state that is no end."""
    question = select(jobs.c.state, func.count()).where(jobs.c.state.in_(UNFINISHED)).group_by(jobs.c.state)
    counted = {row.state: row[1] for row in tx.execute(question)}
    return {state: counted.get(state, 0) for state in UNFINISHED}


def count_by_host(tx: Connection) -> dict[str, int]:
    """How many jobs have not ended, by host id."""
    question = select(jobs.c.host_id, func.count()).where(jobs.c.state.in_(UNFINISHED)).group_by(jobs.c.host_id)
    return {row.host_id: row[1] for row in tx.execute(question)}


def count_failed(tx: Connection, since: float) -> int:
    """How many jobs have failed since that moment."""
    which = (jobs.c.state == "failed") & (jobs.c.finished >= since)
    return tx.execute(select(func.count()).select_from(jobs).where(which)).scalar_one()


def newest(tx: Connection, state: str, host: str, most: int) -> list[Job]:
    """Jobs, the newest first, of a state (empty: any; `unfinished`: those) and of a host (empty: any)."""
    question = _ALL.order_by(jobs.c.created.desc()).limit(most)
    if state:
        question = question.where(jobs.c.state.in_(UNFINISHED if state == "unfinished" else (state,)))
    if host:
        question = question.where(jobs.c.host == host)
    return [_job(row) for row in tx.execute(question)]


def change(tx: Connection, job_id: str, **values: Any) -> Job | None:
    """Change a job that has not ended; the job as it is then, or None where it is unknown. An end is for ever."""
    if values.get("state") in ENDED:
        values = {"op": "", "finished": now(), **values}
    changed = tx.execute(_CHANGE, {"which": job_id, **values}).one_or_none()
    if changed is None:
        return by_id(tx, job_id)
    job = _job(changed)
    if job.state in ENDED:
        _tell_end(tx, job)
    return job


def tell_progress(tx: Connection, job: Job) -> None:
    """Tell how far a job is, unless it has ended: that was told by itself."""
    if job.state in UNFINISHED:
        shown = task(job)
        _tell(tx, job, JobProgressed, JobProgress(job.method, job.target, job.state, shown.progress, shown.eta))


def _tell_end(tx: Connection, job: Job) -> None:
    _tell(tx, job, JobEnded, JobOutcome(job.method, job.target, job.state, _error(job)))
    if job.started:
        for one in consequences.consequences(job.method, job.guest):
            events.tell(tx, one.kind, one.data, host=job.host, guest=one.guest, job=job.id, user=job.owner)


def _tell(tx: Connection, job: Job, kind: type[Event], data: msgspec.Struct) -> None:
    events.tell(tx, kind, data, host=job.host, guest=job.guest, job=job.id, user=job.owner)


def forget(tx: Connection, before: float) -> int:
    """Remove the jobs that ended before that moment; how many there were."""
    return tx.execute(delete(jobs).where(jobs.c.state.in_(ENDED), jobs.c.finished < before)).rowcount


def _job(row: Sequence[Any]) -> Job:
    return Job(*row)


def task(job: Job) -> Task:
    """The job as callers see it."""
    return Task(
        id=job.id,
        method=job.method,
        host=job.host,
        target=job.target,
        owner=job.owner,
        state=job.state,
        progress=100 if job.state == "done" else job.progress,
        created=moment(job.created),
        deadline=moment(job.deadline),
        started=moment(job.started),
        finished=moment(job.finished),
        error=_error(job),
        result=msgspec.json.decode(job.result) if job.result else None,
        notes=_notes(job),
        eta=moment(job.eta) if job.state == "running" else "",
        name=job.name,
    )


def _error(job: Job) -> TaskError | None:
    error = job.failure()
    return TaskError(unpack(error).wire_name, error.message) if error else None


def _notes(job: Job) -> dict[str, str]:
    return msgspec.json.decode(job.notes, type=dict[str, str]) if job.notes else {}
