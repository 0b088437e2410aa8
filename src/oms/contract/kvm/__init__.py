"""KVMService: the virtual machines of one host, through libvirt.

Here the service itself, the lists, settings, and the life cycle; what else it can do stands in the modules beside.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from oms.contract.operation import HostOperation, Permission, Service, operation
from oms.contract.types import SettingValue, VmName, or_tag

SERVICE = Service(
    "kvmservices",
    "KVMService",
    "Virtual machines of a host, whoever made them. A machine is called by its name or by its UUID.",
    aliases=("kvm",),
)

STATS = ("cpu", "cpu_load", "memory", "df", "uptime", "kernel", "network", "bandwidth", "swap", "iowait")
StatName = Annotated[
    str, or_tag(STATS, "a statistic (one that a guest does not have is left out of its answer)", "cpu")
]
"""What a list of guests is asked for: a statistic of each, or those alone that bear a tag."""

Settings = Annotated[
    dict[Annotated[str, Meta(max_length=64)], SettingValue],
    Meta(
        max_length=64,
        description="settings to change, by name; numbers may be text",
        examples=[{"vcpu": "2"}],
    ),
]

Refusals = dict[str, str]
"""Refused settings, each with a text that says what is legal. `{}`: all was accepted and done."""


class MemoryStats(msgspec.Struct, frozen=True):
    """KB; `used` of `total`."""

    percentage: str
    total: str
    used: str


class CpuStats(msgspec.Struct, frozen=True):
    """Load since the last question, in percent of the machine's CPUs, two decimals."""

    percentage: str


class NetworkStats(msgspec.Struct, frozen=True):
    """The first interface on the host's side, and the address where it is known."""

    ip: str
    name: str


class DiskStats(msgspec.Struct, frozen=True):
    """KB written into the machine's disks, of their size."""

    percentage: str
    total: str
    used: str


class MachineStats(msgspec.Struct, frozen=True, omit_defaults=True):
    """The statistics asked for, as far as the machine has them."""

    memory: MemoryStats | UnsetType = UNSET
    cpu: CpuStats | UnsetType = UNSET
    network: NetworkStats | UnsetType = UNSET
    df: DiskStats | UnsetType = UNSET


class Machine(msgspec.Struct, frozen=True):
    """A machine: `status` 1 = running, 0 = not; `id` is its name again."""

    status: int
    tags: list[str]
    stats: MachineStats
    name: str
    id: str
    uuid: str | UnsetType = UNSET


class MachineStatus(msgspec.Struct, frozen=True):
    """State of a machine. `maxMem` and `memory` in KB, `cpuTime` in nanoseconds; the numbers are texts."""

    nrVirtCpu: int  # noqa: N815 - the document's spelling
    state: Literal["running", "paused", "shutdown", "crashed"]
    maxMem: str  # noqa: N815
    cpuTime: str  # noqa: N815
    memory: str


class SystemLimits(msgspec.Struct, frozen=True):
    """What a machine on this host may be given now: CPUs, and memory in MB. The numbers are texts."""

    max_vcpu: str
    min_vcpu: str
    min_memory: str
    max_memory: str


class MachineSettings(msgspec.Struct, frozen=True):
    """Settings of a machine with their limits: CPUs, and memory in MB. The numbers are texts."""

    vcpu: str
    max_memory: str
    max_vcpu: str
    min_vcpu: str
    memory: str
    min_memory: str


@operation(SERVICE, Permission.VIEWER, varargs=True)
class ListVms(HostOperation[list[Machine]], frozen=True):
    """List the machines of a host, all or those that bear a tag, with the statistics asked for."""

    stats_argument: tuple[StatName, ...] = ()


@operation(SERVICE, Permission.VIEWER)
class ListVmsStatus(HostOperation[dict[str, MachineStatus]], frozen=True):
    """State of every machine of a host, by name; `shutdown` means that it is off."""


@operation(SERVICE, Permission.VIEWER)
class ParseSystemMinMax(HostOperation[SystemLimits], frozen=True):
    """The host's limits for the settings of machines."""


@operation(SERVICE, Permission.VIEWER)
class ParseVmSettings(HostOperation[MachineSettings], frozen=True):
    """Settings of a machine, with their limits."""

    kvm_vm_name: VmName


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="kvm_vm_name")
class UpdateVmSettings(HostOperation[Refusals], frozen=True):
    """Change settings of a machine; answers the refused ones, and changes nothing where any is refused.

    Settings: `vcpu`, `memory` (MB). What a running machine can take is changed at once, the rest at its next
    start; the job's `notes` say which.
    """

    kvm_vm_name: VmName
    kvm_vm_settings_dictionary: Settings


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="kvm_vm_name")
class StopVm(HostOperation[int], frozen=True):
    """Stop a machine at once, as by pulling its plug; answers 0, also where it was off already."""

    kvm_vm_name: VmName


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="kvm_vm_name")
class StartVm(HostOperation[int], frozen=True):
    """Start a machine; answers 0, also where it was running already."""

    kvm_vm_name: VmName


@operation(SERVICE, Permission.OPERATOR, timeout=120, changes=True, target="kvm_vm_name")
class DeleteVm(HostOperation[int], frozen=True):
    """Stop a machine and remove it, with those of its disks that lie in OMS's own storage; answers 0."""

    kvm_vm_name: VmName
