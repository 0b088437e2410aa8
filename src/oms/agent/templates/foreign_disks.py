"""Disks in the formats of other products: what their headers say, and whether that is safe to read. Pure.

A file of such a format may name other files as its own content. One that does is refused, before any program that
would follow the name looks at it.

Sources: VMware's "Virtual Disk Format 5.0" (sparse extents, stream-optimized disks, descriptors); VirtualBox's
VDICore.h as told in its forum's "VDI format" (offsets of the fields used here); qcow2 see `images.qcow2`.
"""

import re
import struct
from collections.abc import Callable
from typing import Final

from oms.agent.images import qcow2
from oms.agent.templates.appliance import BadPackage, ForeignFormat

SECTOR: Final = 512
LARGEST_DISK_BYTES: Final = qcow2.LARGEST_DISK_BYTES
LARGEST_DESCRIPTOR: Final = 64 * 1024
ALONE: Final = frozenset({"streamoptimized", "monolithicsparse"})
"""Kinds of vmdk that are one file."""
_VMDK_MAGIC = b"KDMV"
_VMDK = struct.Struct("<4sIIQQQQIQQ")
_GRAIN_TABLES_AT_END = 2**64 - 1
_VDI_MAGIC = 0xBEDA107F
_VDI_PLACE = 0x40
_VDI = struct.Struct("<III")
_VDI_SIZE_PLACE, _VDI_OTHERS_PLACE = 0x170, 0x1A8
_VDI_KINDS = (1, 2)  # grows, or is written out in full; all others stand upon another file

Read = Callable[[int, int], bytes]
"""So many bytes from a place in the file."""


def disk_bytes(packing: ForeignFormat, size: int, read: Read) -> int:
    """The size of the disk in a file of `size` bytes. Raises BadPackage."""
    if packing == "raw":
        found = size
    elif packing == "qcow2":
        found = _qcow2(size, read)
    else:
        found = _vmdk(size, read) if packing == "vmdk" else _vdi(read)
    if not 0 < found <= LARGEST_DISK_BYTES:
        raise BadPackage(f"has a disk of {found} bytes; legal is 1 to {LARGEST_DISK_BYTES}")
    return found


def _qcow2(size: int, read: Read) -> int:
    try:
        return qcow2.foreign(read(0, qcow2.HEAD_BYTES), size)
    except qcow2.Refused as refused:
        raise BadPackage(f"is refused: {refused}") from refused


def _vmdk(size: int, read: Read) -> int:
    at_end, disk = _vmdk_header(read(0, SECTOR), size, read)
    if not at_end:
        return disk
    # A stream was written from front to back, and has its true header in the last sector but one.
    _, disk_at_end = _vmdk_header(read(max(size - 2 * SECTOR, 0), SECTOR), size, read)
    if disk_at_end != disk:
        raise BadPackage("has two headers that say different things")
    return disk


def _vmdk_header(header: bytes, size: int, read: Read) -> tuple[bool, int]:
    """Whether the tables are told of at the end of the file, and the size of the disk."""
    if not header.startswith(_VMDK_MAGIC) or len(header) < _VMDK.size:
        raise BadPackage("is no vmdk in one file: export it as a stream-optimized disk")
    _, version, _flags, sectors, _grain, place, length, _entries, _spare, tables = _VMDK.unpack_from(header)
    if version not in (1, 2, 3):
        raise BadPackage(f"is a vmdk of version {version}; 1 to 3 are known")
    if not sectors:
        raise BadPackage("is a vmdk whose content is in other files: export it as a stream-optimized disk")
    if place or length:
        if not length * SECTOR <= LARGEST_DESCRIPTOR or (place + length) * SECTOR > size:
            raise BadPackage("has a description that does not lie in it")
        _alone(read(place * SECTOR, length * SECTOR))
    return tables == _GRAIN_TABLES_AT_END, sectors * SECTOR


def _alone(descriptor: bytes) -> None:
    """See that a vmdk's own description tells of this one file. Raises BadPackage."""
    text = descriptor.split(b"\0")[0].decode(errors="replace")
    said = {
        key.strip().lower(): value.strip(' \t\r"')
        for key, value in re.findall(r"^([^#=\n]+)=(.*)$", text, re.MULTILINE)
    }
    if said.get("parentcid", "ffffffff").lower() != "ffffffff" or "parentfilenamehint" in said:
        raise BadPackage("stands upon another disk: export it as one")
    if (kind := said.get("createtype", "")).lower() not in ALONE:
        raise BadPackage(f"is a vmdk of the kind {kind[:40]!r}: export it as a stream-optimized disk")
    if len(re.findall(r"^\s*(?:RW|RDONLY|NOACCESS)\s", text, re.MULTILINE)) > 1:
        raise BadPackage("is a vmdk of several parts: export it as a stream-optimized disk")


def _vdi(read: Read) -> int:
    header = read(0, SECTOR)
    if len(header) < SECTOR or _VDI.unpack_from(header, _VDI_PLACE)[0] != _VDI_MAGIC:
        raise BadPackage("is not in the format vdi")
    (kind,) = struct.unpack_from("<I", header, _VDI_PLACE + 12)
    if kind not in _VDI_KINDS or any(header[_VDI_OTHERS_PLACE : _VDI_OTHERS_PLACE + 32]):
        raise BadPackage("stands upon another disk: export it as one")
    found: int = struct.unpack_from("<Q", header, _VDI_SIZE_PLACE)[0]
    return found
