"""KVMService on this host: each method as the plain function that does it.

A changing method may be broken off by a crash at any point and is then called again with the same job, so each of
its steps is either harmless to repeat or written down before it is taken.
"""

import asyncio
from pathlib import Path

import msgspec

from oms.agent.context import Host
from oms.agent.given import KB_PER_MB
from oms.agent.guests import Machine, Machines, MachineState
from oms.agent.host import files
from oms.agent.images.handlers import lease
from oms.agent.kvm import limits, removal, settings, stats
from oms.agent.kvm.conditions import condition, machines_of
from oms.contract import kvm
from oms.contract.errors import FuncManError, NoSuchMachine
from oms.contract.handlers import Handlers

handlers: Handlers[Host] = Handlers()


@handlers.handles(kvm.ListVms)
async def list_vms(op: kvm.ListVms, host: Host) -> list[kvm.Machine]:
    """A paused machine does not run: its status is 0."""
    machines = machines_of(host)
    wanted = stats.measured(op.stats_argument)
    if not wanted:
        return [_listed(machine, stats.NOTHING) for machine in await machines.states()]
    states, uses = await asyncio.gather(machines.states(), machines.use(wanted))
    return [
        _listed(machine, stats.machine_stats(uses[machine.uuid]) if machine.uuid in uses else stats.NOTHING)
        for machine in states
    ]


@handlers.handles(kvm.ListVmsStatus)
async def list_vms_status(_op: kvm.ListVmsStatus, host: Host) -> dict[str, kvm.MachineStatus]:
    """CPU time is that since the machine's start, so 0 where it is off."""
    return {
        machine.name: kvm.MachineStatus(
            nrVirtCpu=machine.vcpus,
            state=machine.state,
            maxMem=str(machine.max_memory_kb),
            cpuTime=str(machine.cpu_time_ns),
            memory=str(machine.memory_kb),
        )
        for machine in await machines_of(host).states()
    }


@handlers.handles(kvm.ParseSystemMinMax)
async def parse_system_min_max(_op: kvm.ParseSystemMinMax, host: Host) -> kvm.SystemLimits:
    """What a new machine may be given."""
    legal = limits.of_host(await machines_of(host).capacity())
    return kvm.SystemLimits(
        max_vcpu=str(legal.max_vcpus),
        min_vcpu=str(legal.min_vcpus),
        min_memory=str(legal.min_memory_mb),
        max_memory=str(legal.max_memory_mb),
    )


