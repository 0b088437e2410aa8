"""Who needs a file of ours: the machines that have it in a drive, and the disk images that stand upon it.

A file is known by its device and inode wherever it can be looked at, because a definition may call it by any name.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from oms.agent import shelf
from oms.agent.guests import Definition, Machine
from oms.agent.host import files
from oms.agent.host.files import OwnFile
from oms.agent.images import catalogue, qcow2


class Needed(msgspec.Struct, frozen=True):
    """What others need, as far as it can be told: by identity, by path where there is nothing to look at, and by
    bare name or mention where not even a path is known. The values name who needs it."""

    files: dict[tuple[int, int], str]
    paths: dict[str, str]
    names: dict[str, str]
    mentions: dict[str, str]

    def by(self, file: OwnFile) -> str | None:
        """Who needs the file."""
        path = Path(file.path)
        mentioned = (who for text, who in self.mentions.items() if path.name in text)
        return (
            self.files.get((file.device, file.inode))
            or self.paths.get(file.path)
            or self.names.get(path.name)
            or next(mentioned, None)
        )


def needed_by(others: Iterable[Machine], images: Path, doomed: list[OwnFile]) -> Needed:
    """What other machines, and files that stay, stand upon."""
    needed = Needed({}, {}, {}, {})
    going = {(file.device, file.inode) for file in doomed}
    uppers: set[Path] = set(files.regular_files(images)) if doomed else set()
    for other in others:
        for source in sources(other):
            _add(needed, source, f"machine {other.name!r}")
            uppers.add(source)
    for upper in uppers:
        if files.identity(upper) in going or not (name := _stands_on(upper)):
            continue
        who = f"the disk image {upper}"
        if (path := qcow2.backing_path(name, upper)) is None:
            needed.mentions[name] = who
        else:
            _add(needed, path, who)
    return needed


def by_machines(machines: Iterable[Machine]) -> Needed:
    """What machines have in their drives."""
    return needed_by(machines, Path(), [])


def _add(needed: Needed, source: Path, who: str) -> None:
    if not source.is_absolute():
        needed.names[source.name] = who
    elif (found := files.identity(source)) is not None:
        needed.files[found] = who
    else:
        needed.paths[str(source)] = who


def _stands_on(path: Path) -> str | None:
    """What a file names as the one behind it. In a raw disk only its guest can have written such a thing."""
    if catalogue.format_of(path) == "raw":
        return None
    return qcow2.backing_name(files.head(path, qcow2.HEAD_BYTES))


def users(machines: Iterable[Machine], images: Path) -> dict[str, list[str]]:
    """The names of all images that machines use, and for each the machines' names: also images that are not there
    any more, and those behind others."""
    found: dict[str, list[str]] = {}
    known = {files.identity(images / name): name for name in shelf.names(images)}
    for machine in machines:
        for name in sorted(_used(machine, images, known)):
            found.setdefault(name, []).append(machine.name)
    return dict(sorted(found.items()))


def _used(machine: Machine, images: Path, known: dict[tuple[int, int] | None, str]) -> set[str]:
    used: set[str] = set()
    seen: set[Path] = set()
    left = list(sources(machine))
    while left:
        path = left.pop()
        if path in seen:
            continue
        seen.add(path)
        if path.is_absolute() and (name := known.get(files.identity(path))):
            used.add(name)
        elif not path.is_absolute() or (path.parent == images and not os.path.lexists(path)):
            used.add(path.name)
        if (behind := _stands_on(path)) and (base := qcow2.backing_path(behind, path)):
            left.append(base)
    return used


def definitions(machine: Machine) -> Iterator[Definition]:
    """As it runs, and as it will start."""
    for definition in (machine.kept, machine.live):
        if definition is not None:
            yield definition


def sources(machine: Machine) -> set[Path]:
    """All files and devices that its definitions name for its drives."""
    return {source for definition in definitions(machine) for disk in definition.disks for source in disk.sources}
