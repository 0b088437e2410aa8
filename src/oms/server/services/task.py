"""taskservices: the jobs as callers see them."""

from oms.contract import task as api
from oms.contract.errors import AuthError
from oms.contract.registry import BY_WIRE
from oms.contract.task import Task
from oms.server.desk import Desk, Table
from oms.server.store import jobs

handlers = Table()
MOST_LISTED = 500


@handlers.handles(api.ListTasks)
async def list_tasks(op: api.ListTasks, desk: Desk) -> list[Task]:
    """Jobs, the newest first."""
    rows = await desk.house.store.read(lambda tx: jobs.newest(tx, op.state, op.server_hostname, MOST_LISTED))
    return [jobs.task(row) for row in rows]


@handlers.handles(api.GetTask)
async def get_task(op: api.GetTask, desk: Desk) -> Task:
    """One job."""
    return jobs.task(await desk.house.jobs.find(op.task_id))


@handlers.handles(api.WaitTask)
async def wait_task(op: api.WaitTask, desk: Desk) -> Task:
    """One job, when it has ended or the seconds are over."""
    return jobs.task(await desk.house.jobs.wait(op.task_id, op.seconds))


@handlers.handles(api.CancelTask)
async def cancel_task(op: api.CancelTask, desk: Desk) -> Task:
    """For whoever might make such a change: to undo one is no less."""
    job = await desk.house.jobs.find(op.task_id)
    kind = BY_WIRE.get(job.method)
    if kind is not None and desk.role < kind.facts.permission:
        raise AuthError(
            f"{job.method} needs the role {kind.facts.permission.name.lower()}, and so does cancelling it; "
            f"{desk.user} is {desk.role.name.lower()} here. Nothing was changed."
        )
    return jobs.task(await desk.house.jobs.cancel(op.task_id))
