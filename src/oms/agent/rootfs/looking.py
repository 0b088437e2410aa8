"""What a template holds, found by looking at all of it once for each content of it.

What was found is kept in `.judged/NAME.KEY`, so that no deployment reads a good archive twice. It only saves time:
the rules hold again while the archive is unpacked.
"""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from oms import durable
from oms.agent.guests.containers import IdMap
from oms.agent.host.stoppable import Progress, in_thread
from oms.agent.rootfs import catalogue
from oms.agent.rootfs.catalogue import Template
from oms.agent.tarballs import scanning
from oms.agent.tarballs.owners import Owners
from oms.agent.tarballs.scanning import Found
from oms.agent.templates import words
from oms.agent.templates.appliance import BadPackage

JUDGED: Final = ".judged"
OF_MACHINES: Final[dict[str, tuple[str, ...]]] = {
    "x86_64": ("x86_64", "amd64", "i686", "i386", "i586"),
    "aarch64": ("aarch64", "arm64", "armv7l", "armhf", "armv8l"),
}
"""What systems may be called that a processor runs."""


def note_of(directory: Path, template: Template, ids: IdMap) -> Path:
    """Where it stands what was found. Other owners need another look."""
    owners = hashlib.sha256(repr(ids).encode()).hexdigest()[:8]
    return directory / JUDGED / f"{template.name}.{template.key}.{owners}"


async def found(directory: Path, template: Template, ids: IdMap, room_bytes: int, progress: Progress) -> Found:
    """What it holds. Raises Unusable, NoSpace, OSError."""
    try:
        return await in_thread(lambda go_on: _found(directory, template, ids, room_bytes, go_on), progress)
    except BadPackage as bad:
        raise words.unusable(template.name, bad) from bad


def check_machine(found: Found, machine: str) -> None:
    """See that this host's processor runs it. Raises BadPackage."""
    named = found.arch.decode().lower()
    if named and named not in OF_MACHINES.get(machine, (machine,)):
        raise BadPackage(f"it is for {named} machines, and this host is {machine}")


def _found(directory: Path, template: Template, ids: IdMap, room_bytes: int, go_on: Progress) -> Found:
    note = note_of(directory, template, ids)
    try:
        return msgspec.json.decode(note.read_bytes(), type=Found)
    except (OSError, msgspec.DecodeError):
        seen = scanning.scan(template.file, Owners(ids), room_bytes, go_on)
    durable.own_directory(note.parent)
    for old in note.parent.glob(f"{template.name}.{'?' * catalogue.KEY_DIGITS}.????????"):
        old.unlink()
    durable.write_whole(note, msgspec.json.encode(seen))
    return seen
