"""The port to the hypervisors, continued: what machines were at certain moments, kept to go back to."""

from typing import Literal, Protocol

import msgspec

from oms.agent.guests.parts import Definition


class Snapshot(msgspec.Struct, frozen=True):
    """A machine as it was at a moment."""

    name: str
    description: str
    created: int
    """Seconds since 1970."""
    state: Literal["running", "paused", "shutdown", "disks"]
    """What the machine did then; `disks` where only its disks were kept."""
    parent: str
    """The snapshot that it was made upon; "" for a first one."""
    current: bool
    """The machine as it is was made upon this one."""
    internal: bool
    """All of it lies in the machine's own disk images."""
    disks: tuple[str, ...]
    """The targets of the drives that are in it."""
    definition: Definition
    """What the machine was made of."""


class Snapshots(Protocol):
    """What a hypervisor can do with snapshots. Every method may raise what `Machines` says, and those with the
    name of a snapshot NotThere."""

    async def snapshots(self, uuid: str) -> list[Snapshot]:
        """Those of one machine, the oldest first."""

    async def create_snapshot(self, uuid: str, name: str, description: str) -> None:
        """Keep a machine as it is, with its memory where it is on, in its own disk images; takes as long as that
        takes, and a running machine stands still meanwhile."""

    async def revert_snapshot(self, uuid: str, name: str) -> None:
        """Put a machine back into what it was; what it is now is lost."""

    async def delete_snapshot(self, uuid: str, name: str) -> None:
        """Drop a snapshot; those upon it stay."""
