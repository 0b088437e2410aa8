"""KVMService on this host: what a machine is made of."""

from collections.abc import Iterator

from oms.agent.context import Host
from oms.agent.guests import Definition, Disk, Machine, Nic
from oms.agent.kvm.conditions import machines_of, present
from oms.agent.kvm.limits import KB_PER_MB
from oms.contract.handlers import Handlers
from oms.contract.kvm import description
from oms.contract.kvm.description import DescribedDisk, DescribedNic, Description

handlers: Handlers[Host] = Handlers()


@handlers.handles(description.DescribeVm)
async def describe_vm(op: description.DescribeVm, host: Host) -> Description:
    """What runs, and where that differs from what will start next."""
    return described(await machines_of(host).find(op.kvm_vm_name))


def described(machine: Machine) -> Description:
    """A machine in the contract's words."""
    now = present(machine)
    return Description(
        name=machine.name,
        uuid=machine.uuid,
        state=machine.state,
        autostart=machine.autostart,
        saved=machine.saved,
        kept=machine.kept is not None,
        vcpus=now.vcpus,
        memory_mb=now.memory_kb // KB_PER_MB,
        guest_agent=now.guest_agent,
        disks=[_disk(disk) for disk in now.disks],
        nics=[_nic(nic) for nic in now.nics],
        waiting=list(_waiting(machine.live, machine.kept)) if machine.live and machine.kept else [],
    )


def _disk(disk: Disk) -> DescribedDisk:
    return DescribedDisk(
        target=disk.target,
        bus=disk.bus,
        device=disk.device,
        source=str(disk.file or next(iter(disk.sources), "")),
        format=disk.format,
        read_only=disk.read_only,
    )


def _nic(nic: Nic) -> DescribedNic:
    return DescribedNic(mac=nic.mac, kind=nic.kind, source=nic.source, model=nic.model, device=nic.device)


def _waiting(live: Definition, kept: Definition) -> Iterator[str]:
    """What a start would change: only what can be told of a machine that is off is compared."""
    if live.vcpus != kept.vcpus:
        yield "vcpus"
    if live.memory_kb != kept.memory_kb:
        yield "memory_mb"
    if {(disk.target, disk.file) for disk in live.disks} != {(disk.target, disk.file) for disk in kept.disks}:
        yield "disks"
    if {(nic.mac, nic.source) for nic in live.nics} != {(nic.mac, nic.source) for nic in kept.nics}:
        yield "nics"
