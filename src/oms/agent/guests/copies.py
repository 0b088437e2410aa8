"""The port to the hypervisors, copies: the disks of a running machine as they all are at one moment.

The machine goes on with its own disks, which are never put in place of others: whatever breaks off, there is
nothing to be undone in the machine.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol


class Copies(Protocol):
    """What a hypervisor can do with copies. Every method may raise what `Machines` says."""

    async def copy_disks(self, uuid: str, files: Mapping[str, Path], on_progress: Callable[[float], None]) -> None:
        """Copy disks, by their targets, into new qcow2 files; comes back when they are whole. What the guest has
        not written yet is not in them, as after a power cut. Cancelled, it is broken off."""

    async def end_copy(self, uuid: str, directory: Path) -> None:
        """Break off a copy into that directory, which an earlier run of the agent may have begun."""
