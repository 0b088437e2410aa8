"""The members of an archive, one after another, as they stand in it: nothing is judged here but whether it can be
read in one way only.

Sources: POSIX.1-2017, `pax`; GNU tar's manual, "Basic Tar Format", "Storing Sparse Files".
"""

import re
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from oms.agent.tarballs import headers
from oms.agent.tarballs.headers import BLOCK, Header, shown, text
from oms.agent.tarballs.streams import PIECE, Stream
from oms.agent.templates.appliance import BadPackage

Kind = Literal["file", "directory", "symlink", "hardlink", "pipe", "device"]
LARGEST_EXTENSION: Final = 1024 * 1024
"""Bytes of a pax header: the attributes of one file have some hundreds, 64 KiB each at most."""
LARGEST_MAP: Final = 8 * 1024 * 1024
MOST_EXTENTS: Final = 200_000
MOST_BEHIND: Final = 16 * 1024 * 1024
KINDS: Final[dict[bytes, Kind]] = {
    b"0": "file", b"\0": "file", b"7": "file", b"S": "file", b"1": "hardlink", b"2": "symlink",
    b"3": "device", b"4": "device", b"5": "directory", b"6": "pipe",
}  # fmt: skip
HARMLESS: Final = {"comment", "charset", "hdrcharset"}
"""What may be said of all members at once."""
_TIME = re.compile(rb"(-?[0-9]{1,11})(?:\.([0-9]{1,40}))?")
_PIECES_PER_BLOCK, _PIECES_IN_HEADER = 21, 4

Extents = tuple[tuple[int, int], ...]


class Member(msgspec.Struct, frozen=True):
    """One member. `size` in bytes as the file has it, `stored` what of it stands in the archive, at `extents`."""

    name: bytes
    kind: Kind
    mode: int
    uid: int
    gid: int
    time_ns: int
    size: int
    stored: int
    link: bytes
    extents: Extents
    pax: dict[str, bytes]


