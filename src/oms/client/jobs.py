"""The jobs of an OMS: found, waited for, cancelled; and what one answered, as its method's own answer."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from oms.client import calls
from oms.client.calls import Ask
from oms.contract import errors, task
from oms.contract.errors import JobCancelled, OmsError
from oms.contract.operation import Operation
from oms.contract.task import Task

R = TypeVar("R")
Progress = Callable[[Task], None]
"""Told how a job stands."""
ASK_AGAIN_SECONDS = 60
WATCHED_SECONDS = 1
Which = Literal["", "queued", "sent", "running", "done", "failed", "cancelled", "unfinished"]


class Jobs:
    """`client.jobs`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def find(self, job: str) -> Task:
        """A job as it is now. Raises NoSuchTask."""
        return await self._ask(task.GetTask(job), "", 0)

    async def list(self, state: Which = "", host: str = "") -> list[Task]:
        """Jobs, the newest first: all, or those in a state, or of a host."""
        return await self._ask(task.ListTasks(state, host), "", 0)

    async def cancel(self, job: str) -> Task:
        """Take back what has not begun, and have what runs undone; the job as it is after that."""
        return await self._ask(task.CancelTask(job), "", 0)

    async def wait(self, job: str, *, progress: Progress | None = None) -> Task:
        """A job once it has ended, however it ended. `progress` is told how it stands about once a second.

        Raises NoSuchTask. Giving up this wait leaves the job as it is.
        """
        while True:
            found = await self._look(job, progress)
            if found.finished:
                return found

    async def ended(self, job: str, *, progress: Progress | None = None) -> Task:
        """A job once it has done what it was for. Raises the error that it ended with, whose `data.job` is its id,
        and NoSuchTask."""
        return _good(await self.wait(job, progress=progress))

    async def result(self, op: Operation[R], job: str, *, progress: Progress | None = None) -> R:
        """What the method of that job answers, once that is known, which may be before the job has ended.

        Raises the error that it ended with, NoSuchTask, and ClientError.
        """
        while True:
            found = await self._look(job, progress)
            if found.finished or found.result is not None:
                return calls.read(calls.outcome, op, _good(found).result, job)

    async def _look(self, job: str, progress: Progress | None) -> Task:
        seconds = WATCHED_SECONDS if progress else ASK_AGAIN_SECONDS
        found = await self._ask(task.WaitTask(job, seconds), "", 0)
        if progress:
            progress(found)
        return found


def _good(found: Task) -> Task:
    if found.error is not None:
        raise failure(found)
    if found.state == "cancelled":
        raise JobCancelled("The job was cancelled.", job=found.id)
    return found


def failure(found: Task) -> OmsError:
    """The error with which a job has failed."""
    assert found.error is not None
    data: dict[str, Any] = {"name": found.error.name, "job": found.id}
    return errors.shown(found.error.message, data)
