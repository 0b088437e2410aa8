"""The members of an .ova, which is a plain tar archive, found and judged before anything of it is used.

The archive is never unpacked: its members are read where they lie, so that no name in it ever becomes a path
here, and nothing that it says of owners, modes and kinds can have an effect. What has no place in a package is
refused all the same, in words, because nobody honest puts it there.

Sources: POSIX.1-2017, `pax` (ustar, pax headers); GNU tar's manual, "Basic Tar Format" (long names, sizes in base
256).
"""

import os
import re
import struct
from typing import Final

import msgspec

from oms.agent.templates.appliance import BadPackage

BLOCK: Final = 512
MOST_HEADERS: Final = 256
LARGEST_EXTENSION: Final = 16 * 1024
"""Bytes of a pax header or a long name: a name has a few hundred at most."""
LONGEST_NAME: Final = 200
LARGEST_NUMBER: Final = 2**63
SHOWN: Final = 80
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_PAX = re.compile(rb"([0-9]{1,6}) ([^=\n]{1,100})=")
_REGULAR = b"0\0"
_LONG_NAME, _PAX_MEMBER, _PAX_GLOBAL = b"L", b"x", b"g"
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


class _Header(msgspec.Struct, frozen=True):
    name: bytes
    mode: int
    size: int
    kind: bytes


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
        name = _text(extension.get("path", header.name))
        data, length = offset + BLOCK, _whole(extension["size"], name) if "size" in extension else header.size
        if data + length > size:
            raise BadPackage(f"its member {shown(name)} has {length} bytes, which are not in the archive")
        offset = data + -(-length // BLOCK) * BLOCK
        if header.kind in (_LONG_NAME, _PAX_MEMBER, _PAX_GLOBAL):
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


def shown(name: str) -> str:
    """A name that a stranger chose, in one short line."""
    return ascii(name if len(name) <= SHOWN else f"{name[:SHOWN]}...")


def _judged(name: str, header: _Header) -> str:
    if header.kind not in _REGULAR or name.endswith("/"):
        kind = _KINDS.get(header.kind, "a directory" if name.endswith("/") else "of an unknown kind")
        raise BadPackage(f"its member {shown(name)} is {kind}; legal are regular files")
    if header.mode & 0o6000:
        raise BadPackage(f"its member {shown(name)} runs under another account (its mode is {header.mode:o})")
    return plain_name(name)


def _header(block: bytes, offset: int) -> _Header:
    if offset == 0 and (packing := next((p for magic, p in _PACKED.items() if block.startswith(magic)), None)):
        raise BadPackage(f"it is packed by {packing}; an .ova is a plain tar archive: unpack it first")
    if len(block) < BLOCK:
        raise BadPackage("it ends in the midst of a member: it was not copied to its end")
    name, mode, _, _, size, _, checksum, kind, _, magic, *_, prefix = _HEADER.unpack(block)
    if checksum.strip(b" \0").lstrip(b"0") != b"%o" % (sum(block) - sum(checksum) + 8 * 0x20):
        where = "it is no tar archive" if offset == 0 else f"what stands at byte {offset} is no member"
        raise BadPackage(f"{where}: it is damaged, or another kind of file")
    front = prefix.split(b"\0")[0] if magic.startswith(b"ustar\0") else b""
    name = b"/".join(filter(None, (front, name.split(b"\0")[0])))
    return _Header(name, _octal(mode), _number(size, _text(name)), kind)


def _extension(header: _Header, length: int, body: bytes, name: str) -> dict[str, bytes]:
    """What a header that stands before a member says of it."""
    if length > LARGEST_EXTENSION:
        raise BadPackage(
            f"a header before its member {shown(name)} has {length} bytes; {LARGEST_EXTENSION} are legal"
        )
    if header.kind == _LONG_NAME:
        return {"path": body.split(b"\0")[0]}
    records = _pax(body)
    if sparse := next((key for key in records if key.startswith("GNU.sparse.")), None):
        raise BadPackage(f"its member {shown(name)} is a sparse file ({sparse}); legal are regular files")
    told: dict[str, bytes] = {key: records[key] for key in ("path", "size") if key in records}
    if told and header.kind == _PAX_GLOBAL:
        raise BadPackage(f"a header gives all its members one {' and one '.join(told)}")
    return told


def _pax(body: bytes) -> dict[str, bytes]:
    """The records of a pax header: `LENGTH KEY=VALUE\\n`, the length that of the whole record."""
    records: dict[str, bytes] = {}
    place = 0
    while place < len(body):
        found = _PAX.match(body, place)
        length = int(found[1]) if found else 0
        if found is None or found.end() >= place + length or body[place + length - 1 : place + length] != b"\n":
            raise BadPackage("a header of a member is damaged")
        records[found[2].decode(errors="replace")] = body[found.end() : place + length - 1]
        place += length
    return records


def _whole(text: bytes, name: str) -> int:
    if not re.fullmatch(rb"[0-9]{1,18}", text):
        raise BadPackage(f"its member {shown(name)} has a size of {shown(_text(text))} bytes")
    return int(text)


def _number(field: bytes, name: str) -> int:
    """Octal digits, or, for what is larger, a number in base 256 behind a byte 0x80."""
    if field[0] & 0x80 == 0:
        return _octal(field)
    number = int.from_bytes(field[1:])
    if field[0] != 0x80 or number >= LARGEST_NUMBER:
        raise BadPackage(f"its member {shown(name)} has a size below nothing, or above that of any file")
    return number


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", digits):
        raise BadPackage("a number in a member's header is damaged: it is no tar archive, or was not copied right")
    return int(digits or b"0", 8)


def _text(name: bytes) -> str:
    return name.decode("utf-8", errors="surrogateescape")
