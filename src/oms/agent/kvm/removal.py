"""Which disks go with a machine, and how they go: so that no crash at any point takes one too many.

A disk is deleted only if it is a regular file in OMS's own storage, a disk (never a CD), and nothing else needs
it: no other machine's definition, no file that stands upon it.

The steps. A plan is written down: the machine's UUID, and each disk by path, device and inode. The machine is
removed. Its disks are moved aside, into a directory of the job's own, and that is written down. The directory is
deleted. Broken off before the second note, the disks that were not moved yet are still those of the plan (as long
as the others lie aside, no new file can have their inodes); after it, only the job's own directory is touched any
more. What was since made anew under an old name, machine or file, is another one, and stays.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from oms.agent.guests import Definition, Machine
from oms.agent.host import files
from oms.agent.host.files import NotOwn, OwnFile
from oms.agent.images import qcow2

DRIVES = frozenset({"disk", "lun"})


class Plan(msgspec.Struct, frozen=True):
    """What is to go. `kept` says of each other disk why it stays."""

    uuid: str
    name: str
    disks: list[OwnFile]
    kept: dict[str, str]


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


def plan(machine: Machine, others: Iterable[Machine], images: Path) -> Plan:
    """What goes with a machine. Looks at files, changes nothing."""
    doomed: dict[str, OwnFile] = {}
    kept: dict[str, str] = {}
    for path in _drives(machine):
        found = files.own_file(path, images)
        if isinstance(found, NotOwn):
            kept[str(path)] = found.why
        else:
            doomed[found.path] = found
    needed = needed_by(others, images, list(doomed.values()))
    for file in list(doomed.values()):
        if who := needed.by(file):
            kept[file.path] = f"{who} needs it"
            del doomed[file.path]
    return Plan(machine.uuid, machine.name, list(doomed.values()), kept)


def set_aside(plan: Plan, others: Iterable[Machine], images: Path, job: str) -> dict[str, str]:
    """Move the plan's disks into the job's directory; answers those that stay after all, and why. Raises
    OSError."""
    needed = needed_by(others, images, plan.disks)
    staging = files.open_staging(images, job)
    kept: dict[str, str] = {}
    for file in plan.disks:
        if who := needed.by(file):
            kept[file.path] = f"{who} needs it"
        else:
            files.set_aside(file, images, staging)
    return kept


def needed_by(others: Iterable[Machine], images: Path, doomed: list[OwnFile]) -> Needed:
    """What other machines, and files that stay, stand upon."""
    needed = Needed({}, {}, {}, {})
    going = {(file.device, file.inode) for file in doomed}
    uppers: set[Path] = set(files.regular_files(images)) if doomed else set()
    for other in others:
        for source in _sources(other):
            _add(needed, source, f"machine {other.name!r}")
            uppers.add(source)
    for upper in uppers:
        if files.identity(upper) in going or not (name := qcow2.backing_name(files.head(upper, qcow2.HEAD_BYTES))):
            continue
        who = f"the disk image {upper}"
        if (path := qcow2.backing_path(name, upper)) is None:
            needed.mentions[name] = who
        else:
            _add(needed, path, who)
    return needed


def _add(needed: Needed, source: Path, who: str) -> None:
    if not source.is_absolute():
        needed.names[source.name] = who
    elif (found := files.identity(source)) is not None:
        needed.files[found] = who
    else:
        needed.paths[str(source)] = who


def _definitions(machine: Machine) -> Iterator[Definition]:
    for definition in (machine.kept, machine.live):
        if definition is not None:
            yield definition


def _drives(machine: Machine) -> list[Path]:
    """The files behind its disks, each once: those it runs with, and those it would start with."""
    found = {
        disk.file: None
        for definition in _definitions(machine)
        for disk in definition.disks
        if disk.file is not None and disk.device in DRIVES
    }
    return list(found)


def _sources(machine: Machine) -> set[Path]:
    return {source for definition in _definitions(machine) for disk in definition.disks for source in disk.sources}
