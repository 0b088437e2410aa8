"""Extended attributes of files, between how an archive says them and how they lie on a disk. Pure.

Two of them have users' numbers in them: access lists, and the capabilities of programs, which count only for the
users of one container.

Sources: Linux's linux/posix_acl_xattr.h and linux/capability.h, capabilities(7), acl(5); GNU tar's manual,
"Extended File Attributes" (SCHILY.xattr, SCHILY.acl).
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from oms.agent.tarballs.headers import shown, text
from oms.agent.tarballs.owners import Owners
from oms.agent.templates.appliance import BadPackage

Moving = Callable[[int], int | None]
XATTR, ACL = "SCHILY.xattr.", "SCHILY.acl."
CAPABILITY: Final = "security.capability"
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
ACLS: Final = {ACCESS: f"{ACL}access", DEFAULT: f"{ACL}default"}
KEPT: Final = ("user.",)
OF_HOSTS: Final = ("security.", "system.", "com.apple.", "LIBARCHIVE.")
"""Labels and lists of the host that packed it, of no meaning here."""
MOST, LONGEST_NAME, LARGEST_VALUE = 64, 255, 64 * 1024
ID_LIMIT: Final = 2**31
_CAPS_2, _CAPS_3 = struct.Struct("<5I"), struct.Struct("<6I")
_REVISION, _REVISION_2, _REVISION_3 = 0xFF000000, 0x02000000, 0x03000000
_ACL_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
_NOBODY: Final = 0xFFFFFFFF
_TAGS: Final = {
    ("user", False): 1, ("user", True): 2, ("group", False): 4, ("group", True): 8, ("mask", False): 16,
    ("other", False): 32,
}  # fmt: skip
_WORDS: Final = {number: word for (word, _), number in _TAGS.items()}
_USER: Final = 2
_WITH_ID: Final = (_USER, 8)
_LINE = re.compile(r"(user|group|mask|other):([^:]*):([r-][w-][x-])(?::([0-9]{1,10}))?")


def of_member(pax: Mapping[str, bytes], words: str) -> dict[str, bytes]:
    """The attributes that a member is to have, as its container sees them. Raises BadPackage."""
    found = {}
    for key, value in pax.items():
        if not key.startswith(XATTR):
            continue
        name = key.removeprefix(XATTR)
        if name == CAPABILITY or name.startswith(KEPT):
            found[name] = capability(value, words) if name == CAPABILITY else value
        elif not name.startswith(OF_HOSTS):
            raise BadPackage(f"its member {shown(words)} has an attribute {shown(name)}, which only hosts give")
    for name, key in ACLS.items():
        if key in pax and (entries := acl(pax[key], words)):
            found[name] = entries
    if len(found) > MOST or any(
        len(name) > LONGEST_NAME or len(value) > LARGEST_VALUE for name, value in found.items()
    ):
        raise BadPackage(f"its member {shown(words)} has more attributes than a file has")
    return found


def to_disk(name: str, value: bytes, owners: Owners) -> bytes:
    """An attribute as it lies on the disk, where the container's users have numbers of their own. Raises
    BadPackage."""
    root = owners.user(0)
    if name == CAPABILITY and root:
        magic, *sets = _CAPS_2.unpack(value)
        return _CAPS_3.pack(magic & ~_REVISION | _REVISION_3, *sets, root)
    if name in ACLS and not owners.same:
        return _moved(value, owners.user, owners.group)
    return value


def from_disk(name: str, value: bytes, owners: Owners) -> bytes | None:
    """The same back; None for what means nothing in the container."""
    if name.startswith(KEPT):
        return value
    if name == CAPABILITY:
        return _capability_of(value, owners.user(0) or 0)
    if name in ACLS:
        try:
            return _moved(value, owners.user_inside, owners.group_inside)
        except BadPackage:
            return None
    return None


def capability(value: bytes, words: str) -> bytes:
    """A program's capabilities, in the form that every container takes."""
    revision = struct.unpack_from("<I", value)[0] & _REVISION if len(value) >= 4 else 0
    if revision == _REVISION_2 and len(value) == _CAPS_2.size:
        return value
    if revision == _REVISION_3 and len(value) == _CAPS_3.size and not _CAPS_3.unpack(value)[5]:
        magic, *sets, _ = _CAPS_3.unpack(value)
        return _CAPS_2.pack(magic & ~_REVISION | _REVISION_2, *sets)
    raise BadPackage(f"its member {shown(words)} has capabilities that cannot be read")


def acl(lines: bytes, words: str) -> bytes:
    """An access list from its text. Who is called by a name that only the packing host knows is left out."""
    entries = list(_entries(lines, words))
    return _ACL_VERSION + b"".join(_ENTRY.pack(*entry) for entry in sorted(entries)) if entries else b""


def acl_text(value: bytes) -> bytes:
    """An access list as an archive says it."""
    lines = []
    for tag, permissions, who in _ENTRY.iter_unpack(value[4:]):
        bits = "".join(letter if permissions & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))
        lines.append(f"{_WORDS[tag]}:{who if tag in _WITH_ID else ''}:{bits}")
    return ",".join(lines).encode()


def _entries(lines: bytes, words: str) -> Iterator[tuple[int, int, int]]:
    for line in re.split(r"[,\n]", text(lines)):
        plain = line.split("#")[0].strip()
        if not plain:
            continue
        found = _LINE.fullmatch(plain)
        if found is None:
            raise BadPackage(f"its member {shown(words)} has an access list that cannot be read")
        word, who, bits, number = found.groups()
        permissions = sum(4 >> place for place, letter in enumerate(bits) if letter != "-")
        if not who:
            yield _TAGS[word, False], permissions, _NOBODY
        elif (number := number or who).isdecimal() and int(number) < ID_LIMIT and (word, True) in _TAGS:
            yield _TAGS[word, True], permissions, int(number)


def _moved(value: bytes, user: Moving, group: Moving) -> bytes:
    if len(value) < 4 or value[:4] != _ACL_VERSION or (len(value) - 4) % _ENTRY.size:
        raise BadPackage("an access list in it cannot be read")
    entries = b""
    for tag, permissions, who in _ENTRY.iter_unpack(value[4:]):
        moved = (user if tag == _USER else group)(who) if tag in _WITH_ID else who
        if moved is None:
            raise BadPackage(f"an access list in it names somebody ({who}) whom no container here has")
        entries += _ENTRY.pack(tag, permissions, moved)
    return _ACL_VERSION + entries


def _capability_of(value: bytes, root: int) -> bytes | None:
    if len(value) == _CAPS_2.size:
        return None if root else value
    if len(value) != _CAPS_3.size or _CAPS_3.unpack(value)[5] != root:
        return None
    magic, *sets, _ = _CAPS_3.unpack(value)
    return _CAPS_2.pack(magic & ~_REVISION | _REVISION_2, *sets)
