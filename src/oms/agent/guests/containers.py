"""The port to the hypervisors: containers, which share the host's kernel.

A container is a root file system that lies in the host's, and settings that the kernel holds it to. Its key is its
id: ours are numbers, those made by other means may be words.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import msgspec

from oms.agent.guests.guests import Guests, State
from oms.contract.types import Secret

Backend = Literal["lxc", "openvz", "fake"]
Kind = Literal["user", "group"]

DiskLimit = Literal["", "subvolume", "project", "image", "openvz"]
"""By what a container's disk is kept within its size: a btrfs subvolume's, a project's or OpenVZ's quota, or an
image file of that size; "": by nothing."""

NetworkKind = Literal["routed", "bridge", "none", "other"]
"""`routed`: the host passes packets on to the container's addresses and to nothing else, as OpenVZ's venet
does."""


class IdRange(msgspec.Struct, frozen=True):
    """`count` ids from `inside` on, as the container has them, are those from `outside` on for the host."""

    kind: Kind
    inside: int
    outside: int
    count: int


IdMap = tuple[IdRange, ...]
"""Whose files are whose. (): the container's ids are the host's, and its root is root."""


def outside(ids: IdMap, kind: Kind, number: int) -> int:
    """The host's id of a container's. Raises ValueError for one that the map does not have."""
    if not ids:
        return number
    for part in ids:
        if part.kind == kind and part.inside <= number < part.inside + part.count:
            return part.outside + number - part.inside
    raise ValueError(f"the container has no {kind} {number}")


class ContainerCapabilities(msgspec.Struct, frozen=True):
    """What can be had of containers on this host."""

    backend: Backend
    pause: bool
    disk_limit: DiskLimit
    """Of new containers."""
    why_no_disk_limit: str = ""
    """As in "its file system keeps no quotas"; "" where there is a limit."""
    ids: IdMap = ()
    """Of new containers."""
    swap: bool = True
    """Swap can be limited."""
    sends: bool = False
    """A `Sender` may do so."""


class ContainerSettings(msgspec.Struct, frozen=True):
    """What a container is given. 0 limits nothing, but of swap; () and "" leave it to the root file system."""

    hostname: str = ""
    memory_kb: int = 0
    swap_kb: int = 0
    """Beside the memory, where that is limited; 0: none."""
    vcpus: int = 0
    vcpulimit: int = 0
    """Percent of one CPU."""
    disk_kb: int = 0
    addresses: tuple[str, ...] = ()
    """IPv4 or IPv6, without a prefix where the network is routed."""
    nameservers: tuple[str, ...] = ()
    searchdomains: tuple[str, ...] = ()
    onboot: bool = False


class ContainerChange(msgspec.Struct, frozen=True):
    """What is to be other; None leaves it as it is."""

    hostname: str | None = None
    memory_kb: int | None = None
    swap_kb: int | None = None
    vcpus: int | None = None
    vcpulimit: int | None = None
    disk_kb: int | None = None
    addresses: tuple[str, ...] | None = None
    nameservers: tuple[str, ...] | None = None
    searchdomains: tuple[str, ...] | None = None
    onboot: bool | None = None
    password: Secret | None = None
    """Of root."""


def changed(settings: ContainerSettings, change: ContainerChange) -> ContainerSettings:
    """The settings after a change; the password is none of them."""
    given = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not None}
    given.pop("password", None)
    return msgspec.structs.replace(settings, **given)


class Network(msgspec.Struct, frozen=True):
    """A container's first interface."""

    kind: NetworkKind
    name: str = ""
    """In the container, as in `venet0`."""
    bridge: str = ""
    mac: str = ""


class ContainerState(msgspec.Struct, frozen=True):
    """One line of the list of containers."""

    ctid: str
    name: str
    """Its host name."""
    state: State
    vcpus: int
    memory_kb: int
    """What it uses now; 0 where it is off."""
    max_memory_kb: int
    """0 where nothing limits it."""
    cpu_time_ns: int

    @property
    def key(self) -> str:
        """Its id."""
        return self.ctid


