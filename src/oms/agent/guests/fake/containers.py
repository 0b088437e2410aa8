"""Containers that are in memory alone; `reacts` says whether an init shuts its container down when it is asked."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from oms.agent.guests import Capacity, Change, DiskUse, MemoryUse, NetworkUse, Stat, Use
from oms.agent.guests.containers import (
    Container,
    ContainerCapabilities,
    ContainerChange,
    ContainerSettings,
    ContainerState,
    Network,
    NewContainer,
    changed,
)
from oms.agent.guests.fake.listeners import Listeners
from oms.agent.guests.fake.rhythm import STILL, Rhythm
from oms.contract.errors import AlreadyThere, ContainerIsOff, FuncManError, NoSuchContainer

What = Literal["defined", "removed", "started", "stopped", "paused", "resumed"]


@dataclass
class _Kept:
    settings: ContainerSettings
    rootfs: Path
    network: Network
    job: str = ""
    live: ContainerSettings | None = None
    paused: bool = False
    ours: bool = True
    files: dict[str, str] = field(default_factory=dict)
    rhythm: Rhythm = STILL
    since: float = 0


class FakeContainers:
    """See the Protocol `Containers` for what each method does."""

    def __init__(self, home: Path, *, reacts: bool = True, capacity: Capacity | None = None) -> None:
        """Root file systems are empty directories in `home`."""
        self.home, self.reacts = home, reacts
        self.capabilities = ContainerCapabilities("fake", pause=True, disk_limit="subvolume")
        self._capacity = capacity or Capacity(cpus=4, max_vcpus=4, available_memory_kb=8 * 1024**2)
        self._kept: dict[str, _Kept] = {}
        self._listeners = Listeners()

    def put(self, ctid: str, settings: ContainerSettings, rhythm: Rhythm, *, runs: bool) -> None:
        """Have a container as if it had been there before; its root file system may be missing."""
        kept = _Kept(settings, self.home / ctid, Network("routed", "venet0"), rhythm=rhythm)
        self._kept[ctid] = kept
        if runs:
            kept.live, kept.since = settings, time.time()

    async def states(self) -> list[ContainerState]:
        """All containers, in the order of their ids."""
        return [self._state(ctid, kept) for ctid, kept in sorted(self._kept.items())]

    async def use(self, wanted: frozenset[Stat]) -> dict[str, Use]:
        """By the rhythm of each."""
        moment = time.time()
        return {ctid: _use(kept, wanted, moment) for ctid, kept in self._kept.items()}

    async def addresses(self) -> dict[str, tuple[str, ...]]:
        """As they are set."""
        return {ctid: kept.settings.addresses for ctid, kept in self._kept.items()}

    async def capacity(self) -> Capacity:
        """As it was made with."""
        return self._capacity

    async def find(self, name: str, /) -> Container:
        """The container of that id."""
        kept = self._of(name)
        return Container(
            ctid=name,
            state=self._state(name, kept).state,
            settings=kept.settings,
            live=kept.live,
            rootfs=kept.rootfs,
            ids=(),
            network=kept.network,
            disk_limit=self.capabilities.disk_limit,
            ours=kept.ours,
            pid=1 if kept.live else 0,
        )

    async def start(self, ctid: str, /) -> None:
        """It runs at once."""
        kept = self._of(ctid)
        if kept.live is None:
            kept.live, kept.since = kept.settings, time.time()
            self._tell(ctid, "started")
        elif kept.paused:
            await self.resume(ctid)

    async def stop(self, ctid: str, /) -> None:
        """It is off at once."""
        kept = self._of(ctid)
        if kept.live is not None:
            kept.live, kept.paused = None, False
            self._tell(ctid, "stopped")

    async def ask_off(self, ctid: str, /) -> None:
        """It goes off soon, if it reacts."""
        if self._of(ctid).live is not None and self.reacts:
            await self.stop(ctid)

    async def goes_off(self, ctid: str, /, *, seconds: float) -> bool:
        """It has, or never will."""
        off = self._of(ctid).live is None
        if not off:
            await asyncio.sleep(seconds)
        return off

    async def pause(self, ctid: str, /) -> None:
        """It stands still."""
        self._running(ctid).paused = True
        self._tell(ctid, "paused")

    async def resume(self, ctid: str, /) -> None:
        """It goes on."""
        self._running(ctid).paused = False
        self._tell(ctid, "resumed")

    async def set_autostart(self, ctid: str, /, *, on: bool) -> None:
        """Remembered, and nothing more."""
        await self.configure(ctid, ContainerChange(onboot=on))

    async def configure(self, ctid: str, change: ContainerChange, /) -> None:
        """Change what it starts with next."""
        kept = self._of(ctid)
        kept.settings = changed(kept.settings, change)
        if change.password is not None:
            kept.files["password"] = change.password.reveal()

    async def set_live(self, ctid: str, change: ContainerChange, /) -> dict[str, str]:
        """Everything can be changed at once but the host name."""
        kept = self._running(ctid)
        assert kept.live is not None
        kept.live = changed(kept.live, msgspec.structs.replace(change, hostname=None))
        return {} if change.hostname is None else {"hostname": "its name is given at its start"}

    async def prepare(self, job: str, disk_kb: int, /) -> Path:  # noqa: ARG002 - nothing is written here
        """An empty directory."""
        place = self._staging(job)
        place.mkdir(parents=True, exist_ok=True)
        return place

    async def discard(self, job: str, /) -> None:
        """Take the directory away."""
        shutil.rmtree(self._staging(job).parent, ignore_errors=True)

    async def create(self, job: str, new: NewContainer, /) -> None:
        """Move the directory, and remember."""
        there = self._kept.get(new.ctid)
        if there is not None and there.job == job:
            return
        if there is not None:
            raise AlreadyThere(f"There is a container {new.ctid} already: choose another id", container=new.ctid)
        if not self._staging(job).is_dir():
            raise FuncManError("Nothing was prepared for that container")
        rootfs = self.home / new.ctid
        self._staging(job).rename(rootfs)
        self._staging(job).parent.rmdir()
        network = Network("bridge" if new.bridge else "routed", "eth0" if new.bridge else "venet0", new.bridge)
        self._kept[new.ctid] = _Kept(new.settings, rootfs, network, job)
        if new.password is not None:
            self._kept[new.ctid].files["password"] = new.password.reveal()
        self._tell(new.ctid, "defined")

    async def destroy(self, ctid: str, /) -> None:
        """Forget it."""
        if self._of(ctid).live is not None:
            raise FuncManError(f"Container {ctid} runs: stop it first", container=ctid)
        shutil.rmtree(self._kept.pop(ctid).rootfs, ignore_errors=True)
        self._tell(ctid, "removed")

    async def sweep(self, open_jobs: Iterable[str], /) -> list[Path]:
        """Take away what was prepared for other jobs."""
        stale = [place for place in (self.home / ".staging").glob("*") if place.name not in set(open_jobs)]
        for place in stale:
            shutil.rmtree(place, ignore_errors=True)
        return stale

    async def console(self, ctid: str, /) -> tuple[str, ...]:
        """A program that says so."""
        self._running(ctid)
        return ("echo", f"container {ctid} is a fake")

    def on_change(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call back at each change."""
        return self._listeners.add(callback)

    async def close(self) -> None:
        """Nothing is held."""

    def _staging(self, job: str) -> Path:
        return self.home / ".staging" / job / "rootfs"

    def _of(self, ctid: str) -> _Kept:
        if (kept := self._kept.get(ctid)) is None:
            raise NoSuchContainer(f"There is no container {ctid} on this host", container=ctid)
        return kept

    def _running(self, ctid: str) -> _Kept:
        kept = self._of(ctid)
        if kept.live is None:
            raise ContainerIsOff(f"Container {ctid} is off", container=ctid)
        return kept

    def _state(self, ctid: str, kept: _Kept) -> ContainerState:
        now = kept.live or kept.settings
        return ContainerState(
            ctid=ctid,
            name=now.hostname or ctid,
            state="shutdown" if kept.live is None else "paused" if kept.paused else "running",
            vcpus=now.vcpus or self._capacity.cpus,
            memory_kb=now.memory_kb // 2 if kept.live else 0,
            max_memory_kb=now.memory_kb,
            cpu_time_ns=_busy_ns(kept, now.vcpus or self._capacity.cpus) if kept.live else 0,
        )

    def _tell(self, ctid: str, what: What) -> None:
        self._listeners.tell(Change(ctid, ctid, what))


def _busy_ns(kept: _Kept, cpus: int) -> int:
    return 1 + int(1e9 * cpus * kept.rhythm.seconds(kept.since, time.time()))


def _use(kept: _Kept, wanted: frozenset[Stat], moment: float) -> Use:
    addresses = kept.settings.addresses
    network = NetworkUse(kept.network.name, addresses[0] if addresses else "") if "network" in wanted else None
    if kept.live is None:
        return Use(network=network)
    load, most_kb, disk_kb = kept.rhythm.at(moment), kept.live.memory_kb, kept.live.disk_kb
    return Use(
        cpu_percent=100 * load if "cpu" in wanted else None,
        memory=MemoryUse(int(most_kb * (0.3 + 0.5 * load)), most_kb) if "memory" in wanted else None,
        disk=DiskUse(disk_kb // 3, disk_kb) if "df" in wanted and disk_kb else None,
        network=network,
    )
