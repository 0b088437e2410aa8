"""OpenVZService on this host: each method as the plain function that does it.

A changing method may be broken off by a crash at any point and is then called again with the same job, so each of
its steps is either harmless to repeat or written down before it is taken.
"""

import asyncio
import contextlib

from oms.agent.context import Host
from oms.agent.given import KB_PER_MB
from oms.agent.guests import Stat
from oms.agent.guests.containers import Container, Containers
from oms.agent.host.space import free_bytes
from oms.agent.ovz import limits, settings, stats, taken
from oms.agent.ovz.conditions import containers_of
from oms.contract import ovz
from oms.contract.errors import NoSuchMachine
from oms.contract.handlers import Handlers
from oms.contract.kvm import MachineStatus

handlers: Handlers[Host] = Handlers()


@handlers.handles(ovz.ListVms)
async def list_vms(op: ovz.ListVms, host: Host) -> list[ovz.ListedContainer]:
    """A container that stands still does not run: its status is 0."""
    containers = containers_of(host)
    wanted = stats.measured(op.stats_argument)
    if wanted:
        states, uses = await asyncio.gather(containers.states(), containers.use(wanted))
    else:
        states, uses = await containers.states(), {}
    return [
        ovz.ListedContainer(
            status=1 if container.state == "running" else 0,
            tags=[],
            stats=stats.container_stats(uses.get(container.ctid)),
            name=container.name,
            id=container.ctid,
        )
        for container in states
    ]


@handlers.handles(ovz.ListVmsStatus)
async def list_vms_status(_op: ovz.ListVmsStatus, host: Host) -> dict[str, MachineStatus]:
    """CPU time is that since the container's start, so 0 where it is off."""
    return {
        container.ctid: MachineStatus(
            nrVirtCpu=container.vcpus,
            state=container.state,
            maxMem=str(container.max_memory_kb),
            cpuTime=str(container.cpu_time_ns),
            memory=str(container.memory_kb),
        )
        for container in await containers_of(host).states()
    }


@handlers.handles(ovz.ParseSystemMinMax)
async def parse_system_min_max(_op: ovz.ParseSystemMinMax, host: Host) -> ovz.ContainerLimits:
    """What a new container may be given. 0 MB of memory is no limit."""
    legal = await limits_of_host(containers_of(host))
    return ovz.ContainerLimits(
        min_vcpu=str(legal.min_vcpus),
        max_vcpu=str(legal.max_vcpus),
        min_vcpulimit="0",
        max_vcpulimit=str(legal.max_vcpulimit),
        min_memory=str(legal.min_memory_mb),
        max_memory=str(legal.max_memory_mb),
        min_disk=str(legal.min_disk_mb),
        max_disk=str(legal.max_disk_mb),
    )


@handlers.handles(ovz.ParseVmSettings)
async def parse_vm_settings(op: ovz.ParseVmSettings, host: Host) -> ovz.SettingsOfContainer:
    """The settings are those of the container's next start; what it uses now is in `list_vms`."""
    containers = containers_of(host)
    container = await containers.find(str(op.container_id))
    legal, now = await _limits_of(container, containers), container.settings
    return ovz.SettingsOfContainer(
        vcpulimit=str(now.vcpulimit),
        vcpu=str(limits.shown_vcpus(now, legal)),
        ip_address=" ".join(now.addresses),
        max_memory=str(legal.max_memory_mb),
        vm_id=container.ctid,
        max_vcpu=str(legal.max_vcpus),
        min_vcpu=str(legal.min_vcpus),
        max_disk=str(legal.max_disk_mb),
        memory=str(now.memory_kb // KB_PER_MB),
        min_disk=str(legal.min_disk_mb),
        nameserver=" ".join(now.nameservers),
        disk=str(now.disk_kb // KB_PER_MB),
        min_memory=str(legal.min_memory_mb),
        min_vcpulimit="0",
        max_vcpulimit=str(legal.max_vcpulimit),
        onboot="yes" if now.onboot else "no",
        searchdomain=" ".join(now.searchdomains),
    )


@handlers.handles(ovz.UpdateVmSettings)
async def update_vm_settings(op: ovz.UpdateVmSettings, host: Host) -> ovz.Refusals:
    """All or nothing, and judged once: a run that finishes a broken-off one does not judge again, because by what
    the first has done already the limits may be others."""
    containers, given = containers_of(host), op.container_settings_dictionary
    container = await containers.find(str(op.container_id))
    async with contextlib.AsyncExitStack() as held:
        if host.job.recall("accepted") != container.ctid:
            if refusals := await _refused(given, container, host, held):
                return refusals
            await host.job.record("accepted", container.ctid)
        else:
            await held.enter_async_context(taken.asked(limits.wanted(given), container).held(host))
        if given:
            await settings.apply(limits.wanted(given), container, containers, host.job.note)
    return {}


async def _refused(
    given: limits.Given, container: Container, host: Host, held: contextlib.AsyncExitStack
) -> ovz.Refusals:
    """Why it is; where it is not, what no other container may have is held from then on."""
    containers = containers_of(host)
    if refusals := limits.refused(given, await _limits_of(container, containers)):
        return refusals
    wish = taken.asked(limits.wanted(given), container)
    others = await taken.take(wish, host, containers, held)
    return others.refusals(wish) if others else {}


@handlers.handles(ovz.StartVm)
async def start_vm(op: ovz.StartVm, host: Host) -> int:
    """A container that stands still goes on."""
    await containers_of(host).start(str(op.container_id))
    return 0


@handlers.handles(ovz.StopVm)
async def stop_vm(op: ovz.StopVm, host: Host) -> int:
    """Asked first, then killed."""
    containers = containers_of(host)
    await end(await containers.find(str(op.container_id)), host)
    return 0


@handlers.handles(ovz.DeleteVm)
async def delete_vm(op: ovz.DeleteVm, host: Host) -> int:
    """Once it is written down that it is to go, one that is not there any more is what was wanted."""
    containers, job = containers_of(host), host.job
    try:
        container = await containers.find(str(op.container_id))
    except NoSuchMachine:
        if job.recall("goes"):
            return 0
        raise
    await job.record("goes", container.ctid)
    await end(container, host)
    job.progress(50)
    with contextlib.suppress(NoSuchMachine):  # somebody else may be faster
        await containers.destroy(container.ctid)
    return 0


async def end(container: Container, host: Host) -> None:
    """Have a container go off, one way or the other. Repeated by a later run it is asked again, which does no
    harm."""
    containers = containers_of(host)
    if not container.runs:
        return
    if container.state == "running" and host.offer.container_stop_seconds > 0:
        await containers.ask_off(container.ctid)
        if await containers.goes_off(container.ctid, seconds=host.offer.container_stop_seconds):
            return
        host.job.note(
            "stop", f"it had not shut down after {host.offer.container_stop_seconds:g} s, and was killed"
        )
    await containers.stop(container.ctid)


async def limits_of_host(containers: Containers) -> limits.Limits:
    """What a new container may be given now."""
    free_kb = await asyncio.to_thread(free_bytes, containers.home) // 1024
    return limits.of_host(await containers.capacity(), containers.capabilities, free_kb)


async def _limits_of(container: Container, containers: Containers) -> limits.Limits:
    holds: frozenset[Stat] = frozenset({"memory", "df"})
    legal, uses = await asyncio.gather(limits_of_host(containers), containers.use(holds))
    why = containers.capabilities.why_no_disk_limit
    return limits.of_container(container, legal, uses.get(container.ctid), why)
