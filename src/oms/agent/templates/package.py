"""Template packages of this host by name: found, opened, and judged as far as can be without reading all.

A template is an archive `NAME.ova`, or a directory `NAME` with an .ovf and the files that it names. Its files are
opened once, links not followed, and only what was opened is used from then on: by its descriptor, so that what
happens to names meanwhile changes nothing.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import msgspec

from oms.agent.host.qemu_img import Part
from oms.agent.host.stoppable import in_thread
from oms.agent.templates import archive, foreign_disks, manifest, ovf, words
from oms.agent.templates.appliance import Appliance, BadPackage, PackedDisk
from oms.agent.templates.manifest import Digest
from oms.contract.errors import FuncManError
from oms.contract.kvm.templates import TemplateName

ARCHIVE: Final = ".ova"
DESCRIPTOR: Final = ".ovf"
MANIFEST: Final = ".mf"
CERTIFICATE: Final = ".cert"
KEY_DIGITS: Final = 16
OPENED: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class OpenPart(msgspec.Struct, frozen=True):
    """A file of an open package: `size` bytes from `offset` on of what is open as `file`."""

    file: int
    offset: int
    size: int

    def read(self, place: int, size: int) -> bytes:
        """So many bytes from a place in it; fewer where it ends before. Raises OSError."""
        return os.pread(self.file, max(min(size, self.size - place), 0), self.offset + place)

    def for_programs(self) -> Part:
        """The same by a path, as long as this process has it open."""
        return Part(Path(f"/proc/{os.getpid()}/fd/{self.file}"), self.offset, self.size)


class Package(msgspec.Struct, frozen=True):
    """An open template. `key` tells this content of the package from any other that had its name."""

    name: str
    key: str
    appliance: Appliance
    parts: dict[str, OpenPart]
    digests: dict[str, Digest]
    """Of its files, by name; empty where it has no manifest."""


def names(templates: Path) -> list[str]:
    """The names of the templates there, sorted. Raises OSError."""
    found = set()
    for entry in os.scandir(templates):
        name = entry.name.removesuffix(ARCHIVE)
        if entry.is_file(follow_symlinks=False):
            is_one = entry.name.endswith(ARCHIVE)
        else:
            is_one = (
                entry.is_dir(follow_symlinks=False) and name == entry.name and _has_descriptor(Path(entry.path))
            )
        if is_one and _is_name(name):
            found.add(name)
    return sorted(found)


@contextlib.asynccontextmanager
async def opened(templates: Path, name: str) -> AsyncIterator[Package]:
    """The template of that name, open. Raises NotThere, Unusable, FuncManError."""
    with contextlib.ExitStack() as files:
        try:
            yield await in_thread(lambda _go_on: _checked(_open(templates, name, files)))
        except BadPackage as bad:
            raise words.unusable(name, bad) from bad


def _checked(package: Package) -> Package:
    """The same, after its disks' files were seen to be there, as large as they should be, and safe to read."""
    for file in package.appliance.files:
        part = package.parts.get(file.name)
        if part is not None and file.size is not None and file.size != part.size:
            raise BadPackage(
                f"its file {archive.shown(file.name)} has {part.size} bytes and should have {file.size}"
            )
    for disk in package.appliance.disks:
        if disk.file is None:
            continue
        if (part := package.parts.get(disk.file.name)) is None:
            raise BadPackage(f"its file {archive.shown(disk.name)} is not there")
        if not disk.file.gzip:  # what is packed is looked at when it is unpacked
            disk_bytes(disk, part)
    return package


def disk_bytes(disk: PackedDisk, part: OpenPart) -> int:
    """The size of the disk that a file holds, after it was seen to be safe to read and no larger than declared.
    Raises BadPackage, OSError."""
    try:
        found = foreign_disks.disk_bytes(disk.format, part.size, part.read)
    except BadPackage as bad:
        raise BadPackage(f"its file {archive.shown(disk.name)} {bad}") from bad
    if found > disk.capacity_bytes:
        raise BadPackage(
            f"its file {archive.shown(disk.name)} has a disk of {found} bytes, and its .ovf declares "
            f"{disk.capacity_bytes}"
        )
    return found


def _open(templates: Path, name: str, files: contextlib.ExitStack) -> Package:
    try:
        directory = _opened(str(templates), os.O_DIRECTORY, files)
        with contextlib.suppress(FileNotFoundError):
            return _of_archive(name, _regular(name + ARCHIVE, directory, files))
        return _of_directory(name, _opened(name, os.O_DIRECTORY, files, directory), files)
    except (FileNotFoundError, NotADirectoryError) as missing:
        raise words.not_there(name) from missing
    except OSError as error:
        raise FuncManError(f"Template {name!r} cannot be read on this host: {error.strerror}") from error


