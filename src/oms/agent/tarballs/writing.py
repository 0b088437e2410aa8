"""Entries as an archive has them: headers that every tar of today reads. Pure.

What the oldest form has no room for stands in a pax header before it: long names, times in nanoseconds, large
numbers, attributes, and where the content of a file with holes belongs.

Sources: POSIX.1-2017, `pax`; GNU tar's manual, "Storing Sparse Files" (the form 1.0).
"""

import struct
from typing import Final

from oms.agent.tarballs import attributes
from oms.agent.tarballs.headers import BLOCK
from oms.agent.tarballs.rules import Entry, EntryKind

END: Final = bytes(2 * BLOCK)
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_FLAGS: Final[dict[EntryKind, bytes]] = {
    "file": b"0", "hardlink": b"1", "symlink": b"2", "directory": b"5", "pipe": b"6",
}  # fmt: skip
_SHORT, _SMALL, _LARGE = 100, 8**7, 8**11
_PAX_NAME = b"pax"


def header(entry: Entry) -> bytes:
    """All that stands before the content of an entry; of one with holes, the map too."""
    stored = sum(length for _, length in entry.extents)
    holes = entry.kind == "file" and stored != entry.size
    inner = _map(entry) if holes else b""
    size = len(inner) + stored if entry.kind == "file" else 0
    name = entry.name + b"/" if entry.kind == "directory" else entry.name
    said = _said(entry, name, size)
    if holes:
        said |= {
            b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.name": name,
            b"GNU.sparse.realsize": b"%d" % entry.size,
        }  # fmt: skip
    before = b""
    if said:
        body = b"".join(_record(key, value) for key, value in said.items())
        before = _block(_PAX_NAME, b"x", len(body)) + body + padding(len(body))
    return before + _block(name, _FLAGS[entry.kind], size, entry) + inner


def padding(size: int) -> bytes:
    """What fills up the last block."""
    return bytes(-size % BLOCK)


def _said(entry: Entry, name: bytes, size: int) -> dict[bytes, bytes]:
    said = {}
    if len(name) > _SHORT:
        said[b"path"] = name
    if len(entry.link) > _SHORT:
        said[b"linkpath"] = entry.link
    for key, number in ((b"uid", entry.uid), (b"gid", entry.gid)):
        if number >= _SMALL:
            said[key] = b"%d" % number
    if size >= _LARGE:
        said[b"size"] = b"%d" % size
    seconds, rest = divmod(entry.time_ns, 10**9)
    if rest or seconds >= _LARGE:
        said[b"mtime"] = b"%d.%09d" % (seconds, rest)
    for attribute, value in entry.attributes.items():
        if (key_of_list := attributes.ACLS.get(attribute)) is not None:
            said[key_of_list.encode()] = attributes.acl_text(value)
        else:
            said[attributes.XATTR.encode() + attribute.encode(errors="surrogateescape")] = value
    return said


def _map(entry: Entry) -> bytes:
    """Its last line says where the file ends: GNU tar takes the end from there."""
    extents = (*entry.extents, (entry.size, 0))
    numbers = [len(extents), *(number for extent in extents for number in extent)]
    found = b"".join(b"%d\n" % number for number in numbers)
    return found + padding(len(found))


def _record(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _block(name: bytes, flag: bytes, size: int, entry: Entry | None = None) -> bytes:
    mode, uid, gid, seconds, link = 0o644, 0, 0, 0, b""
    if entry is not None:
        mode, uid, gid, seconds, link = entry.mode, entry.uid, entry.gid, entry.time_ns // 10**9, entry.link
    fields = [
        name[:_SHORT], b"%07o\0" % mode, _digits(uid, 7), _digits(gid, 7), _digits(size, 11), _digits(seconds, 11),
        b" " * 8, flag, link[:_SHORT], b"ustar\x0000", b"", b"", _digits(0, 7), _digits(0, 7), b"",
    ]  # fmt: skip
    fields[6] = b"%06o\0 " % sum(_HEADER.pack(*fields))
    return _HEADER.pack(*fields)


def _digits(number: int, count: int) -> bytes:
    """0 where there is no room for it: a pax header says it then."""
    return b"%0*o\0" % (count, number if number < 8**count else 0)
