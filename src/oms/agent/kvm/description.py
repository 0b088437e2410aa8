"""KVMService on this host: what a machine is made of."""

from collections.abc import Iterator, Mapping

from oms.agent.context import Host
from oms.agent.given import KB_PER_MB
from oms.agent.guests import Definition, Disk, Machine, Nic
from oms.agent.kvm.conditions import machines_of, present
from oms.contract.handlers import Handlers
from oms.contract.kvm import description
from oms.contract.kvm.description import DescribedDisk, DescribedNic, Description

handlers: Handlers[Host] = Handlers()


@handlers.handles(description.DescribeVm)
async def describe_vm(op: description.DescribeVm, host: Host) -> Description:
    """What runs, and where that differs from what will start next."""
    machines = machines_of(host)
    machine = await machines.find(op.kvm_vm_name)
    return described(machine, await machines.disk_sizes(machine))


def described(machine: Machine, disk_sizes: Mapping[str, int]) -> Description:
    """A machine in the contract's words. `disk_sizes`: bytes, by the drive's name."""
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
        disks=[_disk(disk, disk_sizes.get(disk.target, 0)) for disk in now.disks],
        nics=[_nic(nic) for nic in now.nics],
        boot=list(now.boot),
        graphics=list(now.graphics),
        waiting=list(_waiting(machine.live, machine.kept)) if machine.live and machine.kept else [],
    )


def _disk(disk: Disk, size_bytes: int) -> DescribedDisk:
    return DescribedDisk(
        target=disk.target,
        bus=disk.bus,
        device=disk.device,
        source=str(disk.file or next(iter(disk.sources), "")),
        format=disk.format,
        read_only=disk.read_only,
        size_kb=size_bytes // 1024,
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