class Archive:
    """Iterated, it yields its members in their order. Of each, `pieces` may be read before the next is taken."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = 0
        self._padding = 0
        self._extents: Extents = ()

    def __iter__(self) -> Iterator[Member]:
        """Raises BadPackage, OSError."""
        said: dict[str, bytes] = {}
        while (block := self._block()).strip(b"\0"):
            header = headers.parsed(block, self._stream.place - BLOCK)
            if header.kind in (headers.LONG_NAME, headers.LONG_LINK, headers.PAX_MEMBER, headers.PAX_GLOBAL):
                said |= self._extension(header)
                continue
            yield self._member(header, block, said)
            self._pass_over()
            said = {}
        self._end()

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """The content of the member that was yielded last: where in the file, and bytes."""
        for offset, length in self._extents:
            done = 0
            while done < length:
                piece = self._take(min(length - done, PIECE))
                yield offset + done, piece
                done += len(piece)

    def _member(self, header: Header, block: bytes, said: dict[str, bytes]) -> Member:
        name = said.get("GNU.sparse.name", said.get("path", header.name))
        words = text(name)
        stored = headers.whole(said["size"], words) if "size" in said else header.size
        kind = KINDS.get(header.kind)
        if kind is None:
            raise BadPackage(
                f"its member {shown(words)} is of a kind ({shown(text(header.kind))}) that no file is of"
            )
        if kind == "file" and name.endswith(b"/"):
            kind = "directory"
        if kind != "file" and stored:
            raise BadPackage(f"its member {shown(words)} has content, and is no file")
        self._left, self._padding = stored, -stored % BLOCK
        size, self._extents = self._sparse(header, block, said, words)
        if sum(length for _, length in self._extents) != self._left:
            raise BadPackage(f"its member {shown(words)} does not say rightly where its content belongs")
        return Member(
            name=name,
            kind=kind,
            mode=header.mode,
            uid=_id(said.get("uid"), header.numbers[1], words),
            gid=_id(said.get("gid"), header.numbers[2], words),
            time_ns=_time(said.get("mtime"), header.numbers[0], words),
            size=size,
            stored=self._left,
            link=said.get("linkpath", header.link),
            extents=self._extents,
            pax=said,
        )

    def _extension(self, header: Header) -> dict[str, bytes]:
        """What a header that stands before a member says of it."""
        if header.size > LARGEST_EXTENSION:
            raise BadPackage(f"a header of a member has {header.size} bytes; {LARGEST_EXTENSION} are legal")
        self._left, self._padding = header.size, -header.size % BLOCK
        body = self._take(header.size) if header.size else b""
        self._pass_over()
        if header.kind in (headers.LONG_NAME, headers.LONG_LINK):
            return {"path" if header.kind == headers.LONG_NAME else "linkpath": body.split(b"\0")[0]}
        records = headers.pax(body)
        if header.kind == headers.PAX_GLOBAL:
            if strange := records.keys() - HARMLESS:
                raise BadPackage(f"a header gives all its members one {shown(min(strange))}")
            return {}
        if {"GNU.sparse.offset", "GNU.sparse.numbytes"} & records.keys():
            raise BadPackage("a sparse file in it is written in the form 0.0, which is not read: pack it anew")
        return records

    def _sparse(self, header: Header, block: bytes, said: dict[str, bytes], words: str) -> tuple[int, Extents]:
        """The size of the file, and where what is stored of it belongs."""
        if header.kind == headers.OLD_SPARSE:
            return self._old_sparse(block, words)
        if said.get("GNU.sparse.major") == b"1":
            size = headers.whole(said.get("GNU.sparse.realsize", b""), words)
            return size, _map(self._inner_map(words), size, words)
        if "GNU.sparse.map" in said:
            size = headers.whole(said.get("GNU.sparse.size", b""), words)
            numbers = [headers.whole(number, words) for number in said["GNU.sparse.map"].split(b",")]
            return size, _map(numbers, size, words)
        return self._left, (((0, self._left),) if self._left else ())

    def _old_sparse(self, block: bytes, words: str) -> tuple[int, Extents]:
        size = headers.number(block[483:495], words)
        numbers, more = _pairs(block[386:482], _PIECES_IN_HEADER, words), block[482]
        while more:
            if len(numbers) > 2 * MOST_EXTENTS:
                raise BadPackage(f"its member {shown(words)} lies in more than {MOST_EXTENTS} pieces")
            block = self._block()
            numbers += _pairs(block, _PIECES_PER_BLOCK, words)
            more = block[504] if len(block) == BLOCK else 0
        return size, _map(numbers, size, words)

    def _inner_map(self, words: str) -> list[int]:
        """The map that stands before the content, one number a line, filled up to a whole block."""
        found = b""
        while True:
            block = self._take(BLOCK)
            found += block
            lines = found.split(b"\n")
            count = headers.whole(lines[0], words) if len(lines) > 1 else 0
            if len(lines) > 2 * count + 1 and len(lines) > 1:
                return [headers.whole(line, words) for line in lines[1 : 2 * count + 1]]
            if len(found) > LARGEST_MAP or count > MOST_EXTENTS:
                raise BadPackage(f"its member {shown(words)} lies in more than {MOST_EXTENTS} pieces")

    def _block(self) -> bytes:
        block = self._stream.read(BLOCK)
        if len(block) < BLOCK:
            raise BadPackage("it ends too early: it was not copied to its end")
        return block

    def _take(self, size: int) -> bytes:
        piece = self._stream.read(min(size, self._left))
        self._left -= len(piece)
        if len(piece) < size:
            raise BadPackage("it ends in the midst of a member: it was not copied to its end")
        return piece

    def _pass_over(self) -> None:
        rest = self._left + self._padding
        if self._stream.skip(rest) < rest:
            raise BadPackage("it ends in the midst of a member: it was not copied to its end")
        self._left = self._padding = 0

    def _end(self) -> None:
        """Only zeros stand behind the end; read, so that what is packed was seen to be whole."""
        behind = 0
        while piece := self._stream.read(64 * BLOCK):
            behind += len(piece)
            if piece.strip(b"\0") or behind > MOST_BEHIND:
                raise BadPackage("there is something behind its end, which some programs would read and some not")


def _pairs(block: bytes, count: int, words: str) -> list[int]:
    fields = [block[place : place + 12] for place in range(0, 24 * count, 12)]
    used = fields[: next((n for n in range(0, len(fields), 2) if not fields[n].strip(b"\0 ")), len(fields))]
    return [headers.number(field, words) for field in used if field]


def _map(numbers: list[int], size: int, words: str) -> Extents:
    pairs = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    end = 0
    for offset, length in pairs:
        if offset < end or offset + length > size:
            raise BadPackage(f"its member {shown(words)} does not say rightly where its content belongs")
        end = offset + length
    return tuple(pair for pair in pairs if pair[1])


def _id(said: bytes | None, field: bytes, words: str) -> int:
    if said is not None:
        return headers.whole(said, words, "an owner")
    return headers.number(field, words, "an owner")


def _time(said: bytes | None, field: bytes, words: str) -> int:
    """Nanoseconds since 1970; what was before is 1970."""
    if said is None:
        return 0 if field[0] == 0xFF else headers.number(field, words, "a time") * 10**9
    found = _TIME.fullmatch(said)
    if found is None:
        raise BadPackage(f"its member {shown(words)} has a time of {shown(text(said))}")
    return max(int(found[1]) * 10**9 + int((found[2] or b"0")[:9].ljust(9, b"0")), 0)
