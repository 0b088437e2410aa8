"""Snapshots of machines that are in memory alone."""

import time
from typing import Protocol

from msgspec.structs import replace

from oms.agent.guests import Definition, State
from oms.agent.guests.snapshots import Snapshot
from oms.contract.errors import NotThere


class Owner(Protocol):
    """A machine, as far as its snapshots go."""

    kept: Definition | None

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def now(self) -> Definition:
        """As it is."""

    @property
    def state(self) -> State:
        """How it is."""


class FakeSnapshots:
    """See the Protocol `Snapshots` for what each method does."""

    _snapshots: dict[str, list[Snapshot]]

    def _of(self, uuid: str) -> Owner:
        raise NotImplementedError

    async def snapshots(self, uuid: str) -> list[Snapshot]:
        """The oldest first."""
        self._of(uuid)
        return list(self._snapshots.get(uuid, ()))

    async def create_snapshot(self, uuid: str, name: str, description: str) -> None:
        """It is there at once."""
        machine, before = self._of(uuid), self._snapshots.get(uuid, [])
        new = Snapshot(
            name=name,
            description=description,
            created=int(time.time()),
            state="shutdown" if machine.state == "shutdown" else "running",
            parent=next((one.name for one in before if one.current), ""),
            current=True,
            internal=True,
            disks=tuple(disk.target for disk in machine.now.disks),
            definition=machine.now,
        )
        self._snapshots[uuid] = [*(replace(one, current=False) for one in before), new]

    async def revert_snapshot(self, uuid: str, name: str) -> None:
        """What it was made of then counts from its next start on."""
        chosen = self._one(uuid, name)
        self._of(uuid).kept = chosen.definition
        self._snapshots[uuid] = [replace(one, current=one.name == name) for one in self._snapshots[uuid]]

    async def delete_snapshot(self, uuid: str, name: str) -> None:
        """Those upon it are upon the one below from now on."""
        gone = self._one(uuid, name)
        self._snapshots[uuid] = [
            replace(one, parent=gone.parent) if one.parent == name else one
            for one in self._snapshots[uuid]
            if one.name != name
        ]

    def _one(self, uuid: str, name: str) -> Snapshot:
        for snapshot in self._snapshots.get(uuid, ()):
            if snapshot.name == name:
                return snapshot
        raise NotThere(f"Machine {self._of(uuid).name!r} has no snapshot {name!r}", snapshot=name)
