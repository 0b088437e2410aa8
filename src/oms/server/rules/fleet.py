"""What a list of the fleet shows, and in which order. Pure: from what is known at one moment."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from oms.contract.fleet import Attention, FleetHost, GuestState, ListGuests
from oms.contract.internal import Figures, GuestLine

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


class Row(NamedTuple):
    """A guest: its host, its state as far as it is known, and what its host said."""

    host_id: str
    host: str
    state: GuestState
    line: GuestLine

    @property
    def tagged_as(self) -> str:
        """The id under which its tags are kept."""
        return self.line.id.lower() if self.line.kind == "kvm" else f"{self.host_id}/{self.line.id}"


GUEST_ORDER: Final[Mapping[str, Callable[[Row], Any]]] = {
    "name": lambda row: row.line.name.lower(),
    "id": lambda row: (len(row.line.id), row.line.id),  # numbers in their order
    "host": lambda row: row.host,
    "kind": lambda row: row.line.kind,
    "state": lambda row: row.state,
    "vcpus": lambda row: row.line.vcpus,
    "memory": lambda row: row.line.memory_mb,
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
    where = "\n".join(texts).lower()
    return all(word in where for word in words)


def chosen(op: ListGuests, rows: Iterable[Row]) -> Iterable[Row]:
    """Those that the caller asked for, tags not counted."""
    words = op.search.lower().split()
    for row in rows:
        _, host, state, line = row
        if (op.host and host != op.host) or (op.kind and line.kind != op.kind) or (op.state and state != op.state):
            continue
        if not words or has_words(words, line.name, line.id, host):
            yield row


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
