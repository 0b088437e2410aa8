"""fleetservices: all hosts and all guests at a glance. OMS answers by itself: no host is asked."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from oms.contract.func import Tag
from oms.contract.operation import Permission, ServerOperation, Service, operation
from oms.contract.types import AnyHost, AnyTag

SERVICE = Service(
    "fleetservices",
    "FleetService",
    "All hosts and guests at a glance, filtered, sorted and by pages. Hosts tell OMS of every change, so the "
    "answers are of this moment, and no host is asked for them.",
)

Search = Annotated[
    str,
    Meta(
        max_length=200,
        description="words that must all be found in what is listed, whatever their case; or nothing",
        examples=["web"],
    ),
]
Offset = Annotated[
    int, Meta(ge=0, le=1_000_000, description="how many to pass over from the beginning", examples=[0])
]
Most = Annotated[
    int, Meta(ge=0, le=1000, description="how many at most, 1 to 1000; 0: all that are left", examples=[100])
]
Descending = Annotated[bool, Meta(description="true: from the highest down, or false", examples=[False])]
HostState = Literal["connected", "away"]
GuestState = Literal["running", "paused", "shutdown", "crashed", "unknown"]
"""`unknown`: its host is away."""
Attention = Literal["away", "certificate", "disk", "memory"]
"""`away`: the host is not connected; `certificate`: it ends within two weeks and was not renewed; `disk`: a file
system is more than 90 % full; `memory`: less than 5 % of it could be had."""


class FleetHost(msgspec.Struct, frozen=True):
    """A signed host. Times are RFC 3339 in UTC; `load` is that of a minute, `cpu_percent` of all its CPUs, `disk`
    its own file systems together, in MB as memory is. What it measures is null while it does not tell it."""

    name: str
    id: str
    state: HostState
    type: str
    tags: list[Tag]
    attention: list[Attention]
    agent_version: str
    architecture: str
    distribution: str
    kernel: str
    hypervisors: list[str]
    cpus: int
    memory_mb: int
    load: float | None
    cpu_percent: float | None
    memory_used_mb: int | None
    disk_mb: int | None
    disk_used_mb: int | None
    uptime_seconds: int | None
    guests: int
    guests_running: int
    unfinished_jobs: int
    certificate_not_after: str
    last_seen: str


class HostPage(msgspec.Struct, frozen=True):
    """Some of the hosts that fit, and how many fit in all."""

    hosts: list[FleetHost]
    total: int


class FleetGuest(msgspec.Struct, frozen=True):
    """A machine (`kvm`; `id` is its UUID) or a container (`openvz`). `memory_mb` is what it may have, 0 where
    nothing limits it."""

    kind: Literal["kvm", "openvz"]
    id: str
    name: str
    host: str
    state: GuestState
    vcpus: int
    memory_mb: int
    tags: list[str]


class GuestPage(msgspec.Struct, frozen=True):
    """Some of the guests that fit, and how many fit in all."""

    guests: list[FleetGuest]
    total: int


class WaitingHost(msgspec.Struct, frozen=True):
    """A host that asks to be let in. `key_sha256` is the fingerprint that its agent shows, to be compared before
    it is signed; all the rest is what somebody at `address` says."""

    name: str
    key_sha256: str
    address: str
    asked: str
    agent_version: str
    architecture: str
    distribution: str
    kernel: str
    hypervisors: list[str]
    cpus: int
    memory_mb: int
    rival: bool
    """Another key asks for the same name, or the name is signed already: only one can be right."""


class HostCounts(msgspec.Struct, frozen=True):
    """How many hosts are signed, connected, and wait to be signed."""

    signed: int
    connected: int
    waiting: int


class GuestCounts(msgspec.Struct, frozen=True):
    """How many guests there are by kind, and by state."""

    kvm: int
    openvz: int
    states: dict[GuestState, int]


class Capacity(msgspec.Struct, frozen=True):
    """What the connected hosts have together, and use. Memory and disks in MB; `cpu_percent` of all their CPUs."""

    cpus: int
    cpu_percent: float
    memory_mb: int
    memory_used_mb: int
    disk_mb: int
    disk_used_mb: int


class NeedsAttention(msgspec.Struct, frozen=True):
    """A host that somebody should look at, and what for."""

    host: str
    attention: list[Attention]


class Summary(msgspec.Struct, frozen=True):
    """The fleet in one answer. `failed_jobs` are those of the last 24 hours; of the hosts that need attention, at
    most 100 are named."""

    hosts: HostCounts
    guests: GuestCounts
    capacity: Capacity
    unfinished_jobs: int
    failed_jobs: int
    attention: list[NeedsAttention]
    needing_attention: int


@operation(SERVICE, Permission.VIEWER)
class ListHosts(ServerOperation[HostPage], frozen=True):
    """List hosts with how they are now: all, or those that fit.

    The words are sought in name, type, distribution and tags.
    """

    search: Search = ""
    tag: AnyTag = ""
    state: Literal["", "connected", "away", "attention"] = ""
    sort: Literal["name", "state", "load", "cpu", "memory", "disk", "guests", "certificate"] = "name"
    descending: Descending = False
    offset: Offset = 0
    most: Most = 100
    hypervisor: Literal["", "kvm", "openvz"] = ""


@operation(SERVICE, Permission.VIEWER)
class ListGuests(ServerOperation[GuestPage], frozen=True):
    """List machines and containers of all hosts: all, or those that fit.

    The words are sought in name, id and host.
    """

    search: Search = ""
    host: AnyHost = ""
    kind: Literal["", "kvm", "openvz"] = ""
    state: Literal["", "running", "paused", "shutdown", "crashed", "unknown"] = ""
    tag: AnyTag = ""
    sort: Literal["name", "id", "host", "kind", "state", "vcpus", "memory"] = "name"
    descending: Descending = False
    offset: Offset = 0
    most: Most = 100


@operation(SERVICE, Permission.VIEWER)
class DescribeRequests(ServerOperation[list[WaitingHost]], frozen=True):
    """List the hosts that wait to be signed, the oldest first, with the fingerprints to compare."""


@operation(SERVICE, Permission.VIEWER)
class Summarize(ServerOperation[Summary], frozen=True):
    """Tell how many hosts, guests and jobs there are.

    And what the hosts have and use together, and where somebody should look.
    """
