"""The one thing we read in a qcow2 file: which file it stands upon. Pure.

Source: QEMU's docs/interop/qcow2.txt, "Header": magic and version, then the offset of the backing file's name as a
64-bit and its length as a 32-bit number, all big-endian; the name is at most 1023 bytes and lies in the first
cluster.
"""

import struct
from pathlib import Path

MAGIC = b"QFI\xfb"
HEAD_BYTES = 64 * 1024  # the usual first cluster
LONGEST_NAME = 1023
_HEADER = struct.Struct(">4sIQI")


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
