"""What a qcow2 file says of itself at its beginning. Pure.

Two questions are answered here: which file it stands upon, and whether a file that somebody brought is one that
may be used at all. An image can name other files (one behind it, one that holds its data) which whoever opens it
then reads as root; and it can claim tables so large that reading them takes the host's memory.

Source: QEMU's docs/interop/qcow2.txt, "Header" and "Header extensions"; all numbers are big-endian. The name of
the backing file is at most 1023 bytes and lies in the first cluster.
"""

import struct
from pathlib import Path

import msgspec

MAGIC = b"QFI\xfb"
HEAD_BYTES = 64 * 1024  # the usual first cluster
LONGEST_NAME = 1023
MOST_L1_ENTRIES = 32 * 1024 * 1024 // 8
"""QEMU itself takes no more."""
MOST_REFCOUNT_BYTES = 8 * 1024 * 1024
LARGEST_DISK_BYTES = 64 * 1024**4

_HEADER = struct.Struct(">4sIQI")
_WHOLE = struct.Struct(">4sIQIIQIIQQIIQ")
_VERSION_3 = struct.Struct(">QQQII")
_EXTENSION = struct.Struct(">II")
_DATA_FILE_NAME = 0x44415441
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN = _DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION | _EXTENDED_L2


class Refused(Exception):
    """Why a file is no qcow2 image that is taken in; the end of a sentence."""


class Header(msgspec.Struct, frozen=True):
    """An image's own numbers."""

    version: int
    backing_offset: int
    backing_bytes: int
    cluster_bits: int
    disk_bytes: int
    encryption: int
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    snapshots: int
    snapshots_offset: int
    incompatible: int = 0
    refcount_order: int = 4
    header_bytes: int = _WHOLE.size


def foreign(head: bytes, file_bytes: int) -> int:
    """The size in bytes of the disk in a file that somebody brought. `head` is its first HEAD_BYTES.

    Raises Refused for all but an image that stands for itself: no other file named, no secret needed, nothing
    unknown, and tables that lie in the file and are as large as the disk needs them.
    """
    header = _read(head)
    _stands_alone(header)
    _is_whole(header)
    _is_sane(header, file_bytes)
    if _DATA_FILE_NAME in _extensions(header, head):
        raise Refused("it names another file for its data")
    return header.disk_bytes


def _read(head: bytes) -> Header:
    if not head.startswith(MAGIC) or len(head) < _WHOLE.size:
        raise Refused("it is not in the format qcow2")
    _magic, version, *numbers = _WHOLE.unpack_from(head)
    if version == 2:
        return Header(version, *numbers)
    if version != 3 or len(head) < _WHOLE.size + _VERSION_3.size:
        raise Refused(f"its version is {version}; 2 and 3 are known")
    incompatible, _compatible, _autoclear, order, size = _VERSION_3.unpack_from(head, _WHOLE.size)
    if size % 8 or not _WHOLE.size + _VERSION_3.size <= size <= len(head):
        raise Refused(f"its header has {size} bytes")
    short = Header(version, *numbers)
    return msgspec.structs.replace(short, incompatible=incompatible, refcount_order=order, header_bytes=size)


def _stands_alone(header: Header) -> None:
    if header.backing_offset or header.backing_bytes:
        raise Refused("it stands upon another file: bring it as one (qemu-img convert makes that)")
    if header.incompatible & _DATA_FILE:
        raise Refused("its data is in another file: bring it as one (qemu-img convert makes that)")
    if header.encryption:
        raise Refused("it is encrypted")


def _is_whole(header: Header) -> None:
    if unknown := header.incompatible & ~_KNOWN:
        raise Refused(f"it needs features that are not known here ({unknown:#x})")
    if header.incompatible & (_DIRTY | _CORRUPT):
        raise Refused("it was not closed, or is damaged: mend it first (qemu-img check -r all)")
    if header.snapshots:
        raise Refused("it has snapshots: bring it without (qemu-img convert leaves them out)")


def _is_sane(header: Header, file_bytes: int) -> None:
    if not 9 <= header.cluster_bits <= 21 or not 0 <= header.refcount_order <= 6:
        raise Refused("its clusters or counters have a size that there is not")
    if not 0 < header.disk_bytes <= LARGEST_DISK_BYTES:
        raise Refused(f"its disk has {header.disk_bytes} bytes; legal is 1 to {LARGEST_DISK_BYTES}")
    entry_bits = 4 if header.incompatible & _EXTENDED_L2 else 3
    per_table = 1 << (2 * header.cluster_bits - entry_bits)
    needed = -(-header.disk_bytes // per_table)
    if not needed <= header.l1_entries <= MOST_L1_ENTRIES:
        raise Refused(f"its first table has {header.l1_entries} entries where its disk needs {needed}")
    refcount_bytes = header.refcount_clusters << header.cluster_bits
    if refcount_bytes > MOST_REFCOUNT_BYTES:
        raise Refused("its table of counters is too large")
    for offset, size in ((header.l1_offset, header.l1_entries * 8), (header.refcount_offset, refcount_bytes)):
        if offset % (1 << header.cluster_bits) or offset < header.header_bytes or offset + size > file_bytes:
            raise Refused("a table does not lie in the file")


def _extensions(header: Header, head: bytes) -> set[int]:
    """The kinds of the header's extensions. Raises Refused where they do not come to an end."""
    found: set[int] = set()
    place = header.header_bytes
    while place + _EXTENSION.size <= min(len(head), 1 << header.cluster_bits):
        kind, size = _EXTENSION.unpack_from(head, place)
        if kind == 0:
            return found
        found.add(kind)
        place += _EXTENSION.size + (size + 7) // 8 * 8
    raise Refused("its header does not come to an end")


def disk_bytes(head: bytes) -> int:
    """The size of the disk in an image; 0 where its beginning is none of a qcow2."""
    return int.from_bytes(head[24:32]) if head.startswith(MAGIC) and len(head) >= _WHOLE.size else 0


def backing_name(head: bytes) -> str | None:
    """What the beginning of a file names as its backing file; None where it is no qcow2 or stands alone."""
    if len(head) < _HEADER.size:
        return None
    magic, _version, offset, length = _HEADER.unpack_from(head)
    if magic != MAGIC or not offset or not 0 < length <= LONGEST_NAME:
        return None
    return head[offset : offset + length].decode("utf-8", errors="surrogateescape") or None


def backing_path(name: str, of: Path) -> Path | None:
    """The file that a backing name means; None for the forms that are no plain path (`json:{...}`,
    `nbd://...`)."""
    plain = name.removeprefix("file:")
    front, colon, _ = plain.partition(":")
    if colon and "/" not in front:
        return None
    return of.parent / plain
