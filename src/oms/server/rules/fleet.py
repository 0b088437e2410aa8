"""What a list of the fleet shows, and in which order. Pure: from what is known at one moment."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Final, NamedTuple, TypeVar

from oms.contract.fleet import Attention, FleetHost, GuestState, ListGuests
from oms.contract.internal import Figures
from oms.server.rules.rows import Row, Rows

T = TypeVar("T")
KB_IN_MB: Final = 1024
CERTIFICATE_SECONDS: Final = 14 * 86_400
"""A host renews its certificate long before: one that ends so soon was not renewed."""
FULL_DISK, FULL_MEMORY = 0.90, 0.95

HOST_ORDER: Final[Mapping[str, Callable[[FleetHost], Any]]] = {
    "name": lambda host: host.name,
    "state": lambda host: host.state,
    "load": lambda host: -1.0 if host.load is None else host.load,
    "cpu": lambda host: -1.0 if host.cpu_percent is None else host.cpu_percent,
    "memory": lambda host: _share(host.memory_used_mb, host.memory_mb),
    "disk": lambda host: _share(host.disk_used_mb, host.disk_mb),
    "guests": lambda host: host.guests,
    "certificate": lambda host: host.certificate_not_after,
}


class Hosts(NamedTuple):
    """What guests are told with: the names of the signed hosts by id, and which are connected."""

    names: Mapping[str, str]
    connected: Set[str]

    def state(self, row: Row) -> GuestState:
        """A guest's state, as far as it is known."""
        return row.line.state if row.host_id in self.connected else "unknown"


GUEST_ORDER: Final[Mapping[str, Callable[[Row, Hosts], Any]]] = {
    "id": lambda row, _: (len(row.line.id), row.line.id),  # numbers in their order
    "host": lambda row, hosts: hosts.names[row.host_id],
    "kind": lambda row, _: row.line.kind,
    "state": lambda row, hosts: hosts.state(row),
    "vcpus": lambda row, _: row.line.vcpus,
    "memory": lambda row, _: row.line.memory_mb,
}


def ordered(
    rows: Iterable[T], key: Callable[[T], Any], by_name: Callable[[T], Any], *, descending: bool
) -> list[T]:
    """The rows by the key, and where that is the same, by name from A on."""
    named = rows if key is by_name else sorted(rows, key=by_name)
    return sorted(named, key=key, reverse=descending)


def page(rows: Sequence[T], offset: int, most: int) -> Sequence[T]:
    """So many from there on; 0: all."""
    return rows[offset : offset + most if most else None]


def has_words(words: Sequence[str], *texts: str) -> bool:
    """Whether each word, in small letters, is in one of the texts."""
    if not words:
        return True
    where = "\n".join(texts).lower()
    return all(word in where for word in words)


def chosen(op: ListGuests, rows: Rows, hosts: Hosts) -> list[Row]:
    """Those that the caller asked for, tags not counted, in the order that they came in.

    There may be tens of thousands of them: what is not asked costs nothing.
    """
    names = hosts.names
    found = rows.every
    if not rows.of.keys() <= names.keys():
        found = [row for row in found if row.host_id in names]
    if op.host:
        found = [row for row in found if names[row.host_id] == op.host]
    if op.kind:
        found = [row for row in found if row.line.kind == op.kind]
    if op.state:
        found = [row for row in found if hosts.state(row) == op.state]
    for word in op.search.lower().split():
        in_name = {host_id for host_id, name in names.items() if word in name.lower()}
        found = [row for row in found if word in row.text or row.host_id in in_name]
    return found


def sorted_as(op: ListGuests, rows: list[Row], hosts: Hosts) -> Sequence[Row]:
    """Rows that are in the order of their names, as the caller wants them; where that is the same, by name from A
    on."""
    if (key := GUEST_ORDER.get(op.sort)) is None:
        return rows[::-1] if op.descending else rows
    return sorted(rows, key=lambda row: key(row, hosts), reverse=op.descending)


def attention(*, connected: bool, not_after: float, figures: Figures | None, now: float) -> list[Attention]:
    """Why somebody should look at a host."""
    found: list[Attention] = [] if connected else ["away"]
    if not_after - now < CERTIFICATE_SECONDS:
        found.append("certificate")
    if figures is not None:
        if any(it.used_kb > FULL_DISK * (it.used_kb + it.free_kb) for it in figures.file_systems):
            found.append("disk")
        if figures.memory_available_kb < (1 - FULL_MEMORY) * figures.memory_kb:
            found.append("memory")
    return found


def disk_mb(figures: Figures) -> tuple[int, int]:
    """The size of a host's own file systems together, and what is used of them; each device counts once."""
    every = {system.device: system for system in figures.file_systems}.values()
    return sum(it.size_kb for it in every) // KB_IN_MB, sum(it.used_kb for it in every) // KB_IN_MB


def _share(part: int | None, whole: int | None) -> float:
    return -1.0 if part is None or not whole else part / whole
