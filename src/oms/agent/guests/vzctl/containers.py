"""Containers through vzctl: the port's methods. OpenVZ keeps the state; nothing is remembered here.

A new one is prepared beside OpenVZ's private areas, and is there once its configuration file has its name: until
then no program of OpenVZ's knows it.
"""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from oms import durable
from oms.agent.guests import Capacity, Change, Stat, Use
from oms.agent.guests.containers import (
    Container,
    ContainerCapabilities,
    ContainerChange,
    ContainerState,
    Network,
    NewContainer,
)
from oms.agent.guests.joined import Joined
from oms.agent.guests.load import CpuLoad
from oms.agent.guests.system_files import set_password
from oms.agent.guests.vzctl import listing, words
from oms.agent.guests.vzctl.listing import Row
from oms.agent.guests.vzctl.programs import LONG_SECONDS, NOT_RUNNING, RUNNING, Programs
from oms.agent.guests.watching import Watching
from oms.agent.host.files import STAGING
from oms.agent.host.foreign_root import Unfit
from oms.agent.host.memory import available_memory_kb, total_memory_kb
from oms.contract.errors import AlreadyThere, ContainerIsOff, FuncManError, NoSuchContainer

ROUTED, BRIDGED = "venet0", "eth0"
ROOTFS, MARK = "rootfs", "container"
LOOK_SECONDS = 0.2
PRIVATE, ROOT = "/vz/private/$VEID", "/vz/root/$VEID"
FIRST_PROCESS = "1"
WATCH_SECONDS = 5.0
"""A program is run for each look: OpenVZ tells nobody of changes."""


