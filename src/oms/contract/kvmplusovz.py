"""KVMPlusOvzService: machines and containers of one host in one answer."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from oms.contract.kvm import MachineStats, StatName
from oms.contract.operation import HostOperation, Permission, Service, operation
from oms.contract.partly import GuestType, Partly

SERVICE = Service(
    "kvmplusovzservices",
    "KVMPlusOvzService",
    "Machines and containers of a host together. Both hypervisors are asked at once. One that the host does not "
    "have counts as empty. Of one that does not answer, `missing` tells, which then stands beside `client` and "
    "`result`: a list of `{type, name, reason, message}`. Where neither answers, that is an error.",
)


class Guest(msgspec.Struct, frozen=True):
    """A machine or container: `status` 1 = running, 0 = not; `id` is a machine's name again, a container's
    number."""

    status: int
    tags: list[str]
    stats: MachineStats
    name: str
    id: str
    type: GuestType
    uuid: str | UnsetType = UNSET
    """A machine's."""


class GuestStatus(msgspec.Struct, frozen=True):
    """State of a machine or container. `maxMem` and `memory` in KB, `cpuTime` in nanoseconds; the numbers are
    texts."""

    nrVirtCpu: int  # noqa: N815 - the document's spelling
    state: Literal["running", "paused", "shutdown", "crashed"]
    maxMem: str  # noqa: N815
    cpuTime: str  # noqa: N815
    memory: str
    type: GuestType


class Template(msgspec.Struct, frozen=True):
    """A template, and of what."""

    name: str
    type: GuestType


@operation(SERVICE, Permission.VIEWER, varargs=True)
class ListVms(HostOperation[Partly[list[Guest]]], frozen=True):
    """List the machines and containers of a host, all or those that bear a tag, with the statistics asked for."""

    stats_argument: tuple[StatName, ...] = ()


@operation(SERVICE, Permission.VIEWER)
class ListVmsStatus(HostOperation[Partly[dict[str, GuestStatus]]], frozen=True):
    """State of every machine (by name) and container (by id) of a host; `shutdown` means that it is off.

    A machine whose name is also a container's id is listed by its UUID, which is as good as its name everywhere.
    """


@operation(SERVICE, Permission.VIEWER)
class ListTemplates(HostOperation[Partly[list[Template]]], frozen=True):
    """Templates of a host, for machines and for containers."""
