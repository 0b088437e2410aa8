"""What a host tells of a job, as it may be written down: as much of it as was understood."""

from typing import Any

import msgspec
from sqlalchemy import Connection

from oms.bus.call import UNREADABLE, decode, encode, of_host
from oms.contract.errors import FuncManError, JobCancelled, pack, unpack
from oms.contract.internal import JobState
from oms.contract.registry import OF_JOBS
from oms.server.same_commit import WithEnd
from oms.server.store import guests, jobs, now
from oms.server.store.jobs import ENDED, Job

LONGEST_LEFT_SECONDS = 30 * 86_400
KNOWN = ("queued", "running", *ENDED)
"""What a host may say of a job that it has; `unknown` is none."""


def noted(tx: Connection, host_id: str, state: JobState, also: WithEnd = lambda _tx, _job: None) -> Job | None:
    """Write down what a host tells of a job of its own; the job as it is then, None where nothing is new. `also`
    is told a job whose answer is known now."""
    job = _changed(tx, host_id, state)
    also(tx, job if job is not None and answered(job) else None)
    return job


def _changed(tx: Connection, host_id: str, state: JobState) -> Job | None:
    job = jobs.by_id(tx, state.id)
    if job is None or job.host_id != host_id or job.state in ENDED or state.state not in KNOWN:
        return None
    values = ended(job, state) if state.state in ENDED else underway(job, state)
    if values.get("state") == "done":
        guests.follow(tx, job, state.notes)
    return jobs.change(tx, job.id, **values) if values else None


def answered(job: Job) -> bool:
    """Whether it is known what to answer the caller: most jobs answer with their end, some before it."""
    return job.state in ENDED or bool(job.result)


def result(job: Job) -> msgspec.Raw:
    """The JSON of an answered job's result. Raises the error it ended with."""
    if job.result:
        return msgspec.Raw(job.result.encode())
    failure = job.failure()
    raise unpack(failure) if failure else JobCancelled("The job was cancelled before it began.", job=job.id)


def underway(job: Job, state: JobState) -> dict[str, Any]:
    """The columns of a job that is on its way, as far as they change; a job never goes back to waiting."""
    stage = "running" if "running" in (state.state, job.state) else "sent"
    values: dict[str, Any] = {}
    progress = max(job.progress, min(100, state.progress))
    if (stage, progress) != (job.state, job.progress):
        started = job.started or (now() if stage == "running" else 0)
        eta = now() + state.left if 0 < state.left < LONGEST_LEFT_SECONDS else 0
        values = {"state": stage, "progress": progress, "started": started, "eta": eta}
    if state.notes and (notes := _json(state.notes)) != job.notes:
        values["notes"] = notes
    if state.result and not job.result and (result := _result(job, state.result)):
        values["result"] = result
    return values


def ended(job: Job, state: JobState) -> dict[str, Any]:
    """The columns of a job whose host says that it has ended."""
    values: dict[str, Any] = {"state": state.state, "started": job.started or now()}
    if state.notes:
        values["notes"] = _json(state.notes)
    if state.state == "done" and (result := _result(job, state.result)):
        return {**values, "result": result, "progress": 100}
    if state.state == "cancelled":
        why = "The job was cancelled before it began."
        return {**values, "result": "", "error": _failure(job, state, why, JobCancelled)}
    why = "The host says that this is done, but what it answers was not understood."
    if state.state == "failed":
        why = "The host says that this failed, and not why."
    return {**values, "state": "failed", "result": "", "error": _failure(job, state, why, FuncManError)}


def _result(job: Job, text: str) -> str:
    """What was understood of a result, as JSON; empty where it is none of the declared type."""
    try:
        return _json(decode(text, OF_JOBS[job.method].facts.result))
    except (KeyError, *UNREADABLE):
        return ""


def _failure(job: Job, state: JobState, why: str, kind: type[FuncManError]) -> str:
    """The host's error as JSON, or ours where it gave none."""
    raises = OF_JOBS[job.method].facts.raises if job.method in OF_JOBS else ()
    return _json(pack(of_host(state.error, raises) if state.error else kind(why)))


def _json(value: Any) -> str:
    return encode(value).decode()
