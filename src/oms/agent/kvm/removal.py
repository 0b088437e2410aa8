"""Which disks go with a machine, and how they go: so that no crash at any point takes one too many.

A disk is deleted only if it is a regular file in OMS's own storage, a disk (never a CD, but for the one that OMS
made for just this machine), and nothing else needs it: no other machine's definition, no file that stands upon it.

The steps. A plan is written down: the machine's UUID, and each disk by path, device and inode. The machine is
removed. Its disks are moved aside, into a directory of the job's own, and that is written down. The directory is
deleted. Broken off before the second note, the disks that were not moved yet are still those of the plan (as long
as the others lie aside, no new file can have their inodes); after it, only the job's own directory is touched any
more. What was since made anew under an old name, machine or file, is another one, and stays.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from oms.agent.guests import Machine
from oms.agent.host import files
from oms.agent.host.files import NotOwn, OwnFile
from oms.agent.images import use
from oms.agent.kvm import seeds

DRIVES = frozenset({"disk", "lun"})


class Plan(msgspec.Struct, frozen=True):
    """What is to go. `kept` says of each other disk why it stays."""

    uuid: str
    name: str
    disks: list[OwnFile]
    kept: dict[str, str]


def plan(machine: Machine, others: Iterable[Machine], images: Path) -> Plan:
    """What goes with a machine. Looks at files, changes nothing."""
    doomed: dict[str, OwnFile] = {}
    kept: dict[str, str] = {}
    for path in _drives(machine, images):
        found = files.own_file(path, images)
        if isinstance(found, NotOwn):
            kept[str(path)] = found.why
        else:
            doomed[found.path] = found
    needed = use.needed_by(others, images, list(doomed.values()))
    for file in list(doomed.values()):
        if who := needed.by(file):
            kept[file.path] = f"{who} needs it"
            del doomed[file.path]
    return Plan(machine.uuid, machine.name, list(doomed.values()), kept)


def set_aside(plan: Plan, others: Iterable[Machine], images: Path, job: str) -> dict[str, str]:
    """Move the plan's disks into the job's directory; answers those that stay after all, and why. Raises
    OSError."""
    needed = use.needed_by(others, images, plan.disks)
    staging = files.open_staging(images, job)
    kept: dict[str, str] = {}
    for file in plan.disks:
        if who := needed.by(file):
            kept[file.path] = f"{who} needs it"
        else:
            files.set_aside(file, images, staging)
    return kept


def _drives(machine: Machine, images: Path) -> list[Path]:
    """The files behind its disks, each once: those it runs with, and those it would start with."""
    own_cd = seeds.path_of(images, machine.uuid)
    found = {
        disk.file: None
        for definition in use.definitions(machine)
        for disk in definition.disks
        if disk.file is not None and (disk.device in DRIVES or disk.file == own_cd)
    }
    return list(found)
