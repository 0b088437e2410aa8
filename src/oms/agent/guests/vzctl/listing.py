"""What `vzlist -a -j` says, as OpenVZ's vzctl 4 writes it, and the kernel's own table of time. Pure.

Sizes there: memory in pages of 4 KB, disks in KB, `cpulimit` in percent of one CPU; a limit of the largest number
is none. Source: vzlist(8), vzctl(8), and the field names that `vzlist -L` prints.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from oms.agent.guests import DiskUse, MemoryUse, NetworkUse, State
from oms.agent.guests.containers import ContainerSettings

PAGE_KB = 4
UNLIMITED = 2**31 - 1
"""Pages; the kernel says this, or the largest number of 64 bits."""
NS_PER_TICK = 10_000_000
STATES: dict[str, State] = {"running": "running", "suspended": "paused"}
MARK = "made by OMS, job "
"""The description of ours begins with it."""


class Unreadable(Exception):
    """It says something else than was expected."""


class Counter(msgspec.Struct, frozen=True):
    """A beancounter."""

    held: int = 0
    limit: int = 0


class Quota(msgspec.Struct, frozen=True):
    """KB of a disk."""

    usage: int = 0
    softlimit: int = 0
    hardlimit: int = 0


class Row(msgspec.Struct, frozen=True):
    """A container, as far as we look at it."""

    ctid: int | str
    status: str
    hostname: str | None = None
    name: str | None = None
    description: str | None = None
    private: str | None = None
    root: str | None = None
    layout: str | None = None
    ip: list[str] | None = None
    nameserver: list[str] | None = None
    searchdomain: list[str] | None = None
    physpages: Counter | None = None
    swappages: Counter | None = None
    diskspace: Quota | None = None
    cpulimit: int | None = None
    cpus: int | None = None
    onboot: bool | str | None = None

    @property
    def id(self) -> str:
        """As text."""
        return str(self.ctid)

    @property
    def state(self) -> State:
        """`mounted` is off, its files only within reach."""
        return STATES.get(self.status, "shutdown")

    @property
    def job(self) -> str:
        """Which job of ours has made it; "" where none did."""
        text = self.description or ""
        return text.removeprefix(MARK) if text.startswith(MARK) else ""

    @property
    def settings(self) -> ContainerSettings:
        """What it is given: while it runs, what the kernel holds it to."""
        return ContainerSettings(
            hostname=self.hostname or "",
            memory_kb=_kb(self.physpages),
            swap_kb=_kb(self.swappages),
            vcpus=self.cpus or 0,
            vcpulimit=self.cpulimit or 0,
            disk_kb=_disk_kb(self.diskspace),
            addresses=tuple(self.ip or ()),
            nameservers=tuple(self.nameserver or ()),
            searchdomains=tuple(self.searchdomain or ()),
            onboot=self.onboot in {True, "yes"},
        )

    @property
    def rootfs(self) -> Path | None:
        """Its root file system, as the host sees it; None where it is in an image that is not mounted."""
        if self.status in {"running", "mounted"} and self.root:
            return Path(self.root)
        return Path(self.private) if self.private and self.layout != "ploop" else None


def rows(text: bytes) -> dict[str, Row]:
    """By id, in the order of the ids. Raises Unreadable."""
    try:
        found = msgspec.json.decode(text, type=list[Row])
    except (ValueError, RecursionError) as bad:
        raise Unreadable(f"vzlist says what is not understood: {bad}") from bad
    return {row.id: row for row in sorted(found, key=lambda row: (len(row.id), row.id))}


def memory(row: Row, total_kb: int) -> MemoryUse | None:
    """What it uses, of what it may; of the host's where nothing limits it."""
    if row.physpages is None:
        return None
    return MemoryUse(used_kb=row.physpages.held * PAGE_KB, total_kb=_kb(row.physpages) or total_kb)


def disk(row: Row) -> DiskUse | None:
    """What is in it."""
    if row.diskspace is None:
        return None
    return DiskUse(used_kb=row.diskspace.usage, size_kb=_disk_kb(row.diskspace))


def interface(row: Row, name: str) -> NetworkUse:
    """The first one."""
    return NetworkUse(name, (row.ip or [""])[0].partition("/")[0])


def cpu_times(vestat: str) -> dict[str, int]:
    """Nanoseconds that each running container's processors worked, by id, of the text of /proc/vz/vestat: a line
    of names, then a line for each container, in ticks of 10 ms."""
    names: list[str] = []
    times = {}
    for line in vestat.splitlines():
        words = line.split()
        if words[:1] == ["VEID"]:
            names = words
        elif names and len(words) == len(names) and all(word.isascii() and word.isdigit() for word in words):
            told: Mapping[str, int] = dict(zip(names, map(int, words), strict=True))
            ticks = sum(told.get(name, 0) for name in ("user", "nice", "system"))
            times[str(told["VEID"])] = ticks * NS_PER_TICK
    return times


def network_of(conf: str) -> tuple[str, str]:
    """The bridge and MAC of the first veth interface in a container's configuration file; ("", "") where it has
    none, and so OpenVZ's routed venet0."""
    match = re.search(r'^\s*NETIF="?([^"\n]*)', conf, re.MULTILINE)
    first = match[1].split(";")[0] if match else ""
    told = dict(part.split("=", 1) for part in first.split(",") if "=" in part)
    return told.get("bridge", ""), told.get("mac", "") if told.get("ifname") else ""


def _kb(counter: Counter | None) -> int:
    if counter is None or counter.limit >= UNLIMITED:
        return 0
    return counter.limit * PAGE_KB


def _disk_kb(quota: Quota | None) -> int:
    if quota is None or quota.hardlimit >= UNLIMITED * PAGE_KB:
        return 0
    return quota.hardlimit
