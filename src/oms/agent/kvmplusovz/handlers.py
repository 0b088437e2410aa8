"""KVMPlusOvzService on this host: what KVMService and OpenVZService answer, put together."""

import msgspec

from oms.agent.context import Host
from oms.agent.guests import MachineState
from oms.agent.kvm import handlers as kvm_handlers
from oms.agent.kvm.conditions import machines_of
from oms.agent.kvmplusovz.both import both
from oms.agent.ovz import handlers as ovz_handlers
from oms.agent.rootfs import handlers as rootfs
from oms.agent.templates import handlers as kvm_templates
from oms.contract import kvm, kvmplusovz, ovz
from oms.contract.handlers import Handlers
from oms.contract.kvm import MachineStats, MachineStatus, templates
from oms.contract.kvmplusovz import Guest, GuestStatus, Template
from oms.contract.ovz import templates as ovz_templates
from oms.contract.partly import GuestType, Partly

handlers: Handlers[Host] = Handlers()


@handlers.handles(kvmplusovz.ListVms)
async def list_vms(op: kvmplusovz.ListVms, host: Host) -> Partly[list[Guest]]:
    """Machines first."""
    machines, containers, missing = await both(_machines(op, host), _containers(op, host))
    return Partly([*(machines or ()), *(containers or ())], missing)


@handlers.handles(kvmplusovz.ListVmsStatus)
async def list_vms_status(_op: kvmplusovz.ListVmsStatus, host: Host) -> Partly[dict[str, GuestStatus]]:
    """A machine makes way for a container that is called as it is: it has another name, its UUID."""
    machines, containers, missing = await both(_machine_states(host), _container_states(host))
    states = containers or {}
    for machine in machines or ():
        status = GuestStatus(
            nrVirtCpu=machine.vcpus,
            state=machine.state,
            maxMem=str(machine.max_memory_kb),
            cpuTime=str(machine.cpu_time_ns),
            memory=str(machine.memory_kb),
            type="kvm",
        )
        states[machine.uuid if machine.name in states else machine.name] = status
    return Partly(states, missing)


@handlers.handles(kvmplusovz.ListTemplates)
async def list_templates(_op: kvmplusovz.ListTemplates, host: Host) -> Partly[list[Template]]:
    """Machines' first."""
    machines, containers, missing = await both(_machine_templates(host), _container_templates(host))
    named: tuple[tuple[GuestType, list[str] | None], ...] = (("kvm", machines), ("openvz", containers))
    return Partly([Template(name, kind) for kind, names in named for name in names or ()], missing)


async def _machines(op: kvmplusovz.ListVms, host: Host) -> list[Guest]:
    if host.machines is None:
        return []
    listed = await kvm_handlers.list_vms(kvm.ListVms(op.stats_argument), host)
    return [Guest(one.status, one.tags, one.stats, one.name, one.id, "kvm", one.uuid) for one in listed]


async def _containers(op: kvmplusovz.ListVms, host: Host) -> list[Guest]:
    if host.containers is None:
        return []
    listed = await ovz_handlers.list_vms(ovz.ListVms(op.stats_argument), host)
    return [Guest(one.status, one.tags, _same(one.stats), one.name, one.id, "openvz") for one in listed]


def _same(stats: ovz.ContainerStats) -> MachineStats:
    return MachineStats(memory=stats.memory, cpu=stats.cpu, network=stats.network, df=stats.df)


async def _machine_states(host: Host) -> list[MachineState]:
    return [] if host.machines is None else await machines_of(host).states()


async def _container_states(host: Host) -> dict[str, GuestStatus]:
    if host.containers is None:
        return {}
    states = await ovz_handlers.list_vms_status(ovz.ListVmsStatus(), host)
    return {ctid: _status(status) for ctid, status in states.items()}


def _status(status: MachineStatus) -> GuestStatus:
    return GuestStatus(**msgspec.structs.asdict(status), type="openvz")


async def _machine_templates(host: Host) -> list[str]:
    return [] if host.machines is None else await kvm_templates.list_templates(templates.ListTemplates(), host)


async def _container_templates(host: Host) -> list[str]:
    return [] if host.containers is None else await rootfs.list_templates(ovz_templates.ListTemplates(), host)
