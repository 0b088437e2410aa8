"""What LVM says in the document's shape, and which volumes may be made, removed, written to. Pure."""

from collections.abc import Iterable, Mapping

from oms.agent.host.lvm import TAG, Group, Volume
from oms.contract.errors import AlreadyThere, FuncManError, InUse, NoSpace, NotThere
from oms.contract.lvm import Display

MIB = 1024 * 1024
# Names that LVM keeps for volumes of its own: lvm(8), "Valid names".
RESERVED_BEGINNINGS = ("snapshot", "pvmove")
RESERVED_PARTS = (
    "_cdata", "_cmeta", "_corig", "_iorig", "_mimage", "_mlog", "_pmspare", "_rimage", "_rmeta", "_tdata",
    "_tmeta", "_vorigin", "_vdata",
)  # fmt: skip


def display(text: str) -> Display:
    """The words of each line of each part. A part begins with a heading between dashes, which is none of its
    lines."""
    parts: Display = []
    for line in text.splitlines():
        words = line.split()
        if words and words[0] == "---":
            parts.append([])
        elif words and parts:
            parts[-1].append(words)
    return parts


def size_bytes(group: Group, size_mb: int) -> int:
    """The size that such a volume gets: whole extents."""
    extents = -(-size_mb * MIB // group.extent_bytes)
    return extents * group.extent_bytes


def group_for(groups: Iterable[Group], volumes: Iterable[Volume], group: str, name: str, size_mb: int) -> Group:
    """The group in which the volume may be made. Raises NotThere, AlreadyThere, NoSpace, FuncManError."""
    known = {known.name: known for known in groups}
    if group not in known:
        raise NotThere(
            f"There is no volume group {group!r} here; {_those(known, 'there are no groups')}.", name=group
        )
    if name.startswith(RESERVED_BEGINNINGS) or any(part in name for part in RESERVED_PARTS):
        raise FuncManError(f"LVM keeps names like {name!r} for itself: choose another.", name=name)
    if any((volume.group, volume.name) == (group, name) for volume in volumes):
        raise AlreadyThere(f"There is a volume {group}/{name} already: choose another name.", name=name)
    if (wanted := size_bytes(known[group], size_mb)) > known[group].free_bytes:
        raise NoSpace(
            f"{group} has {known[group].free_bytes // MIB} MB free; {wanted // MIB} MB were asked for.",
            free_mb=known[group].free_bytes // MIB,
        )
    return known[group]


def find(volumes: Iterable[Volume], group: str, name: str) -> Volume:
    """The volume of that name. Raises NotThere."""
    all_volumes = list(volumes)
    for volume in all_volumes:
        if (volume.group, volume.name) == (group, name):
            return volume
    there = {volume.name: volume for volume in all_volumes if volume.group == group}
    raise NotThere(f"There is no volume {group}/{name} here; {_those(there, 'that group has none')}.", name=name)


def check_free(volume: Volume, users: Iterable[str]) -> None:
    """Raise InUse, or FuncManError where it is none of ours, unless a volume may be removed or overwritten.

    `users`: the machines that have it.
    """
    shown = f"{volume.group}/{volume.name}"
    if not volume.own:
        raise FuncManError(
            f"{shown} was not made by OMS; to hand it over to OMS: lvchange --addtag {TAG} {shown}",
            name=volume.name,
        )
    if who := sorted(users):
        raise InUse(f"{shown} is the disk of machine {', '.join(map(repr, who))}.", machines=who)
    if volume.open:
        raise InUse(f"{shown} is open on the host: mounted, or in some program's hands.", machines=[])


def _those(known: Mapping[str, object], none: str) -> str:
    return f"there are {', '.join(sorted(known))}" if known else none
