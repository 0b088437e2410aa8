"""OpenVZService: the containers of one host, through vzctl where its kernel is OpenVZ's, else through LXC.

Here the service itself, the lists, settings, and the life cycle; what else it can do stands in the modules beside.
"""

import msgspec
from msgspec import UNSET, UnsetType

from oms.contract.kvm import (
    CpuStats,
    DiskStats,
    MachineStatus,
    MemoryStats,
    NetworkStats,
    Refusals,
    Settings,
    StatName,
)
from oms.contract.operation import HostOperation, Permission, Service, operation
from oms.contract.types import ContainerId

SERVICE = Service(
    "ovzservices",
    "OpenVZService",
    "Containers of a host, whoever made them. A container is called by its id.",
)


class ContainerStats(msgspec.Struct, frozen=True, omit_defaults=True):
    """The statistics asked for, as far as the container has them."""

    memory: MemoryStats | UnsetType = UNSET
    cpu: CpuStats | UnsetType = UNSET
    network: NetworkStats | UnsetType = UNSET
    df: DiskStats | UnsetType = UNSET


class ListedContainer(msgspec.Struct, frozen=True):
    """A container: `status` 1 = running, 0 = not; `name` is its host name."""

    status: int
    tags: list[str]
    stats: ContainerStats
    name: str
    id: str


class ContainerLimits(msgspec.Struct, frozen=True):
    """What a container on this host may be given now: memory and disk in MB, `vcpulimit` in percent of one CPU (0:
    no limit). The numbers are texts."""

    min_vcpu: str
    max_vcpu: str
    min_vcpulimit: str
    max_vcpulimit: str
    min_memory: str
    max_memory: str
    min_disk: str
    max_disk: str


class SettingsOfContainer(msgspec.Struct, frozen=True):
    """Settings of a container with their limits: memory and disk in MB, `vcpulimit` in percent of one CPU. The
    numbers are texts; "0" is no limit. `onboot`: "yes" or "no". Several addresses are parted by blanks."""

    vcpulimit: str
    vcpu: str
    ip_address: str
    max_memory: str
    vm_id: str
    max_vcpu: str
    min_vcpu: str
    max_disk: str
    memory: str
    min_disk: str
    nameserver: str
    disk: str
    min_memory: str
    min_vcpulimit: str
    max_vcpulimit: str
    onboot: str
    searchdomain: str


@operation(SERVICE, Permission.VIEWER, varargs=True)
class ListVms(HostOperation[list[ListedContainer]], frozen=True):
    """List the containers of a host, all or those that bear a tag, with the statistics asked for."""

    stats_argument: tuple[StatName, ...] = ()


@operation(SERVICE, Permission.VIEWER)
class ListVmsStatus(HostOperation[dict[str, MachineStatus]], frozen=True):
    """State of every container of a host, by id; `shutdown` means that it is off.

    `memory` is what it uses now, `maxMem` what it may use; "0" is no limit.
    """


@operation(SERVICE, Permission.VIEWER)
class ParseSystemMinMax(HostOperation[ContainerLimits], frozen=True):
    """The host's limits for the settings of containers."""


@operation(SERVICE, Permission.VIEWER)
class ParseVmSettings(HostOperation[SettingsOfContainer], frozen=True):
    """Settings of a container, with their limits."""

    container_id: ContainerId


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="container_id")
class UpdateVmSettings(HostOperation[Refusals], frozen=True):
    """Change settings of a container; answers the refused ones, and changes nothing where any is refused.

    Settings: `memory`, `swap` and `disk` (MB), `vcpu`, `vcpulimit` (percent of one CPU), `ip_address`,
    `nameserver`, `searchdomain` (several parted by blanks), `onboot` (yes or no), `hostname`, and `password` or
    `passwd` (of root). What a running container can take is changed at once, the rest at its next start; the job's
    `notes` say which.
    """

    container_id: ContainerId
    container_settings_dictionary: Settings


@operation(SERVICE, Permission.OPERATOR, timeout=120, changes=True, target="container_id", answers="tmp_cache")
class StopVm(HostOperation[int], frozen=True):
    """Stop a container; answers 0, also where it was off already.

    Its init is asked to shut it down; what has not ended by then (the host's setting `container_stop_seconds`) is
    killed.
    """

    container_id: ContainerId


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="container_id", answers="tmp_cache")
class StartVm(HostOperation[int], frozen=True):
    """Start a container; answers 0, also where it was running already. One that stands still goes on."""

    container_id: ContainerId


@operation(SERVICE, Permission.OPERATOR, timeout=120, changes=True, target="container_id", answers="tmp_cache")
class DeleteVm(HostOperation[int], frozen=True):
    """Shut a container down and remove it with all its files; answers 0."""

    container_id: ContainerId


__all__ = [
    "SERVICE", "ContainerLimits", "ContainerStats", "DeleteVm", "ListVms", "ListVmsStatus", "ListedContainer",
    "ParseSystemMinMax", "ParseVmSettings", "Refusals", "Settings", "SettingsOfContainer", "StartVm", "StopVm",
    "UpdateVmSettings",
]  # fmt: skip
