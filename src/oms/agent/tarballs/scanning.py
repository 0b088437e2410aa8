"""An archive read from end to end before anything of it is written: whether it holds a system, and which."""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from oms.agent.host.stoppable import Progress
from oms.agent.tarballs.members import Archive
from oms.agent.tarballs.owners import Owners
from oms.agent.tarballs.rules import Entry, Rules
from oms.agent.tarballs.streams import reading
from oms.agent.templates.appliance import BadPackage

METADATA: Final = b"metadata.yaml"
"""It marks an archive in which the system is not alone, as LXD and Incus have them."""
ROOTFS: Final = b"rootfs"
DESCRIPTOR: Final = b"template.ovf"
LARGEST_TEXT: Final = 1024 * 1024
_ARCH = re.compile(rb"^architecture:\s*[\"']?([A-Za-z0-9_-]{1,40})[\"']?\s*$", re.MULTILINE)


class Found(msgspec.Struct, frozen=True):
    """A system in an archive: what stands before its names, how many entries and bytes it has, holes left out.

    `arch` as the archive calls it and `descriptor`, an .ovf, are b"" where nothing is said.
    """

    prefix: bytes
    entries: int
    data_bytes: int
    needed_bytes: int
    devices: int
    arch: bytes = b""
    descriptor: bytes = b""


def scan(file: int, owners: Owners, room_bytes: int, progress: Progress) -> Found:
    """Judge all of it. Nothing is written. Raises BadPackage, NoSpace, OSError."""
    rules = Rules(owners, room_bytes)
    with reading(file, progress) as stream:
        count, data, texts = _read(Archive(stream), rules)
    prefix = ROOTFS + b"/" if METADATA in texts and rules.kind(ROOTFS) in ("directory", "parent") else b""
    if rules.kind(prefix + b"etc") not in ("directory", "parent"):
        raise BadPackage("there is no system in it: it has no directory etc")
    arch = _ARCH.search(texts.get(METADATA, b"")) if prefix else None
    return Found(
        prefix=prefix,
        entries=count,
        data_bytes=data,
        needed_bytes=rules.needed_bytes,
        devices=rules.devices,
        arch=arch[1] if arch else b"",
        descriptor=texts.get(DESCRIPTOR, b"") if prefix else b"",
    )


def _read(archive: Archive, rules: Rules) -> tuple[int, int, dict[bytes, bytes]]:
    """How many entries, how many bytes, and the texts that say what it is."""
    texts: dict[bytes, bytes] = {}
    count = data = 0
    for member in archive:
        entry = rules.admit(member)
        if entry is None:
            continue
        count, data = count + 1, data + member.stored
        if entry.name in (METADATA, DESCRIPTOR) and entry.kind == "file":
            if entry.size > LARGEST_TEXT:
                raise BadPackage(f"its {entry.name.decode()} has {entry.size} bytes; {LARGEST_TEXT} are legal")
            texts[entry.name] = b"".join(piece for _, piece in archive.pieces())
    return count, data, texts


def entries(archive: Archive, rules: Rules, prefix: bytes) -> Iterator[Entry]:
    """What is to be written of the system behind the prefix, by its own names. Raises BadPackage, OSError."""
    whole = prefix.rstrip(b"/")
    for member in archive:
        entry = rules.admit(member)
        if entry is None or not (entry.name == whole or entry.name.startswith(prefix)):
            continue
        if entry.kind == "hardlink" and not entry.link.startswith(prefix):
            raise BadPackage("a file of its system is a second name of one that is not in it")
        link = entry.link.removeprefix(prefix) if entry.kind == "hardlink" else entry.link
        yield msgspec.structs.replace(entry, name=entry.name[len(prefix) :], link=link)
