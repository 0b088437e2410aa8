"""KVMService on this host: guests asked to end, machines that stand still, and their memory kept on the disk."""

import time

from oms.agent.context import Host, Job
from oms.agent.guests import Machine
from oms.agent.kvm.conditions import check_kept, check_on, check_runs, condition, machines_of
from oms.agent.kvm.shutdown import goes_off
from oms.contract.errors import GuestDidNotReact, JobCancelled, JobInterrupted, NoSuchMachine
from oms.contract.handlers import Handlers
from oms.contract.kvm import power

handlers: Handlers[Host] = Handlers()
SOON_SECONDS = 30.0
"""A machine that was reset so shortly before loses nothing when it is reset once more."""


@handlers.handles(power.ShutdownVm)
async def shutdown_vm(op: power.ShutdownVm, host: Host) -> int:
    """A machine that is not kept is gone when it stops, so that is written down first."""
    machines, job = machines_of(host), host.job
    try:
        machine = await machines.find(op.kvm_vm_name)
    except NoSuchMachine:
        if job.recall("goes"):
            return 0
        raise
    if machine.live is not None:
        if machine.kept is None:
            await job.record("goes", machine.uuid)
        await _end(op, machine, host)
    return 0


@handlers.handles(power.RebootVm)
async def reboot_vm(op: power.RebootVm, host: Host) -> int:
    """Once it is known to have been off, what runs is what this job started."""
    machines, job = machines_of(host), host.job
    machine = await machines.find(op.kvm_vm_name)
    if job.recall("until") is None:
        check_on(machine)
        check_kept(machine, "be started again; reset_vm has it boot without going off")
    if machine.live is not None and not job.recall("was off"):
        await _end(op, machine, host)
        await job.record("was off", True)
    await machines.start(machine.uuid)
    return 0


@handlers.handles(power.ResetVm)
async def reset_vm(op: power.ResetVm, host: Host) -> int:
    """That it was reset leaves no trace: a run that was broken off repeats it at once, or says that it is not
    known."""
    machines, job = machines_of(host), host.job
    machine = await machines.find(op.kvm_vm_name)
    if (begun := job.recall("begun")) is None:
        check_on(machine)
        await job.record("begun", time.time())
    elif machine.live is None or not 0 <= time.time() - begun < SOON_SECONDS:
        raise JobInterrupted(
            f"Whether machine {machine.name!r} was reset is not known: the agent was broken off in that moment. "
            f"Now it is {'off' if machine.live is None else condition(machine)}.",
            machine=machine.name,
        )
    await machines.reset(machine.uuid)
    if machine.state != "running":
        await machines.resume(machine.uuid)
    return 0


@handlers.handles(power.SuspendVm)
async def suspend_vm(op: power.SuspendVm, host: Host) -> int:
    """One that sleeps by its guest's own doing stands still too."""
    machines = machines_of(host)
    machine = await machines.find(op.kvm_vm_name)
    check_on(machine)
    if machine.state != "paused":
        check_runs(machine)
        await machines.pause(machine.uuid)
    return 0


@handlers.handles(power.ResumeVm)
async def resume_vm(op: power.ResumeVm, host: Host) -> int:
    """A machine that is off is not started: what it was doing is not there to go on with."""
    machines = machines_of(host)
    machine = await machines.find(op.kvm_vm_name)
    check_on(machine)
    if machine.state == "paused":
        await machines.resume(machine.uuid)
    else:
        check_runs(machine)
    return 0


@handlers.handles(power.SaveVm)
async def save_vm(op: power.SaveVm, host: Host) -> int:
    """The hypervisor goes on with it when the agent does not, so what an earlier run began is waited for first."""
    machines, job = machines_of(host), host.job
    machine = await machines.find(op.kvm_vm_name)
    if job.resumed:
        await machines.settle(machine.uuid)
        machine = await machines.find(machine.uuid)
    if machine.saved:
        return 0
    check_on(machine)
    check_kept(machine, "be saved")
    async with job.cancellable():
        await machines.save(machine.uuid, job.progress)
    return 0


@handlers.handles(power.DiscardSavedVm)
async def discard_saved_vm(op: power.DiscardSavedVm, host: Host) -> int:
    """A machine that runs has nothing saved."""
    machines = machines_of(host)
    await machines.forget_saved((await machines.find(op.kvm_vm_name)).uuid)
    return 0


@handlers.handles(power.SetAutostartVm)
async def set_autostart_vm(op: power.SetAutostartVm, host: Host) -> int:
    """The hypervisor starts it."""
    machines = machines_of(host)
    machine = await machines.find(op.kvm_vm_name)
    if machine.autostart != op.autostart:
        check_kept(machine, "be started with its host")
        await machines.set_autostart(machine.uuid, on=op.autostart)
    return 0


async def _end(op: power.ShutdownVm | power.RebootVm, machine: Machine, host: Host) -> None:
    """Have a machine go off, one way or the other. Raises GuestDidNotReact, JobCancelled, FuncManError."""
    machines, job = machines_of(host), host.job
    if job.recall("until") is None and not op.force:
        check_runs(machine)
    if machine.state in {"running", "shutdown"} and await _reacts(op, machine, host):
        return
    if not op.force:
        raise GuestDidNotReact(
            f"The guest of machine {machine.name!r} was asked to shut down and did not within {op.seconds} s, so "
            "it runs on; repeat with force, or end it with stop_vm",
            machine=machine.name,
        )
    await machines.stop(machine.uuid)
    job.note("force", "its power was taken away, because the guest did not react")


async def _reacts(op: power.ShutdownVm | power.RebootVm, machine: Machine, host: Host) -> bool:
    try:
        async with host.job.cancellable():
            return await goes_off(machine.uuid, machines_of(host), await _seconds(op, host.job), host.clock)
    except JobCancelled as cancelled:
        raise JobCancelled(
            f"It is not waited for any longer that machine {machine.name!r} goes off; its guest was asked to, and "
            "may do so yet",
            **cancelled.data,
        ) from None


async def _seconds(op: power.ShutdownVm | power.RebootVm, job: Job) -> float:
    """How long to wait: the guest's time runs on while the agent is away."""
    until = job.recall("until")
    if until is None:
        await job.record("until", time.time() + op.seconds)
        return op.seconds
    return float(min(max(until - time.time(), 0), op.seconds))
