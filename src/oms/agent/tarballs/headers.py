"""What stands before each member of a tar archive, and the numbers and records in it. Pure.

Sources: POSIX.1-2017, `pax` (ustar, pax headers); GNU tar's manual, "Basic Tar Format" (long names, sizes in base
256, old sparse files).
"""

import re
import struct
from typing import Final

import msgspec

from oms.agent.templates.appliance import BadPackage

BLOCK: Final = 512
LARGEST_NUMBER: Final = 2**63
SHOWN: Final = 80
REGULAR: Final = b"0\0"
LONG_NAME, LONG_LINK, PAX_MEMBER, PAX_GLOBAL, OLD_SPARSE = b"L", b"K", b"x", b"g", b"S"
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_PAX = re.compile(rb"([0-9]{1,9}) ([^=\n]{1,300})=")


class Header(msgspec.Struct, frozen=True):
    """One block of 512 bytes. `kind` is its type flag; `numbers` are its time, user and group, undecoded."""

    name: bytes
    mode: int
    size: int
    kind: bytes
    link: bytes
    numbers: tuple[bytes, bytes, bytes]


def parsed(block: bytes, offset: int) -> Header:
    """The header in a block that stands `offset` bytes from the beginning. Raises BadPackage."""
    if len(block) < BLOCK:
        raise BadPackage("it ends in the midst of a member: it was not copied to its end")
    name, mode, user, group, size, changed, checksum, kind, link, magic, *_, prefix = _HEADER.unpack(block)
    if checksum.strip(b" \0").lstrip(b"0") != b"%o" % (sum(block) - sum(checksum) + 8 * 0x20):
        where = "it is no tar archive" if offset == 0 else f"what stands at byte {offset} is no member"
        raise BadPackage(f"{where}: it is damaged, or another kind of file")
    front = prefix.split(b"\0")[0] if magic.startswith(b"ustar\0") else b""
    name = b"/".join(filter(None, (front, name.split(b"\0")[0])))
    numbers = (changed, user, group)
    return Header(name, octal(mode), number(size, text(name)), kind, link.split(b"\0")[0], numbers)


def pax(body: bytes) -> dict[str, bytes]:
    """The records of a pax header: `LENGTH KEY=VALUE\\n`, the length that of the whole record. Raises
    BadPackage."""
    records: dict[str, bytes] = {}
    place = 0
    while place < len(body):
        found = _PAX.match(body, place)
        length = int(found[1]) if found else 0
        if found is None or found.end() >= place + length or body[place + length - 1 : place + length] != b"\n":
            raise BadPackage("a header of a member is damaged")
        records[found[2].decode(errors="surrogateescape")] = body[found.end() : place + length - 1]
        place += length
    return records


def whole(digits: bytes, name: str, what: str = "a size") -> int:
    """A decimal number, as pax headers have it. Raises BadPackage."""
    if not re.fullmatch(rb"[0-9]{1,18}", digits):
        raise BadPackage(f"its member {shown(name)} has {what} of {shown(text(digits))}")
    return int(digits)


def number(field: bytes, name: str, what: str = "a size") -> int:
    """Octal digits, or, for what is larger, a number in base 256 behind a byte 0x80. Raises BadPackage."""
    if field[0] & 0x80 == 0:
        return octal(field)
    found = int.from_bytes(field[1:])
    if field[0] != 0x80 or found >= LARGEST_NUMBER:
        raise BadPackage(f"its member {shown(name)} has {what} below nothing, or above that of any file")
    return found


def octal(field: bytes) -> int:
    """Octal digits, nothing being 0. Raises BadPackage."""
    digits = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", digits):
        raise BadPackage("a number in a member's header is damaged: it is no tar archive, or was not copied right")
    return int(digits or b"0", 8)


def text(name: bytes) -> str:
    """A name as Python has those of files."""
    return name.decode("utf-8", errors="surrogateescape")


def shown(name: str) -> str:
    """A name that a stranger chose, in one short line."""
    return ascii(name if len(name) <= SHOWN else f"{name[:SHOWN]}...")
