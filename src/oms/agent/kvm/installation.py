"""What an installation is made of, and what becomes of it. Pure.

Two definitions of one machine. The one that libvirt keeps starts from the disk; the machine's first run goes by
the other, which starts from the CD and ends where the guest restarts. So the machine is never without the
definition that it is to have, and no run of the agent is needed to make it right.
"""

from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from oms.agent.given import KB_PER_MB
from oms.agent.guests import Capacity, DomainType, End, Machine
from oms.agent.kvm import domain_xml, limits
from oms.agent.kvm.domain_xml import NewDrive, NewMachine, NewNic
from oms.agent.kvm.fitting import Fitting
from oms.agent.kvm.network import Network
from oms.agent.kvm.osinfo import OperatingSystem
from oms.contract.errors import NoMemory, ParameterMismatch
from oms.contract.kvm.install import MOST_GB, CreateVmFromIso
from oms.contract.types import DiskFormat

BYTES_PER_GB: Final = 1024**3
VCPUS: Final = 1
CD_PLACE: Final = 2  # the first drive on the second cable
FROM_CD: Final = ("cdrom", "hd")  # without the disk in it, the firmware would not show that to what it starts


class Disk(msgspec.Struct, frozen=True):
    """What the machine is installed on: an image that is made for it, or a block device that is there."""

    path: str
    kind: Literal["file", "block"]
    format: DiskFormat
    size_bytes: int = 0
    """Of an image."""


class Plan(msgspec.Struct, frozen=True):
    """What a job has set out to make, so that every run of it makes the same. `machine` is as it will be in the
    end; `iso` is the path of the medium."""

    machine: NewMachine
    disk: Disk
    iso: str


Next = Literal["start", "off", "runs", "again", "stopped", "crashed"]
"""What follows the first run: the machine is started from its disk; nothing, for its installer turned it off, or
it runs from its disk already; the run is begun anew; nothing either, for it ended otherwise: its power was taken
away, or its process died."""


def plan(
    op: CreateVmFromIso,
    fitting: Fitting,
    disk: Disk,
    iso: str,
    network: Network | None,
    *,
    uuid: str,
    mac: str,
    domain_type: DomainType,
) -> Plan:
    """The machine that was asked for."""
    cd_target = domain_xml.target(fitting.cd_bus, CD_PLACE)
    cd = NewDrive(iso if fitting.keeps_cd else "", cd_target, fitting.cd_bus, device="cdrom")
    target = domain_xml.target(fitting.disk_bus, 0)
    drive = NewDrive(disk.path, target, fitting.disk_bus, kind=disk.kind, format=disk.format)
    machine = NewMachine(
        uuid=uuid,
        name=op.kvm_vm_name,
        domain_type=domain_type,
        vcpus=VCPUS,
        memory_mb=number(op.memory_size),
        chipset=fitting.chipset,
        acpi=fitting.acpi,
        apic=fitting.apic,
        hyperv=fitting.hyperv,
        clock=fitting.clock,
        drives=(drive, cd),
        nics=(NewNic(network.kind, network.name, mac, fitting.nic),) if network else (),
        video=fitting.video,
        guest_agent=fitting.virtual_devices,
        balloon=fitting.virtual_devices,
        rng=fitting.virtual_devices,
        os_id=fitting.os_id,
    )
    return Plan(machine, disk, iso)


def kept_xml(plan: Plan) -> str:
    """The definition that libvirt keeps."""
    return domain_xml.domain_xml(plan.machine)


def first_run_xml(plan: Plan) -> str:
    """The definition of the run from the CD."""
    drives = (
        replace(drive, source=plan.iso) if drive.device == "cdrom" else drive for drive in plan.machine.drives
    )
    machine = replace(plan.machine, boot=FROM_CD, on_reboot="destroy", drives=tuple(drives))
    return domain_xml.domain_xml(machine)


def is_in_first_run(machine: Machine) -> bool:
    """Whether a machine runs from the CD, or will when it is started again, because that run was saved."""
    if machine.live is None:
        return machine.saved
    return machine.live.boot[:1] == FROM_CD[:1]


def next_step(machine: Machine, *, same_boot: bool) -> Next:
    """For a machine that is not in its first run any more. `same_boot`: the host has run ever since that began.

    A guest that ended its machine in a way that nobody heard has most likely restarted it, as installers do. Where
    nothing is known of the end, and the host was restarted, it went down under the machine; which has nothing yet
    that could be lost, for it never ran from its disk.
    """
    if machine.live is not None:
        return "runs"
    if not machine.ended and not same_boot:
        return "again"
    by_end: dict[End, Next] = {"poweroff": "off", "destroyed": "stopped", "crashed": "crashed"}
    return by_end.get(machine.ended, "start")


def number(text: str | int) -> int:
    """Of a size that the contract has let through; 0 for none."""
    return int(text or 0)


def disk_size_bytes(op: CreateVmFromIso) -> int:
    """Of the new image. Raises ParameterMismatch."""
    size_gb = number(op.file_based_disk_size)
    if not 1 <= size_gb <= MOST_GB:
        raise ParameterMismatch(
            f"Parameter file_based_disk_size is {size_gb} GB: legal is 1 to {MOST_GB} where no block device is "
            "given.",
            parameter="file_based_disk_size",
        )
    return size_gb * BYTES_PER_GB


def check_memory(op: CreateVmFromIso, capacity: Capacity) -> None:
    """Raise ParameterMismatch, or NoMemory where the host has not so much to give now."""
    legal = limits.of_host(capacity)
    memory_mb = number(op.memory_size)
    if memory_mb < legal.min_memory_mb:
        raise ParameterMismatch(
            f"Parameter memory_size is {memory_mb} MB: a machine has {legal.min_memory_mb} MB at least.",
            parameter="memory_size",
        )
    if memory_mb > legal.max_memory_mb:
        free_mb = capacity.available_memory_kb // KB_PER_MB
        raise NoMemory(
            f"The host has {free_mb} MB of memory to give now, and {memory_mb} MB were asked for: nothing was "
            "changed",
            wanted_mb=memory_mb,
            free_mb=free_mb,
        )


def advice(system: OperatingSystem | None, memory_mb: int) -> dict[str, str]:
    """What is worth knowing about the system's needs, for the job's notes."""
    if system is None:
        return {}
    notes = {"operating system": system.title}
    if memory_mb < system.minimum_memory_mb:
        notes["memory"] = f"{system.title} asks for {system.minimum_memory_mb} MB at least, and has {memory_mb} MB"
    return notes