class Container(msgspec.Struct, frozen=True):
    """A container in full."""

    ctid: str
    state: State
    settings: ContainerSettings
    """As it will start next."""
    live: ContainerSettings | None
    """What the kernel holds it to now, as far as that can be read back; None where it is off."""
    rootfs: Path | None
    """Its root file system, as the host sees it. It belongs to what runs in the container, which may change it at
    any moment and lay links anywhere: nothing in it is opened but in its own root. None where it cannot be
    seen."""
    ids: IdMap
    network: Network
    disk_limit: DiskLimit
    ours: bool = False
    """Made by OMS."""
    pid: int = 0
    """Of its first process; 0 while it is off."""
    least_disk_kb: int = 0
    """The least size that its disk could be given now; 0: any that its files fit in."""

    @property
    def runs(self) -> bool:
        """Whether it is on, paused or not."""
        return self.live is not None


class NewContainer(msgspec.Struct, frozen=True):
    """A container that is to be. `bridge`: its interface is on that; "": routed."""

    ctid: str
    settings: ContainerSettings
    password: Secret | None = None
    bridge: str = ""
    mac: str = ""
    """"" makes one of the id."""


class Containers(Guests[Container], Protocol):
    """The containers of this host. Beside what `Guests` says, those that take a ctid raise `NoSuchContainer`.

    `start` lets one that stands still go on; `stop` kills what runs in the container, `ask_off` has its init shut
    it down.
    """

    @property
    def capabilities(self) -> ContainerCapabilities:
        """What this hypervisor can do."""

    @property
    def home(self) -> Path:
        """A directory on the file system where new containers are."""

    async def states(self) -> list[ContainerState]:
        """All containers, those too that were made by other means."""

    async def addresses(self) -> dict[str, tuple[str, ...]]:
        """The addresses that each container starts with, with prefixes where it says so; of one that is given
        none, those that it has got elsewhere and has now."""

    async def ask_off(self, ctid: str, /) -> None:
        """Have its init shut it down, which it does in its own time, or does not."""

    async def goes_off(self, ctid: str, /, *, seconds: float) -> bool:
        """Wait until it is off, and could be started again; False where it is not within so many seconds."""

    async def configure(self, ctid: str, change: ContainerChange, /) -> None:
        """Change what it starts with next: all that is given, or nothing. The password and what its files say
        (name servers, host name) are changed at once. `disk_kb` belongs to the container, and holds at once."""

    async def set_live(self, ctid: str, change: ContainerChange, /) -> dict[str, str]:
        """Change a running container, and read back what became of it: the settings that it has to wait for its
        next start with, by field name, and why."""

    async def prepare(self, job: str, disk_kb: int, /) -> Path:
        """An empty directory for the root file system of the container that a job makes, within that size (0:
        any), on no list, closed to others. Asked again by the same job it is the same, with what is in it."""

    async def discard(self, job: str, /) -> None:
        """Take away what was prepared for a job, with what is in it. Where nothing is left, that is fine."""

    async def create(self, job: str, new: NewContainer, /) -> None:
        """Make a container of what the job prepared, whose files have the owners that `capabilities.ids` say. It
        is there whole, off, or not at all; one that this job has made already stays as it is. Raises
        AlreadyThere."""

    async def destroy(self, ctid: str, /) -> None:
        """Forget a container that is off, with its root file system."""

    async def sweep(self, open_jobs: Iterable[str], /) -> list[Path]:
        """Take away what other jobs than these have prepared; what was taken away."""

    async def console(self, ctid: str, /) -> tuple[str, ...]:
        """A program and its arguments that, run as root on a terminal, is a login in the running container."""


@runtime_checkable
class Sender(Containers, Protocol):
    """Containers that a program of their hypervisor's takes to other hosts, which let this one's root in."""

    async def send(self, ctid: str, target: str, tell: Callable[[str], None], /) -> None:
        """Take it to the host of that name, where it runs if it ran; here it is no more. `tell` hears each step.
        Raises FuncManError, with the container here as it was where the program says so."""

    async def is_sending(self, ctid: str, /) -> bool:
        """Whether that goes on, also by a program that an earlier agent started."""