@handlers.handles(kvm.ParseVmSettings)
async def parse_vm_settings(op: kvm.ParseVmSettings, host: Host) -> kvm.MachineSettings:
    """The settings are those of the machine's next start; what it has now is in `list_vms_status`."""
    machines = machines_of(host)
    machine = await machines.find(op.kvm_vm_name)
    legal = limits.of_machine(machine, await machines.capacity())
    now = limits.settings_of(machine)
    return kvm.MachineSettings(
        vcpu=str(now.vcpus),
        max_memory=str(legal.max_memory_mb),
        max_vcpu=str(legal.max_vcpus),
        min_vcpu=str(legal.min_vcpus),
        memory=str(now.memory_kb // KB_PER_MB),
        min_memory=str(legal.min_memory_mb),
    )


@handlers.handles(kvm.UpdateVmSettings)
async def update_vm_settings(op: kvm.UpdateVmSettings, host: Host) -> kvm.Refusals:
    """All or nothing, and judged once: a run that finishes a broken-off one does not judge again, because by what
    the first has done already the limits may be others."""
    machines = machines_of(host)
    machine = await machines.find(op.kvm_vm_name)
    if host.job.recall("accepted") != machine.uuid:
        if refusals := await _refusals(op.kvm_vm_settings_dictionary, machine, machines):
            return refusals
        await host.job.record("accepted", machine.uuid)
    await settings.apply(limits.wanted(op.kvm_vm_settings_dictionary), machine, machines, host.job.note)
    return {}


@handlers.handles(kvm.StartVm)
async def start_vm(op: kvm.StartVm, host: Host) -> int:
    """A paused machine goes on, and one whose state was saved goes on from there."""
    machines = machines_of(host)
    machine = await machines.find(op.kvm_vm_name)
    if machine.state == "paused":
        await machines.resume(machine.uuid)
    elif machine.live is None:
        await machines.start(machine.uuid)
    elif machine.state != "running":
        raise FuncManError(
            f"Machine {machine.name!r} cannot be started because it is {condition(machine)}; "
            "end it with stop_vm, then start it",
            machine=machine.name,
        )
    return 0


@handlers.handles(kvm.StopVm)
async def stop_vm(op: kvm.StopVm, host: Host) -> int:
    """A machine without a kept definition is gone when it stops, so that is written down first."""
    machines, job = machines_of(host), host.job
    try:
        machine = await machines.find(op.kvm_vm_name)
    except NoSuchMachine:
        if job.recall("goes"):
            return 0
        raise
    if machine.kept is None:
        await job.record("goes", machine.uuid)
    if machine.live is not None:
        await machines.stop(machine.uuid)
    return 0


@handlers.handles(kvm.DeleteVm)
async def delete_vm(op: kvm.DeleteVm, host: Host) -> int:
    """The steps, and why they may be broken off anywhere, are told in `removal`."""
    machines, job, images = machines_of(host), host.job, host.storage.images
    if (recalled := job.recall("plan")) is not None:
        plan = msgspec.convert(recalled, removal.Plan)
    else:
        machine = await machines.find(op.kvm_vm_name)
        others = [other for other in await machines.all() if other.uuid != machine.uuid]
        plan = await asyncio.to_thread(removal.plan, machine, others, images)
        await job.record("plan", msgspec.to_builtins(plan))
    for path, why in plan.kept.items():
        job.note(f"disk {path}", f"kept, because {why}")
    job.note("uuid", plan.uuid)
    job.progress(10)
    await end_and_forget(machines, plan.uuid)
    job.progress(60)
    if plan.disks:
        # Somebody may be giving one of them to another machine right now, and has looked who needs it before.
        async with host.leases.hold(job, alone={lease(Path(disk.path).name) for disk in plan.disks}):
            await delete_disks(plan, host, machines)
    return 0


async def _refusals(given: dict[str, str | int], machine: Machine, machines: Machines) -> dict[str, str]:
    legal = limits.of_machine(machine, await machines.capacity())
    if refusals := limits.refused(given, legal):
        return refusals
    return settings.impossible(limits.wanted(given), machine, machines.capabilities)


async def delete_disks(plan: removal.Plan, host: Host, machines: Machines) -> None:
    """Delete the disks of a machine that is removed."""
    job, images = host.job, host.storage.images
    try:
        if not job.recall("aside"):
            others = [other for other in await machines.all() if other.uuid != plan.uuid]
            kept = await asyncio.to_thread(removal.set_aside, plan, others, images, job.id)
            for path, why in kept.items():
                job.note(f"disk {path}", f"kept, because {why}")
            await job.record("aside", True)
        job.progress(80)
        await asyncio.to_thread(files.clear_staging, images, job.id)
    except OSError as error:
        raise FuncManError(
            f"Machine {plan.name!r} is removed, but its disks could not all be deleted ({error.strerror}: "
            f"{error.filename}); delete them by hand: {', '.join(file.path for file in plan.disks)}",
            disks=[file.path for file in plan.disks],
        ) from error


async def end_and_forget(machines: Machines, uuid: str) -> None:
    """End a machine and forget it.

    One that has gone already, by an earlier run or by its nature when it stopped, is what was wanted."""
    try:
        await machines.stop(uuid)
        await machines.undefine(uuid)
    except NoSuchMachine:
        pass


def _listed(machine: MachineState, measured: kvm.MachineStats) -> kvm.Machine:
    """Tags are OMS's own knowledge; it adds them."""
    status = 1 if machine.state == "running" else 0
    return kvm.Machine(
        status=status, tags=[], stats=measured, name=machine.name, id=machine.name, uuid=machine.uuid
    )