class VzContainers:
    """The containers of this host's OpenVZ; see the Protocol `Containers` for what each method does."""

    def __init__(
        self,
        programs: Programs | None = None,
        etc: Path = Path("/etc/vz"),
        proc: Path = Path("/proc"),
        *,
        sends: bool = False,
    ) -> None:
        """`etc`: where vz.conf is; `proc`: the kernel's files; `sends`: vzmigrate may be used."""
        self._sends = sends
        self._programs, self._etc, self._proc = programs or Programs(), etc, proc
        self._list = Joined(self._programs.list)
        self._watching = Watching(self._running, WATCH_SECONDS)
        self._load = CpuLoad()
        self._cpus = os.cpu_count() or 1

    @property
    def capabilities(self) -> ContainerCapabilities:
        """What OpenVZ can do."""
        return ContainerCapabilities(backend="openvz", pause=True, disk_limit="openvz", sends=self._sends)

    @property
    def home(self) -> Path:
        """Where the private areas are."""
        return words.place(self._settings(), "VE_PRIVATE", PRIVATE, "0").parent

    async def close(self) -> None:
        """Nothing is held but the watch."""
        await self._watching.close()

    def on_change(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call back in the event loop at each change; those made by others are seen within seconds."""
        return self._watching.listen(callback)

    async def states(self) -> list[ContainerState]:
        """All containers, by one call of vzlist."""
        times = await asyncio.to_thread(self._times)
        return [self._state(row, times) for row in (await self._list()).values()]

    async def use(self, wanted: frozenset[Stat]) -> dict[str, Use]:
        """What they use, by the same call."""
        found, times = await self._list(), await asyncio.to_thread(self._times)
        self._load.forget_all_but({ctid for ctid, row in found.items() if row.state == "running"})
        total_kb, now_ns = total_memory_kb(), time.monotonic_ns()
        return {ctid: self._use(row, wanted, times, total_kb, now_ns) for ctid, row in found.items()}

    async def addresses(self) -> dict[str, tuple[str, ...]]:
        """As OpenVZ lists them."""
        return {ctid: row.settings.addresses for ctid, row in (await self._list()).items()}

    async def capacity(self) -> Capacity:
        """What this host has for containers now."""
        return Capacity(cpus=self._cpus, max_vcpus=self._cpus, available_memory_kb=available_memory_kb())

    async def find(self, name: str, /) -> Container:
        """The container of that id."""
        row = await self._row(name)
        on = row.state != "shutdown"
        return Container(
            ctid=row.id,
            state=row.state,
            settings=row.settings,
            live=row.settings if on else None,
            rootfs=row.rootfs,
            ids=(),
            network=await asyncio.to_thread(self._network, row),
            disk_limit="openvz",
            ours=bool(row.job),
            pid=await asyncio.to_thread(self._pid, row.id) if row.state == "running" else 0,
        )

    async def start(self, ctid: str, /) -> None:
        """Start it; one that stands still goes on."""
        if (await self._row(ctid)).state == "paused":
            await self.resume(ctid)
            return
        await self._programs.change(ctid, "start", fine=RUNNING)
        if (await self._row(ctid)).state == "shutdown":
            raise FuncManError(f"Container {ctid} was started, and ended at once", container=ctid)
        self._watching.look()

    async def stop(self, ctid: str, /) -> None:
        """End it at once. What stands still has to go on for that: OpenVZ has its memory on the disk."""
        row = await self._row(ctid)
        if row.state == "paused":
            await self._programs.change(ctid, "restore", seconds=LONG_SECONDS)
        if row.state != "shutdown":
            await self._programs.change(ctid, "stop", "--fast", fine=NOT_RUNNING)
        self._watching.look()

    async def ask_off(self, ctid: str, /) -> None:
        """Have it halt from inside, as vzctl's own stop does, and do not wait."""
        if (await self._row(ctid)).state == "running":
            await self._programs.change(ctid, "exec", "halt", fine=NOT_RUNNING)

    async def goes_off(self, ctid: str, /, *, seconds: float) -> bool:
        """Ask until it is off, or the time is over."""
        end = time.monotonic() + seconds
        while (await self._row(ctid)).state != "shutdown":
            if time.monotonic() > end:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        self._watching.look()
        return True

    async def pause(self, ctid: str, /) -> None:
        """Put it on the disk with all that it is doing."""
        row = await self._row(ctid)
        if row.state == "shutdown":
            raise _off(ctid)
        if row.state == "running":
            await self._programs.change(ctid, "chkpnt", seconds=LONG_SECONDS)
        self._watching.look()

    async def resume(self, ctid: str, /) -> None:
        """Let it go on from there."""
        row = await self._row(ctid)
        if row.state == "shutdown":
            raise _off(ctid)
        if row.state == "paused":
            await self._programs.change(ctid, "restore", seconds=LONG_SECONDS)
        self._watching.look()

    async def set_autostart(self, ctid: str, /, *, on: bool) -> None:
        """Whether it starts with the host."""
        await self.configure(ctid, ContainerChange(onboot=on))

    async def configure(self, ctid: str, change: ContainerChange, /) -> None:
        """Change it for good; vzctl changes a running one at once by the same."""
        await self._row(ctid)
        if options := words.options(change):
            await self._programs.change(ctid, "set", *options, "--save", "--setmode", "ignore")
        if change.password is not None:
            await self._set_password(ctid, change)

    async def set_live(self, ctid: str, change: ContainerChange, /) -> dict[str, str]:  # noqa: ARG002
        """It was done already, together with `configure`."""
        if (await self._row(ctid)).state == "shutdown":
            raise _off(ctid)
        return {}

    async def prepare(self, job: str, disk_kb: int, /) -> Path:  # noqa: ARG002 - OpenVZ holds it once it is one
        """A directory beside the private areas."""
        place = self._staging(job) / ROOTFS
        await asyncio.to_thread(self._open, place)
        return place

    async def discard(self, job: str, /) -> None:
        """Take it away."""
        await asyncio.to_thread(self._remove, self._staging(job))

    async def create(self, job: str, new: NewContainer, /) -> None:
        """Give the private area its place, and then the configuration file its name."""
        there = (await self._list()).get(new.ctid)
        if there is not None and there.job == job:
            return
        if there is not None or not new.ctid.isdigit():
            raise AlreadyThere(f"There is a container {new.ctid} already: choose another id", container=new.ctid)
        try:
            await asyncio.to_thread(self._complete, job, new)
        except (Unfit, words.Unsafe) as unfit:
            raise FuncManError(f"Container {new.ctid} cannot be made: {unfit}", container=new.ctid) from unfit
        except OSError as error:
            raise FuncManError(f"Container {new.ctid} cannot be made: {error.strerror}") from error
        self._watching.look()

    async def destroy(self, ctid: str, /) -> None:
        """Delete its files, and its configuration."""
        if (await self._row(ctid)).state != "shutdown":
            raise FuncManError(f"Container {ctid} runs, and only one that is off is removed", container=ctid)
        await self._programs.change(ctid, "destroy", seconds=LONG_SECONDS)
        self._watching.look()

    async def sweep(self, open_jobs: Iterable[str], /) -> list[Path]:
        """What no job will go on with."""
        kept = set(open_jobs)
        stale = [place for place in (self.home / STAGING).glob("*") if place.name not in kept]
        for place in stale:
            await asyncio.to_thread(self._remove, place)
        return stale

    async def console(self, ctid: str, /) -> tuple[str, ...]:
        """A shell of root's in it."""
        if (await self._row(ctid)).state != "running":
            raise _off(ctid)
        return (*self._programs.vzctl, "enter", ctid)

    async def send(self, ctid: str, target: str, tell: Callable[[str], None], /) -> None:
        """By vzmigrate."""
        await self._row(ctid)
        await self._programs.send(ctid, target, tell)
        self._watching.look()

    async def is_sending(self, ctid: str, /) -> bool:
        """Looked up in the list of processes: the program outlives the agent that started it."""
        return await asyncio.to_thread(self._programs.sends, ctid, self._proc)

    # --- what is asked

    async def _row(self, ctid: str) -> Row:
        row = (await self._list()).get(ctid)
        if row is None:
            raise NoSuchContainer(f"There is no container {ctid!r} on this host", container=ctid)
        return row

    async def _running(self) -> dict[str, bool]:
        return {ctid: row.state != "shutdown" for ctid, row in (await self._list()).items()}

    def _state(self, row: Row, times: dict[str, int]) -> ContainerState:
        return ContainerState(
            ctid=row.id,
            name=row.hostname or row.name or row.id,
            state=row.state,
            vcpus=row.cpus or self._cpus,
            memory_kb=row.physpages.held * listing.PAGE_KB if row.physpages and row.state == "running" else 0,
            max_memory_kb=row.settings.memory_kb,
            cpu_time_ns=times.get(row.id, 0) if row.state == "running" else 0,
        )

    def _use(self, row: Row, wanted: frozenset[Stat], times: dict[str, int], total_kb: int, now_ns: int) -> Use:
        network = listing.interface(row, ROUTED) if "network" in wanted else None
        if row.state != "running":
            return Use(network=network)
        cpus = row.cpus or self._cpus
        used_ns = times.get(row.id, 0)
        return Use(
            cpu_percent=self._load.percent(row.id, used_ns=used_ns, vcpus=cpus, at_ns=now_ns)
            if "cpu" in wanted
            else None,
            memory=listing.memory(row, total_kb) if "memory" in wanted else None,
            disk=listing.disk(row) if "df" in wanted else None,
            network=network,
        )

    def _times(self) -> dict[str, int]:
        try:
            return listing.cpu_times((self._proc / "vz/vestat").read_text())
        except OSError:
            return {}

    def _pid(self, ctid: str) -> int:
        """Its first process, as the host numbers it: the kernel writes into each whose it is."""
        for status in self._proc.glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                told = dict(line.partition(":")[::2] for line in status.read_text().splitlines())
                if told.get("envID", "").strip() == ctid and told.get("VPid", "").strip() == FIRST_PROCESS:
                    return int(status.parent.name)
        return 0

    def _network(self, row: Row) -> Network:
        try:
            bridge, mac = listing.network_of(self._conf(row.id).read_text(errors="replace"))
        except OSError:
            bridge, mac = "", ""
        if bridge or mac:
            return Network("bridge" if bridge else "other", BRIDGED, bridge, mac)
        return Network("routed", ROUTED)

    # --- what is made

    def _settings(self) -> dict[str, str]:
        try:
            return words.assignments((self._etc / "vz.conf").read_text(errors="replace"))
        except OSError:
            return {}

    def _conf(self, ctid: str) -> Path:
        return self._etc / "conf" / f"{ctid}.conf"

    def _staging(self, job: str) -> Path:
        return self.home / STAGING / job

    def _open(self, place: Path) -> None:
        place.parent.parent.mkdir(mode=0o700, exist_ok=True)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        place.mkdir(mode=0o755, exist_ok=True)

    def _complete(self, job: str, new: NewContainer) -> None:
        settings, staging = self._settings(), self._staging(job)
        private = words.place(settings, "VE_PRIVATE", PRIVATE, new.ctid)
        root = words.place(settings, "VE_ROOT", ROOT, new.ctid)
        sample = self._etc / "conf" / f"ve-{settings.get('CONFIGFILE', 'basic')}.conf-sample"
        base = sample.read_text(errors="replace") if sample.is_file() else ""
        text = words.configuration(new, job, base, private, root)
        rootfs, mark = staging / ROOTFS, staging / MARK
        if rootfs.is_dir():
            if new.password is not None:
                set_password(rootfs, (), new.password)
            durable.write_whole(mark, new.ctid.encode())
            rootfs.rename(private)
        elif not (mark.is_file() and mark.read_text() == new.ctid and private.is_dir()):
            raise Unfit("nothing was prepared for it")
        root.mkdir(parents=True, exist_ok=True)
        durable.write_whole(self._conf(new.ctid), text.encode(), 0o644)

    def _remove(self, staging: Path) -> None:
        """With the private area that was given its place, if that has not become a container."""
        with contextlib.suppress(OSError):
            ctid = (staging / MARK).read_text()
            if ctid.isdigit() and not (staging / ROOTFS).exists() and not self._conf(ctid).exists():
                private = words.place(self._settings(), "VE_PRIVATE", PRIVATE, ctid)
                shutil.rmtree(private, ignore_errors=True)
        shutil.rmtree(staging, ignore_errors=True)

    async def _set_password(self, ctid: str, change: ContainerChange) -> None:
        """In its own file, and not by vzctl, whose arguments everybody on the host could read."""
        assert change.password is not None
        row = await self._row(ctid)
        mounts = row.rootfs is None
        if mounts:
            await self._programs.change(ctid, "mount")
            row = await self._row(ctid)
        try:
            if row.rootfs is None:
                raise FuncManError(f"The files of container {ctid} cannot be seen on the host", container=ctid)
            await asyncio.to_thread(set_password, row.rootfs, (), change.password)
        except (Unfit, OSError) as unfit:
            raise FuncManError(f"Root's password in container {ctid} is as it was: {unfit}") from unfit
        finally:
            if mounts:
                await self._programs.change(ctid, "umount")


def _off(ctid: str) -> ContainerIsOff:
    return ContainerIsOff(f"Container {ctid} is off; start it with start_vm first", container=ctid)
