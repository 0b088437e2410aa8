"""taskservices: the jobs. Every change of a host is one; whoever did not wait for its outcome asks here."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from oms.contract.errors import NoSuchTask
from oms.contract.operation import Permission, ServerOperation, Service, operation
from oms.contract.types import AnyHost, TaskId

SERVICE = Service(
    "taskservices",
    "TaskService",
    "Every change of a host is a job with an id, an owner, a deadline and an outcome that is kept.",
)

State = Literal["queued", "sent", "running", "done", "failed", "cancelled"]
"""`queued`: written down, not with the host yet; `sent`: on its way, or waiting in the host's queue;
`done`: with a result; `failed`: with an error, and what that says is all that happened."""

Seconds = Annotated[int, Meta(ge=0, le=300, description="seconds to wait, at most 300", examples=[30])]


class TaskError(msgspec.Struct, frozen=True):
    """Why a job failed: the error's name and its sentence."""

    name: str
    message: str


class Task(msgspec.Struct, frozen=True):
    """A job. Times are RFC 3339 in UTC, empty where there is none yet; `progress` is 0 to 100, and `eta` when it
    should end by the pace so far.

    `target` is what the caller called the thing that is changed; `name` is what that guest was called then, empty
    where it was not known or is no guest. `result` is what the method answers (some methods answer before their
    job has ended); `notes` say what a result of the documented shape cannot (for instance which setting waits for
    the next start).
    """

    id: str
    method: str
    host: str
    target: str
    owner: str
    state: State
    progress: int
    created: str
    deadline: str
    started: str
    finished: str
    error: TaskError | None
    result: Any
    notes: dict[str, str]
    eta: str = ""
    name: str = ""


@operation(SERVICE, Permission.VIEWER)
class ListTasks(ServerOperation[list[Task]], frozen=True):
    """List jobs, the newest first: all, or those in a state, or of a host. Answers at most 500."""

    state: Literal["", "queued", "sent", "running", "done", "failed", "cancelled", "unfinished"] = ""
    server_hostname: AnyHost = ""


@operation(SERVICE, Permission.VIEWER, raises=(NoSuchTask,))
class GetTask(ServerOperation[Task], frozen=True):
    """Tell a job's state."""

    task_id: TaskId


@operation(SERVICE, Permission.VIEWER, timeout=310, raises=(NoSuchTask,))
class WaitTask(ServerOperation[Task], frozen=True):
    """Wait until a job has ended, or the seconds are over; answers its state then."""

    task_id: TaskId
    seconds: Seconds = 60


@operation(SERVICE, Permission.OPERATOR, changes=True, raises=(NoSuchTask,))
class CancelTask(ServerOperation[Task], frozen=True):
    """Cancel a job; answers its state after that.

    One that has not begun is over at once. One that runs is undone as soon as it can be, and then `cancelled` too;
    what is past that point goes on to its end. Whoever cancels needs the role that the job's own method needs.
    """

    task_id: TaskId
