"""The port to the hypervisors: what the agent asks of guests, whoever runs them.

Everything here is plain data and Protocols: `guests` has what every hypervisor has, this module virtual machines,
`containers` those. A hypervisor is one package beside these that keeps its Protocol (`libvirt`, `lxc`), and says
in its capabilities what it cannot do, so that handlers ask data and never a kind.

A machine is named by its UUID everywhere but in `find`: names are given anew to other machines, UUIDs are not.
"""

from typing import Literal, Protocol

import msgspec

from oms.agent.guests.copies import Copies
from oms.agent.guests.devices import Devices
from oms.agent.guests.guests import Capacity as Capacity
from oms.agent.guests.guests import Change as Change
from oms.agent.guests.guests import DiskUse as DiskUse
from oms.agent.guests.guests import Guests as Guests
from oms.agent.guests.guests import MemoryUse as MemoryUse
from oms.agent.guests.guests import NetworkUse as NetworkUse
from oms.agent.guests.guests import Progress as Progress
from oms.agent.guests.guests import Stat as Stat
from oms.agent.guests.guests import State as State
from oms.agent.guests.guests import Use as Use
from oms.agent.guests.moves import Moves
from oms.agent.guests.parts import Definition as Definition
from oms.agent.guests.parts import Disk as Disk
from oms.agent.guests.parts import Nic as Nic
from oms.agent.guests.parts import VncServer as VncServer
from oms.agent.guests.snapshots import Snapshots

DomainType = Literal["kvm", "qemu"]
"""How machines are run: by the processor itself, or emulated."""

End = Literal["", "guest", "poweroff", "reboot", "destroyed", "crashed"]
"""How a machine ended that is off: by its guest, which turned it off, or restarted it where its definition says
that this is the end, or by its guest in one way or the other, which nobody heard; `destroyed`: its power was taken
away; `crashed`: its process died. "" where nothing is known."""

Asking = Literal["button", "agent"]
"""How a guest is asked to shut down: by its power button (ACPI), or through the agent in it."""


class Capabilities(msgspec.Struct, frozen=True):
    """What a hypervisor can do to a machine while it runs."""

    domain_type: DomainType
    live_memory: bool
    """Memory changes, up to what the machine was started with."""
    live_vcpus_up: bool
    """CPUs are added, up to the maximum that the machine was started with."""
    live_vcpus_down: bool
    """CPUs are taken away again."""


class MachineState(msgspec.Struct, frozen=True):
    """One line of the list of machines."""

    uuid: str
    name: str
    state: State
    vcpus: int
    memory_kb: int
    """What it has now; what it starts with where it is off."""
    max_memory_kb: int
    cpu_time_ns: int
    """Since its start; 0 where it is off."""

    @property
    def key(self) -> str:
        """Its UUID."""
        return self.uuid


class Machine(msgspec.Struct, frozen=True):
    """A machine in full. It has one definition at least."""

    uuid: str
    name: str
    state: State
    live: Definition | None
    """As it runs now; None where it is off."""
    kept: Definition | None
    """As it will start next; None for a machine that will be gone when it stops."""
    autostart: bool = False
    """It starts with the host."""
    saved: bool = False
    """It is off, and what it was doing is kept: started, it goes on from there."""
    ended: End = ""
    """How it ended, where it is off."""
    run: int = 0
    """Which of its runs this is: another number after each start, 0 while it is off."""


class Machines(Guests[Machine], Snapshots, Copies, Devices, Moves, Protocol):
    """The virtual machines of this host.

    Methods with an `on_progress` take as long as they take. Cancelled, they take back what they began before that
    is told; where it was too late for that, they have done it and return.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this hypervisor can do."""

    async def states(self) -> list[MachineState]:
        """All machines, as they were at some moment after the call began."""

    async def emulator(self) -> str:
        """The program that runs machines here."""

    def console(self, uuid: str) -> tuple[str, ...]:
        """The program that, run with a terminal, is a running machine's text console; whoever had it loses it."""

    async def networks(self) -> frozenset[str]:
        """The names of the hypervisor's own networks that are active now."""

    async def find(self, name: str, /) -> Machine:
        """The machine of that name, or else of that uuid. Raises NoSuchMachine."""

    async def disk_sizes(self, machine: Machine) -> dict[str, int]:
        """Bytes of each disk as its guest sees it, by the drive's name; what cannot be told is left out."""

    async def all(self) -> list[Machine]:
        """All machines in full; slow where there are many."""

    async def start(self, uuid: str, /) -> None:
        """Start it, from its saved state where it has one. One that runs stays so."""

    async def start_once(self, uuid: str, xml: str) -> None:
        """Start it from another definition than the kept one, for this run alone. One that runs stays so."""

    async def ask_off(self, uuid: str, how: Asking) -> None:
        """Ask the guest to shut down. It does so in its own time, or does not."""

    async def reset(self, uuid: str) -> None:
        """Start a running machine anew at once, as by its reset button."""

    async def save(self, uuid: str, on_progress: Progress) -> None:
        """Put what a running machine is doing on the host's disk, and end it; broken off, it goes on running."""

    async def forget_saved(self, uuid: str) -> None:
        """Drop what was saved of it: it will boot when it is started."""

    async def settle(self, uuid: str) -> None:
        """Wait until a long change that an earlier run of the agent began has come to its end, whichever."""

    async def define(self, xml: str) -> str:
        """Make a machine from a definition in libvirt's XML, or put that in place of its present one; its uuid."""

    async def undefine(self, uuid: str) -> None:
        """Forget a machine that is off, with all that is kept for it but its disks."""

    async def redefine(self, uuid: str, *, vcpus: int | None, memory_kb: int | None) -> None:
        """Change what it starts with next: all that is given, or nothing."""

    async def set_live_vcpus(self, uuid: str, vcpus: int) -> None:
        """Change the CPUs of a running machine. Raises GuestDidNotReact where its process does not do it soon."""

    async def set_live_memory(self, uuid: str, memory_kb: int) -> None:
        """Change the memory of a running machine; the guest follows in its own time. Raises GuestDidNotReact where
        the machine's process does not take it soon."""
