"""Tags as rules: which names people may give, whose tags stand at a line of a list, and which lines are wanted."""

import functools
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from oms.contract.operation import HostOperation, Operation
from oms.contract.types import TAG_FILTER
from oms.server.rules.hosttype import DEFAULT_TYPES

KINDS: Final = {"kvmservices": "kvm", "ovzservices": "openvz"}
"""Of what kind the guests are that a service lists."""
LINE: Final = frozenset({"status", "tags", "name", "id"})
"""What a line has in every list of guests."""
LONGEST_NAME: Final = 253
MOST_OF_ONE: Final = 64
"""Freeform tags of a host or guest."""
MOST_IN_ALL: Final = 4096
"""Different freeform tags."""


class Line(msgspec.Struct, frozen=True):
    """As much of a line in a list of guests as says whose it is. A host's own word about `tags` counts nothing."""

    tags: list[str] = []
    name: str = ""
    id: str = ""
    uuid: str = ""
    type: str = ""

    def guest(self, host_id: str) -> str:
        """The id by which OMS knows the guest: a machine's own, and a container's at its host. "" where an older
        agent does not tell a machine's."""
        return self.uuid.lower() or (f"{host_id}/{self.id}" if self.type != "kvm" else "")


class Tagged(msgspec.Struct):
    """A guest that bears tags, as OMS last saw it."""

    id: str
    kind: str
    host_id: str
    name: str
    missing: float
    tags: list[str]


@functools.cache
def list_of_guests(kind: type[Operation[Any]]) -> Any:
    """The type of the list that a method answers, if its lines are guests; else None."""
    found = kind.facts.answer
    item = next(iter(typing.get_args(found)), None)
    is_one = typing.get_origin(found) is list and set(getattr(item, "__struct_fields__", ())) >= LINE
    return found if is_one else None


def parted(op: HostOperation[Any]) -> tuple[HostOperation[Any], frozenset[str]]:
    """What the host is to be asked, and the tags by which its answer is to be filtered."""
    words: tuple[str, ...] = getattr(op, "stats_argument", ())
    wanted = frozenset(word.removeprefix(TAG_FILTER) for word in words if word.startswith(TAG_FILTER))
    if not wanted:
        return op, wanted
    stats = tuple(word for word in words if not word.startswith(TAG_FILTER))
    return msgspec.structs.replace(op, stats_argument=stats), wanted


def dressed(
    entries: Iterable[Any],
    lines: Iterable[Line],
    host_id: str,
    tagged: Mapping[str, Tagged],
    wanted: Collection[str],
) -> list[Any]:
    """A list's entries with OMS's tags, those that bear all that are wanted."""
    found = []
    for entry, line in zip(entries, lines, strict=True):
        guest = tagged.get(line.guest(host_id))
        tags = sorted(guest.tags) if guest else []
        if set(wanted) <= set(tags):
            found.append(msgspec.structs.replace(entry, tags=tags))
    return found


def seen(
    lines: Sequence[Line], host_id: str, tagged: Mapping[str, Tagged], kind: str | None, moment: float
) -> dict[str, dict[str, Any]]:
    """What a host's fresh list tells anew of guests that bear tags: columns by guest.

    A guest that another host has too stays there: only one that its own host does not list any more has moved.
    `kind`: of what all guests are listed; what the host does not list of it is missing.
    """
    found: dict[str, dict[str, Any]] = {}
    there = {line.guest(host_id): line.name[:LONGEST_NAME] for line in lines}
    for guest in tagged.values():
        if guest.id in there:
            at_home = guest.host_id == host_id
            if (guest.missing or guest.name != there[guest.id]) if at_home else guest.missing:
                found[guest.id] = {"host_id": host_id, "name": there[guest.id], "missing": 0.0}
        elif guest.host_id == host_id and guest.kind == kind and not guest.missing:
            found[guest.id] = {"missing": moment}
    return found


def why_reserved(tag: str, automatic: Collection[str]) -> str:
    """Why people may neither give nor take that tag; "" where they may. `automatic`: those of levels 1 and 2."""
    if tag.lower() in {name.lower() for name in DEFAULT_TYPES}:
        return f"{tag} is a type of hosts: tagservices.change_host_type changes which one a host is"
    if tag in automatic:
        return f"{tag} is set by OMS itself, from what hosts say of themselves"
    return ""
