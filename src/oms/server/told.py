"""What a host tells of a job, as it may be written down: its words go into callers' answers as they are."""

from typing import Any

from oms.bus.call import UNREADABLE, decode, encode
from oms.contract.errors import FuncManError, JobCancelled, pack
from oms.contract.internal import JobState
from oms.contract.registry import BY_WIRE
from oms.server.store import now
from oms.server.store.jobs import Job

LONGEST_LEFT_SECONDS = 30 * 86_400


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
    if state.result and not job.result and _is_result(job, state.result):
        values["result"] = state.result
    return values


def ended(job: Job, state: JobState) -> dict[str, Any]:
    """The columns of a job whose host says that it has ended."""
    values: dict[str, Any] = {"state": state.state, "started": job.started or now()}
    if state.notes:
        values["notes"] = _json(state.notes)
    if state.state == "done" and _is_result(job, state.result):
        return {**values, "result": state.result, "progress": 100}
    if state.state == "cancelled":
        error = state.error or pack(JobCancelled("The job was cancelled before it began."))
        return {**values, "result": "", "error": _json(error)}
    why = "The host says that this is done, but what it answers was not understood."
    if state.state == "failed":
        why = "The host says that this failed, and not why."
    return {**values, "state": "failed", "result": "", "error": _json(state.error or pack(FuncManError(why)))}


def _is_result(job: Job, text: str) -> bool:
    """Whether a host's words are JSON of the declared type: they go into callers' answers as they are."""
    try:
        decode(text, BY_WIRE[job.method].facts.result)
    except (KeyError, *UNREADABLE):
        return False
    return True


def _json(value: Any) -> str:
    return encode(value).decode()
