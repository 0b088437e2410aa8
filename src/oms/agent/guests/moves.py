"""The port to the hypervisors, continued: machines on their way from one host to another.

The two hypervisors speak with each other through sockets in a directory that each agent makes on its own host, and
whose bytes the agents carry. What comes in over such a socket is another host's: `Doorkeeper` lets through only
what this one move needs, in this host's own words.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

CONTROL, MEMORY, DISKS = "control", "memory", "disks"
"""The sockets, and what goes through each: the hypervisors' own words, the machine's memory, its disks."""


class Portable(msgspec.Struct, frozen=True):
    """A machine's definitions as another host can read them, with its secrets: as it runs ("" where it is off),
    and as it will start next."""

    live: str
    kept: str


class Admission(msgspec.Struct, frozen=True):
    """What may come in: this machine, by this definition, its memory and disks through the sockets in that
    directory, and of its disks those by these targets."""

    name: str
    definition: str
    sockets: Path
    copied: tuple[str, ...]


class Doorkeeper(Protocol):
    """Reads what another host's hypervisor says to this one's."""

    def let_through(self, said: bytes) -> bytes:
        """What of it may go on now; it may come in any parts. Raises NotSupported for what may not."""


class Moves(Protocol):
    """What a hypervisor can do with machines that come and go. Every method may raise what `Machines` says."""

    async def portable(self, uuid: str) -> Portable:
        """A machine's definitions."""

    async def check_fits(self, definition: str) -> None:
        """See that a machine of that definition could run here. Raises FuncManError."""

    async def send_away(
        self,
        uuid: str,
        definition: str,
        sockets: Path,
        copied: tuple[str, ...],
        on_progress: Callable[[float], None],
    ) -> None:
        """Have a running machine go on elsewhere, by that definition, through the sockets in a directory, disks by
        these targets copied and all others left where they are. It stands still there until it is told to go on.
        Cancelled, it runs on here; where it has gone already, that is no error."""

    async def has_left(self, uuid: str) -> bool:
        """Whether a machine is off here for no other reason than that it has arrived elsewhere whole."""

    async def has_arrived(self, uuid: str) -> bool:
        """Whether a machine has come whole, and stands still until it is told to go on."""

    async def drop_arrived(self, uuid: str) -> None:
        """End a machine that has come, or is coming, and was not kept; one that is not there is fine."""

    def doorkeeper(self, admission: Admission) -> Doorkeeper:
        """For one connection."""

    def door(self) -> Path:
        """The socket at which the hypervisor of this host takes what others say to it."""

    async def socket_owner(self) -> tuple[int, int]:
        """The user and group that machines run as, who must get at the sockets."""
