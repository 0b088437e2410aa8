"""The members of an .ova, which is a plain tar archive, found and judged before anything of it is used.

The archive is never unpacked: its members are read where they lie, so that no name in it ever becomes a path
here, and nothing that it says of owners, modes and kinds can have an effect. What has no place in a package is
refused all the same, in words, because nobody honest puts it there.

Sources: POSIX.1-2017, `pax` (ustar, pax headers); GNU tar's manual, "Basic Tar Format" (long names, sizes in base
256).
"""

import os
from typing import Final

import msgspec

from oms.agent.tarballs import headers
from oms.agent.tarballs.headers import BLOCK, LONG_NAME, PAX_GLOBAL, PAX_MEMBER, REGULAR, Header, shown, text
from oms.agent.templates.appliance import BadPackage

__all__ = ["Member", "plain_name", "scan", "shown"]

MOST_HEADERS: Final = 256
LARGEST_EXTENSION: Final = 16 * 1024
"""Bytes of a pax header or a long name: a name has a few hundred at most."""
LONGEST_NAME: Final = 200
_KINDS = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"5": "a directory",
    b"6": "a pipe", b"K": "a link", b"S": "a sparse file", b"M": "a part of a file",
}  # fmt: skip
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


class Member(msgspec.Struct, frozen=True):
    """A regular file in the archive: `size` bytes from `offset` on."""

    name: str
    offset: int
    size: int


def scan(file: int, size: int) -> tuple[Member, ...]:
    """The members of the archive of so many bytes that is open as `file`. Raises BadPackage, OSError."""
    members: dict[str, Member] = {}
    extension: dict[str, bytes] = {}
    offset = 0
    for _ in range(MOST_HEADERS):
        block = os.pread(file, BLOCK, offset)
        if not block.strip(b"\0"):
            break
        header = _header(block, offset)
        name = text(extension.get("path", header.name))
        data = offset + BLOCK
        length = headers.whole(extension["size"], name) if "size" in extension else header.size
        if data + length > size:
            raise BadPackage(f"its member {shown(name)} has {length} bytes, which are not in the archive")
        offset = data + -(-length // BLOCK) * BLOCK
        if header.kind in (LONG_NAME, PAX_MEMBER, PAX_GLOBAL):
            extension |= _extension(header, length, os.pread(file, min(length, LARGEST_EXTENSION), data), name)
            continue
        member = Member(_judged(name, header), data, length)
        if member.name in members:
            raise BadPackage(f"its member {shown(name)} is there twice")
        members[member.name] = member
        extension = {}
    else:
        raise BadPackage(f"it has more than {MOST_HEADERS} members; the first is {shown(next(iter(members), ''))}")
    if not members:
        raise BadPackage("it is an empty archive")
    return tuple(members.values())


def plain_name(name: str) -> str:
    """The name of a file of a package, if it is one: no path, nothing hidden, nothing unprintable. Raises
    BadPackage."""
    bare = name.removeprefix("./")
    if not bare or len(bare) > LONGEST_NAME:
        raise BadPackage(
            f"its file {shown(name)} has a name of {len(bare)} characters; legal is 1 to {LONGEST_NAME}"
        )
    if "/" in bare or "\\" in bare or bare.startswith("."):
        raise BadPackage(f"its file {shown(name)} has a path for a name; legal is a bare name")
    if not bare.isprintable():
        raise BadPackage(f"its file {shown(name)} has characters in its name that cannot be seen")
    return bare


def _judged(name: str, header: Header) -> str:
    if header.kind not in REGULAR or name.endswith("/"):
        kind = _KINDS.get(header.kind, "a directory" if name.endswith("/") else "of an unknown kind")
        raise BadPackage(f"its member {shown(name)} is {kind}; legal are regular files")
    if header.mode & 0o6000:
        raise BadPackage(f"its member {shown(name)} runs under another account (its mode is {header.mode:o})")
    return plain_name(name)


def _header(block: bytes, offset: int) -> Header:
    if offset == 0 and (packing := next((p for magic, p in _PACKED.items() if block.startswith(magic)), None)):
        raise BadPackage(f"it is packed by {packing}; an .ova is a plain tar archive: unpack it first")
    return headers.parsed(block, offset)


def _extension(header: Header, length: int, body: bytes, name: str) -> dict[str, bytes]:
    """What a header that stands before a member says of it."""
    if length > LARGEST_EXTENSION:
        raise BadPackage(
            f"a header before its member {shown(name)} has {length} bytes; {LARGEST_EXTENSION} are legal"
        )
    if header.kind == LONG_NAME:
        return {"path": body.split(b"\0")[0]}
    records = headers.pax(body)
    if sparse := next((key for key in records if key.startswith("GNU.sparse.")), None):
        raise BadPackage(f"its member {shown(name)} is a sparse file ({sparse}); legal are regular files")
    told: dict[str, bytes] = {key: records[key] for key in ("path", "size") if key in records}
    if told and header.kind == PAX_GLOBAL:
        raise BadPackage(f"a header gives all its members one {' and one '.join(told)}")
    return told
