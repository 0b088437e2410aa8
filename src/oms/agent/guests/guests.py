"""The port to the hypervisors: what every one of them has, be its guests virtual machines or containers.

A guest is named by its key everywhere but in `find`: a machine's UUID, a container's id.
"""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeVar

import msgspec

State = Literal["running", "paused", "shutdown", "crashed"]
"""`shutdown` is off, or so far in going off that there is no way back."""

Stat = Literal["cpu", "memory", "df", "network"]
"""What `use` can measure of a running guest."""

Progress = Callable[[float], None]
"""Told now and then how far a long change is, in percent."""

Found_co = TypeVar("Found_co", covariant=True)


class GuestState(Protocol):
    """One line of the list of guests."""

    @property
    def key(self) -> str:
        """What it is named by: it has no other as long as it is there."""

    @property
    def name(self) -> str:
        """What people call it: a machine's name, a container's host name."""

    @property
    def state(self) -> State:
        """How it is."""

    @property
    def vcpus(self) -> int:
        """How many CPUs it sees."""

    @property
    def memory_kb(self) -> int:
        """What it has now."""

    @property
    def max_memory_kb(self) -> int:
        """What it may have; 0 where nothing limits it."""

    @property
    def cpu_time_ns(self) -> int:
        """Since its start; 0 where it is off."""


class DiskUse(msgspec.Struct, frozen=True):
    """KB on the host's disks, of what the guest sees."""

    used_kb: int
    size_kb: int


class MemoryUse(msgspec.Struct, frozen=True):
    """KB."""

    used_kb: int
    total_kb: int


class NetworkUse(msgspec.Struct, frozen=True):
    """The first interface: its name, and the guest's address there or ""."""

    name: str
    address: str


class Use(msgspec.Struct, frozen=True):
    """What one guest uses, as far as it was asked for and is known."""

    cpu_percent: float | None = None
    """Of all its CPUs, since about the last question; None at the first."""
    memory: MemoryUse | None = None
    disk: DiskUse | None = None
    network: NetworkUse | None = None


class Capacity(msgspec.Struct, frozen=True):
    """What this host has for guests."""

    cpus: int
    max_vcpus: int
    """The most that the hypervisor gives to one guest."""
    available_memory_kb: int
    """What a new guest could be given now without others being swapped out."""


class Change(msgspec.Struct, frozen=True):
    """Something happened to a guest, by whomever. The same may be told more than once, and late: ask again."""

    uuid: str
    """Its key."""
    name: str
    what: Literal["defined", "removed", "started", "stopped", "crashed", "paused", "resumed", "anything"]
    """`anything`, without key and name: changes were missed while the hypervisor was away, or which it was is not
    known."""


class Guests(Protocol[Found_co]):
    """The guests of one hypervisor on this host.

    Every method may raise `HypervisorUnavailable`, at once where the hypervisor is known to be away and after some
    seconds where it hangs. The methods that change something say in it whether nothing was changed or whether that
    is not known (`data.outcome`: "nothing" or "unknown"). Those that take a key raise `NoSuchMachine`. What the
    hypervisor refuses is a `FuncManError` with its words.
    """

    async def states(self) -> Sequence[GuestState]:
        """All guests, as they were at some moment after the call began."""

    async def use(self, wanted: frozenset[Stat]) -> dict[str, Use]:
        """What the running guests use, by key; one that is off has its network at most. One that does not answer
        may be missing."""

    async def capacity(self) -> Capacity:
        """What this host has for guests now."""

    async def find(self, name: str, /) -> Found_co:
        """The guest that is called so. Raises NoSuchMachine."""

    async def start(self, key: str, /) -> None:
        """Start it. One that runs stays so."""

    async def stop(self, key: str, /) -> None:
        """Take its power away. One that is off stays so."""

    async def pause(self, key: str, /) -> None:
        """Have it stand still, its memory kept. One that is paused stays so."""

    async def resume(self, key: str, /) -> None:
        """Let a paused guest go on. One that runs stays so."""

    async def set_autostart(self, key: str, /, *, on: bool) -> None:
        """Whether it starts with the host."""

    def on_change(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call back in the event loop at each change. Answers the function that ends it."""

    async def close(self) -> None:
        """Let go of the hypervisor; guests are not touched."""
