"""What running machines use, from libvirt's statistics.

One call for all of them, for the groups that were asked for only: each is a question to every machine's own
process. A machine that is busy is passed over. What statistics do not tell (which block is a CD, which bridge an
interface is on) comes from live definitions, remembered as long as the names in them are those in the statistics.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt

from oms.agent.guests import Definition, DiskUse, MemoryUse, NetworkUse, Stat, Use
from oms.agent.guests.libvirt.definition import BadDefinition, definition
from oms.agent.host import files

Stats = dict[str, Any]

GROUPS: dict[Stat, int] = {
    "memory": libvirt.VIR_DOMAIN_STATS_BALLOON,
    "df": libvirt.VIR_DOMAIN_STATS_BLOCK,
    "network": libvirt.VIR_DOMAIN_STATS_INTERFACE,
}
WHICH = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT


class Meter:
    """Measures running machines. Called in threads, by several at a time."""

    def __init__(self, neighbours: Callable[[], dict[str, str]]) -> None:
        self._neighbours = neighbours
        self._live: dict[tuple[str, int], Definition] = {}

    def read(self, connection: Any, wanted: frozenset[Stat]) -> dict[str, Use]:
        """`memory`, `df` and `network` of every running machine, by uuid. Raises libvirtError."""
        groups = 0
        for stat in wanted & GROUPS.keys():
            groups |= GROUPS[stat]
        if not groups:
            return {}
        addresses = self._neighbours() if "network" in wanted else {}
        found: dict[str, Use] = {}
        seen = set()
        for domain, stats in connection.getAllDomainStats(groups, WHICH):
            uuid = domain.UUIDString()
            seen.add((uuid, domain.ID()))
            live = self._definition(domain, uuid, stats) if wanted & {"df", "network"} else None
            found[uuid] = Use(
                memory=memory_use(stats) if "memory" in wanted else None,
                disk=disk_use(stats, live) if live and "df" in wanted else None,
                network=network_use(stats, live, addresses) if live and "network" in wanted else None,
            )
        self._live = {key: known for key, known in self._live.items() if key in seen}
        return found

    def _definition(self, domain: Any, uuid: str, stats: Stats) -> Definition | None:
        key = (uuid, domain.ID())
        known = self._live.get(key)
        if known is not None and _names(stats) <= _known_names(known):
            return known
        try:
            known = definition(domain.XMLDesc(0))
        except (libvirt.libvirtError, BadDefinition):
            return None  # it stopped in between, or cannot be told: its statistics are left out
        self._live[key] = known
        return known


def memory_use(stats: Stats) -> MemoryUse | None:
    """By the guest's own count where it tells one, else what the host gave the machine's process."""
    total = stats.get("balloon.current")
    if not total:
        return None
    told = stats.get("balloon.last-update", 0) > 0 and "balloon.available" in stats and "balloon.unused" in stats
    if told:
        return MemoryUse(used_kb=stats["balloon.available"] - stats["balloon.unused"], total_kb=total)
    # The process needs some for itself, which is none of the machine's.
    return MemoryUse(used_kb=min(stats.get("balloon.rss", 0), total), total_kb=total)


def disk_use(stats: Stats, live: Definition) -> DiskUse | None:
    """Of all its disks, CDs and floppies excepted. None where it has none."""
    disks = {disk.target for disk in live.disks if disk.device in {"disk", "lun"}}
    used = size = 0
    for block in _each(stats, "block"):
        if block.get("name") in disks:
            used += _written(block)
            size += block.get("capacity", 0)
    return DiskUse(used_kb=used // 1024, size_kb=size // 1024) if size else None


def network_use(stats: Stats, live: Definition, addresses: dict[str, str]) -> NetworkUse | None:
    """The first interface that the machine has now. None where it has none."""
    for interface in _each(stats, "net"):
        device = interface.get("name", "")
        nic = next((nic for nic in live.nics if nic.device == device), None)
        if nic is not None:
            return NetworkUse(name=nic.source or device, address=addresses.get(nic.mac, ""))
    return None


def _written(block: Stats) -> int:
    """Bytes that a disk takes on the host. libvirt counts only what was written since the machine's start."""
    path = block.get("path")
    try:
        found = Path(path).stat() if path else None
    except OSError:
        found = None
    if found is not None and found.st_size:
        return found.st_blocks * files.BLOCK_BYTES
    return int(block.get("allocation", 0))


def _each(stats: Stats, group: str) -> Iterator[Stats]:
    """The numbered parts of a group: `block.0.name` becomes `name` of the first."""
    for number in range(stats.get(f"{group}.count", 0)):
        front = f"{group}.{number}."
        yield {key.removeprefix(front): value for key, value in stats.items() if key.startswith(front)}


def _names(stats: Stats) -> set[str]:
    return {part["name"] for group in ("block", "net") for part in _each(stats, group) if "name" in part}


def _known_names(live: Definition) -> set[str]:
    return {disk.target for disk in live.disks} | {nic.device for nic in live.nics}
