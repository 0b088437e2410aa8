"""A package's disks, made ready once for all machines that will come of it: qcow2, checked, beside the packages.

They lie in `.unpacked/NAME.KEY`, where KEY tells this content of the package from any other under its name. The
directory appears whole or not at all, and is never changed again: a linked clone stands upon what lies there.
"""

import functools
import hashlib
import os
import zlib
from pathlib import Path
from typing import Final

from oms import durable
from oms.agent.host import qemu_img, space
from oms.agent.host.process import ProgramError
from oms.agent.host.stoppable import Progress, in_thread
from oms.agent.templates import archive, package, words
from oms.agent.templates.appliance import BadPackage, PackedDisk
from oms.agent.templates.package import OpenPart, Package
from oms.contract.errors import FuncManError, NoSpace

UNPACKED: Final = ".unpacked"
CHUNK: Final = 1024 * 1024
GZIP: Final = 16 + zlib.MAX_WBITS
SLACK_BYTES: Final = 64 * CHUNK
"""What a file may have beyond the disk in it: tables, descriptions."""
COMPARING, UNZIPPING = 0.2, 0.4
"""Shares of the work on a disk whose file is compared with its digest, or unzipped, before it is converted."""


def place_of(templates: Path, opened: Package) -> Path:
    """Where the disks of this content of the package are, or will be."""
    return templates / UNPACKED / f"{opened.name}.{opened.key}"


def disk_path(place: Path, number: int) -> Path:
    """The disk of that number (from 0) in it."""
    return place / f"disk{number + 1}.qcow2"


def weight(disk: PackedDisk, opened: Package) -> int:
    """How much work a disk is: the bytes of its file."""
    return opened.parts[disk.file.name].size if disk.file else 1


async def unpack(opened: Package, templates: Path, staging: Path, progress: Progress) -> None:
    """Make the disks in `staging`, an empty directory on the same file system, and put them in their place.

    Broken off, it leaves what is in staging. Raises Unusable, NoSpace, FuncManError, OSError.
    """
    made = staging / "disks"
    made.mkdir(mode=0o711)
    disks = opened.appliance.disks
    weights = [weight(disk, opened) for disk in disks]

    def told(number: int, share: float) -> None:
        progress((sum(weights[:number]) + share * weights[number]) / sum(weights))

    for number, disk in enumerate(disks):
        work = _disk(disk, opened, disk_path(made, number), functools.partial(told, number))
        try:
            await space.while_room(staging, work, f"Template {opened.name!r}")
        except BadPackage as bad:
            raise words.unusable(opened.name, bad) from bad
    await in_thread(lambda _go_on: _settle(made, place_of(templates, opened)))


async def compare(opened: Package) -> None:
    """See that each disk is the one whose digest stands in the manifest, where there is one. Raises BadPackage."""
    for disk in opened.appliance.disks if opened.digests else ():
        if disk.file is not None:
            await in_thread(functools.partial(_compare, disk, opened.parts[disk.file.name], opened))


async def _disk(disk: PackedDisk, opened: Package, target: Path, told: Progress) -> None:
    if disk.file is None:
        await qemu_img.create(target, "qcow2", disk.capacity_bytes)
        return
    part, done = opened.parts[disk.file.name], 0.0
    if opened.digests:
        done = COMPARING
        await in_thread(lambda go_on: _compare(disk, part, opened, go_on), lambda share: told(share * done))
    if not disk.file.gzip:
        await _convert(disk, part, target, lambda share: told(done + share * (1 - done)))
        return
    plain = target.with_suffix(".plain")
    await in_thread(lambda go_on: _unzip(disk, part, plain, go_on), lambda share: told(done + share * UNZIPPING))
    file = os.open(plain, package.OPENED)
    try:
        whole, done = OpenPart(file, 0, plain.stat().st_size), done + UNZIPPING
        await _convert(disk, whole, target, lambda share: told(done + share * (1 - done)))
    finally:
        os.close(file)
        plain.unlink()


def _compare(disk: PackedDisk, part: OpenPart, opened: Package, go_on: Progress) -> None:
    """See that a file is the one whose digest stands in the manifest. Raises BadPackage."""
    wanted = opened.digests[disk.name]
    digest = hashlib.new(wanted.algorithm, usedforsecurity=False)
    for place in range(0, part.size, CHUNK):
        digest.update(part.read(place, CHUNK))
        go_on(place / part.size)
    if digest.hexdigest() != wanted.hex:
        raise BadPackage(
            f"its file {archive.shown(disk.name)} was changed or damaged: its manifest has another digest"
        )


def _unzip(disk: PackedDisk, part: OpenPart, plain: Path, go_on: Progress) -> None:
    """Raises BadPackage, also where there comes more out of it than the disk can have."""
    most = disk.capacity_bytes + disk.capacity_bytes // 64 + SLACK_BYTES
    unzip, written = zlib.decompressobj(GZIP), 0
    with plain.open("xb") as file:
        for place in range(0, part.size, CHUNK):
            packed = part.read(place, CHUNK)
            while packed:
                try:
                    chunk = unzip.decompress(packed, CHUNK)
                except zlib.error as error:
                    raise BadPackage(f"its file {archive.shown(disk.name)} cannot be unzipped: {error}") from error
                packed = unzip.unconsumed_tail
                space.require(plain.parent, len(chunk), f"Its file {archive.shown(disk.name)}, unzipped,")
                written += file.write(chunk)
                if written > most:
                    raise BadPackage(f"its file {archive.shown(disk.name)} has more in it than a disk of its size")
                go_on(place / part.size)
    if not unzip.eof:
        raise BadPackage(f"its file {archive.shown(disk.name)} ends too early")


async def _convert(disk: PackedDisk, part: OpenPart, target: Path, told: Progress) -> None:
    found = package.disk_bytes(disk, part)
    try:
        await qemu_img.convert(
            part.for_programs(),
            disk.format,
            target,
            "qcow2",
            progress=lambda percent: told(percent / 100),
            limits=qemu_img.limits_for(max(found, part.size), file_bytes=space.free_bytes(target.parent)),
        )
    except (NoSpace, ProgramError):
        raise
    except FuncManError as error:
        raise BadPackage(f"its file {archive.shown(disk.name)} cannot be read: {error.message}") from error
    if found < disk.capacity_bytes:
        await qemu_img.resize(target, "qcow2", disk.capacity_bytes)


def _settle(made: Path, place: Path) -> None:
    """Put the finished disks on the disk and in their place. Another who was as far as we are has won."""
    for path in made.iterdir():
        durable.sync_file(path, 0o600)
    durable.sync_directory(made)
    durable.own_directory(place.parent, 0o711)
    if not place.exists():
        made.rename(place)
        durable.sync_directory(place.parent)
