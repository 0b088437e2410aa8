"""All containers in one pass: nothing is started and nothing entered for any of them.

What costs most, which configuration file says what and in which control groups a process is, is remembered for as
long as the file and the process are the same.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from oms.agent.guests import DiskUse, MemoryUse, NetworkUse, Stat, State, Use
from oms.agent.guests.containers import Container, ContainerSettings, ContainerState
from oms.agent.guests.load import CpuLoad
from oms.agent.guests.lxc import cgroups, config, disks, images, network
from oms.agent.guests.lxc.cgroups import Groups
from oms.agent.guests.lxc.config import Config
from oms.agent.guests.lxc.monitor import Monitors, Process
from oms.agent.guests.system_files import resolver
from oms.contract.errors import FuncManError, HypervisorUnavailable, NoSuchContainer

LARGEST_CONFIG = 1024 * 1024
CONFIG = "config"


class Seen(msgspec.Struct, frozen=True):
    """A container at one moment."""

    ctid: str
    config: Config
    runs: bool
    process: Process | None
    """Its first; None where it is off, or cannot be told."""
    groups: Groups


class Looking:
    """The containers of one of LXC's paths. Called in threads."""

    def __init__(self, path: Path, online: tuple[int, ...]) -> None:
        """`online`: the CPUs that containers may run on."""
        self._path, self._online = path, online
        self._monitors = Monitors(path)
        self._configs: dict[str, tuple[tuple[int, int, int], Config]] = {}
        self._groups: dict[Process, Groups] = {}
        self._load = CpuLoad()

    def all(self) -> list[Seen]:
        """Every container, in the order of their ids."""
        configs = dict(self.configs())
        running = self._monitors.running(frozenset(configs))
        seen = [self._seen(ctid, known, running) for ctid, known in configs.items()]
        there = {one.process for one in seen}
        self._groups = {process: groups for process, groups in self._groups.items() if process in there}
        self._configs = {name: known for name, known in self._configs.items() if name in configs}
        return sorted(seen, key=lambda one: _order(one.ctid))

    def configs(self) -> list[tuple[str, Config]]:
        """How they are set up."""
        return [(name, found) for name in self.names() if (found := self._config(name)) is not None]

    def one(self, ctid: str) -> Seen:
        """That container. Raises NoSuchContainer."""
        known = self._config(ctid) if "/" not in ctid and not ctid.startswith(".") else None
        if known is None:
            raise NoSuchContainer(f"There is no container {ctid!r} on this host", container=ctid)
        runs, process = self._monitors.one(ctid)
        return self._seen(ctid, known, {ctid: process} if runs else {})

    def names(self) -> list[str]:
        """The directories of containers, and of what may be none."""
        try:
            with os.scandir(self._path) as entries:
                return [entry.name for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            raise HypervisorUnavailable(
                f"The directory of this host's containers cannot be read: {error.strerror}", outcome="nothing"
            ) from error

    def running(self) -> dict[str, bool]:
        """Which containers there are, and which of them run."""
        names = frozenset(name for name in self.names() if (self._path / name / CONFIG).exists())
        running = self._monitors.running(names)
        return {name: name in running for name in names}

    def text(self, ctid: str) -> str:
        """A container's configuration file. Raises NoSuchContainer, FuncManError."""
        try:
            content = (self._path / ctid / CONFIG).read_bytes()
        except FileNotFoundError:
            raise NoSuchContainer(f"There is no container {ctid!r} on this host", container=ctid) from None
        except OSError as error:
            raise FuncManError(
                f"The configuration of container {ctid} cannot be read: {error.strerror}"
            ) from error
        return content[:LARGEST_CONFIG].decode(errors="surrogateescape")

    def states(self) -> list[ContainerState]:
        """The list."""
        return [self.state(one) for one in self.all()]

    def state(self, one: Seen) -> ContainerState:
        """One line of it."""
        on = one.process is not None
        return ContainerState(
            ctid=one.ctid,
            name=one.config.settings.hostname,
            state=condition(one),
            vcpus=(cgroups.cpus(one.groups) if on else 0) or one.config.settings.vcpus or len(self._online),
            memory_kb=(cgroups.memory_used_kb(one.groups) or 0) if on else 0,
            max_memory_kb=cgroups.memory_limit_kb(one.groups) if on else one.config.settings.memory_kb,
            cpu_time_ns=cgroups.cpu_used_ns(one.groups) if on else 0,
        )

    def uses(
        self, wanted: frozenset[Stat], subvolumes: Mapping[int, DiskUse], total_kb: int, now_ns: int
    ) -> dict[str, Use]:
        """What they use. `subvolumes` as `disks.uses` tells them; `total_kb`: the host's memory."""
        seen = self.all()
        self._load.forget_all_but({one.ctid for one in seen if one.runs})
        return {one.ctid: self._use(one, wanted, subvolumes, total_kb, now_ns) for one in seen}

    def addresses(self) -> dict[str, tuple[str, ...]]:
        """All addresses of each."""
        return {one.ctid: _addresses(one) for one in self.all()}

    def container(self, one: Seen) -> Container:
        """It in full."""
        now = one.config.settings
        kind = disks.limit_of(one.config.rootfs)
        rootfs, size_kb, least_kb = _image(one) if kind == "image" else (one.config.rootfs, now.disk_kb, 0)
        servers, domains = resolver(rootfs) if rootfs else ((), ())
        settings = msgspec.structs.replace(now, nameservers=servers, searchdomains=domains, disk_kb=size_kb)
        return Container(
            ctid=one.ctid,
            state=condition(one),
            settings=settings,
            live=self._live(one, settings) if one.runs else None,
            rootfs=rootfs,
            ids=one.config.ids,
            network=one.config.network,
            disk_limit=kind,
            least_disk_kb=least_kb,
            ours=one.config.ours,
            pid=one.process.pid if one.process else 0,
        )

    def _live(self, one: Seen, settings: ContainerSettings) -> ContainerSettings:
        memory_kb = cgroups.memory_limit_kb(one.groups)
        held = cgroups.cpus(one.groups)
        return msgspec.structs.replace(
            settings,
            memory_kb=memory_kb,
            swap_kb=cgroups.swap_limit_kb(one.groups, memory_kb),
            vcpus=0 if held >= len(self._online) and not settings.vcpus else held,
            vcpulimit=cgroups.vcpulimit(one.groups),
            addresses=self._addresses(one, settings.addresses),
        )

    @staticmethod
    def _addresses(one: Seen, kept: Iterable[str]) -> tuple[str, ...]:
        """As it has them now; written as they are kept where they are the same."""
        now = network.addresses_of(one.process.pid) if one.process else ()
        written = {address.partition("/")[0]: address for address in kept}
        return tuple(written.get(address, address) for address in now)

    def _use(
        self,
        one: Seen,
        wanted: frozenset[Stat],
        subvolumes: Mapping[int, DiskUse],
        total_kb: int,
        now_ns: int,
    ) -> Use:
        interface = _interface(one) if "network" in wanted else None
        if one.process is None:
            return Use(network=interface)
        return Use(
            cpu_percent=self._cpu(one, now_ns) if "cpu" in wanted else None,
            memory=_memory(one.groups, total_kb) if "memory" in wanted else None,
            disk=_disk(one.config.rootfs, subvolumes) if "df" in wanted else None,
            network=interface,
        )

    def _cpu(self, one: Seen, now_ns: int) -> float | None:
        vcpus = cgroups.cpus(one.groups) or len(self._online)
        used_ns = cgroups.cpu_used_ns(one.groups)
        return self._load.percent(one.ctid, used_ns=used_ns, vcpus=vcpus, at_ns=now_ns)

    def _config(self, ctid: str) -> Config | None:
        file = self._path / ctid / CONFIG
        try:
            found = file.stat()
        except OSError:
            return None
        mark = (found.st_mtime_ns, found.st_size, found.st_ino)
        known = self._configs.get(ctid)
        if known is not None and known[0] == mark:
            return known[1]
        try:
            made = config.read(self.text(ctid), ctid)
        except FuncManError:
            return None
        self._configs[ctid] = (mark, made)
        return made

    def _seen(self, ctid: str, known: Config, running: Mapping[str, Process | None]) -> Seen:
        process = running.get(ctid)
        if process is None:
            return Seen(ctid, known, ctid in running, None, {})
        groups = self._groups.get(process)
        if groups is None:
            groups = self._groups[process] = cgroups.groups_of(process.pid)
        return Seen(ctid, known, True, process if groups else None, groups)


def condition(one: Seen) -> State:
    """How it is: one without a first process just starts or ends."""
    if one.process is None:
        return "shutdown"
    return "paused" if cgroups.is_frozen(one.groups) else "running"


def _order(ctid: str) -> tuple[bool, int, str]:
    """Numbers first, by their size."""
    number = ctid.isascii() and ctid.isdigit()
    return (not number, int(ctid) if number else 0, ctid)


def _image(one: Seen) -> tuple[Path | None, int, int]:
    """Where the files in its image are seen, its size, and the least that this could be now."""
    place, size_kb = one.config.rootfs, one.config.settings.disk_kb
    if place is None or images.device(place.parent) is None:
        return None, size_kb, size_kb
    try:
        size_kb = images.size_kb(place.parent)
        return place, size_kb, size_kb if one.runs else images.least_kb(place.parent)
    except OSError:  # it is just being deleted
        return None, size_kb, size_kb


def _addresses(one: Seen) -> tuple[str, ...]:
    """Those that it starts with; where it is given none, those that it has now."""
    return one.config.settings.addresses or (network.addresses_of(one.process.pid) if one.process else ())


def _interface(one: Seen) -> NetworkUse | None:
    if one.config.network.kind == "none":
        return None
    found = _addresses(one)
    return NetworkUse(one.config.network.name, found[0].partition("/")[0] if found else "")


def _memory(groups: Groups, total_kb: int) -> MemoryUse | None:
    used_kb = cgroups.memory_used_kb(groups)
    if used_kb is None:
        return None
    return MemoryUse(used_kb=used_kb, total_kb=cgroups.memory_limit_kb(groups) or total_kb)


def _disk(rootfs: Path | None, subvolumes: Mapping[int, DiskUse]) -> DiskUse | None:
    """Of its own where it has a size of its own, else of the file system that it shares: as `df` says in it. Asked
    of the host's view, which nothing in the container can lay a file system over."""
    if rootfs is None:
        return None
    try:
        found = os.statvfs(rootfs)
    except OSError:
        return None
    size_kb = found.f_blocks * found.f_frsize // 1024
    own = subvolumes.get(disks.subvolume_number(rootfs)) if subvolumes and disks.is_subvolume(rootfs) else None
    if own is not None:
        return DiskUse(used_kb=own.used_kb, size_kb=own.size_kb or size_kb)
    return DiskUse(used_kb=size_kb - found.f_bfree * found.f_frsize // 1024, size_kb=size_kb)