def _of_archive(name: str, file: int) -> Package:
    members = {member.name: member for member in archive.scan(file, os.fstat(file).st_size)}
    parts = {name: OpenPart(file, member.offset, member.size) for name, member in members.items()}
    descriptor = _descriptor(list(parts))
    appliance = ovf.read(_whole(parts[descriptor], ovf.LARGEST_BYTES, descriptor))
    declared = {file.name for file in appliance.files}
    beside = {descriptor, *(descriptor.removesuffix(DESCRIPTOR) + ending for ending in (MANIFEST, CERTIFICATE))}
    if stray := next((member for member in parts if member not in declared | beside), None):
        raise BadPackage(f"its member {archive.shown(stray)} is none of the files that its .ovf lists")
    return _package(name, descriptor, appliance, parts, [file])


def _of_directory(name: str, directory: int, files: contextlib.ExitStack) -> Package:
    listed = [entry.name for entry in os.scandir(directory) if not entry.name.startswith(".")]
    descriptor = _descriptor(listed)
    parts = {descriptor: _part(descriptor, directory, files)}
    appliance = ovf.read(_whole(parts[descriptor], ovf.LARGEST_BYTES, descriptor))
    wanted = [archive.plain_name(file.name) for file in appliance.files]
    for other in (descriptor.removesuffix(DESCRIPTOR) + MANIFEST, *wanted):
        if other in listed:
            parts[other] = _part(other, directory, files)
    return _package(name, descriptor, appliance, parts, [part.file for part in parts.values()])


def _package(
    name: str, descriptor: str, appliance: Appliance, parts: dict[str, OpenPart], files: list[int]
) -> Package:
    listing = descriptor.removesuffix(DESCRIPTOR) + MANIFEST
    digests: dict[str, Digest] = {}
    if listing in parts:
        digests = manifest.read(_whole(parts[listing], manifest.LARGEST_BYTES, listing))
        _check_listed(digests, descriptor, appliance)
        _check_descriptor(digests[descriptor], descriptor, parts[descriptor])
    return Package(name, _key(files), appliance, parts, digests)


def _check_listed(digests: dict[str, Digest], descriptor: str, appliance: Appliance) -> None:
    for name in (descriptor, *(disk.file.name for disk in appliance.disks if disk.file)):
        if name not in digests:
            raise BadPackage(f"its manifest says nothing of its file {archive.shown(name)}")


def _check_descriptor(digest: Digest, name: str, part: OpenPart) -> None:
    if hashlib.new(digest.algorithm, part.read(0, part.size), usedforsecurity=False).hexdigest() != digest.hex:
        raise BadPackage(f"its file {archive.shown(name)} was changed or damaged: its manifest has another digest")


def _descriptor(listed: list[str]) -> str:
    found = [name for name in listed if name.lower().endswith(DESCRIPTOR)]
    if len(found) != 1:
        raise BadPackage(f"it has {len(found)} files with the ending {DESCRIPTOR}; legal is one")
    return found[0]


def _has_descriptor(directory: Path) -> bool:
    try:
        return any(entry.name.lower().endswith(DESCRIPTOR) for entry in directory.iterdir())
    except OSError:
        return False


def _whole(part: OpenPart, most: int, name: str) -> bytes:
    if part.size > most:
        raise BadPackage(f"its file {archive.shown(name)} has {part.size} bytes; {most} are legal")
    return part.read(0, part.size)


def _part(name: str, directory: int, files: contextlib.ExitStack) -> OpenPart:
    file = _regular(name, directory, files)
    return OpenPart(file, 0, os.fstat(file).st_size)


def _regular(name: str, directory: int, files: contextlib.ExitStack) -> int:
    file = _opened(name, 0, files, directory)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise BadPackage(f"its file {archive.shown(name)} is no regular file")
    return file


def _opened(name: str, flags: int, files: contextlib.ExitStack, directory: int | None = None) -> int:
    try:
        file = os.open(name, OPENED | flags, dir_fd=directory)
    except OSError as error:
        if _is_link(name, directory):
            raise BadPackage(f"its file {archive.shown(name)} is a link, which is never followed") from error
        raise
    files.callback(os.close, file)
    return file


def _is_link(name: str, directory: int | None) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _key(files: list[int]) -> str:
    found = [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for s in map(os.fstat, files)]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:KEY_DIGITS]


def _is_name(name: str) -> bool:
    try:
        msgspec.convert(name, TemplateName)
    except msgspec.ValidationError:
        return False
    return True
