"""OpenVZService on this host: containers that start anew, stand still, or come up with their host."""

from oms.agent.context import Host
from oms.agent.guests.containers import ContainerChange
from oms.agent.ovz.conditions import check_on, containers_of
from oms.agent.ovz.handlers import end
from oms.contract.handlers import Handlers
from oms.contract.ovz import power

handlers: Handlers[Host] = Handlers()


@handlers.handles(power.RebootVm)
async def reboot_vm(op: power.RebootVm, host: Host) -> int:
    """Once it is known to have been off, what runs is what this job started."""
    containers, job = containers_of(host), host.job
    container = await containers.find(str(op.container_id))
    if not job.recall("begun"):
        check_on(container)
        await job.record("begun", container.ctid)
    if not job.recall("was off"):
        await end(container, host)
        await job.record("was off", True)
    await containers.start(container.ctid)
    return 0


@handlers.handles(power.SuspendVm)
async def suspend_vm(op: power.SuspendVm, host: Host) -> int:
    """Nothing in it is given a processor any more."""
    containers = containers_of(host)
    container = await containers.find(str(op.container_id))
    check_on(container)
    await containers.pause(container.ctid)
    return 0


@handlers.handles(power.ResumeVm)
async def resume_vm(op: power.ResumeVm, host: Host) -> int:
    """A container that is off is not started: what it was doing is not there to go on with."""
    containers = containers_of(host)
    container = await containers.find(str(op.container_id))
    check_on(container)
    await containers.resume(container.ctid)
    return 0


@handlers.handles(power.SetAutostartVm)
async def set_autostart_vm(op: power.SetAutostartVm, host: Host) -> int:
    """The same as the setting `onboot`."""
    containers = containers_of(host)
    container = await containers.find(str(op.container_id))
    await containers.configure(container.ctid, ContainerChange(onboot=op.autostart))
    return 0
