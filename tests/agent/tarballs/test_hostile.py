"""What no honest system has in its archive is refused before a byte is written, in words that say which member."""

import contextlib
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from oms.agent.tarballs import rules, streams, unpacking
from oms.agent.templates.appliance import BadPackage
from oms.contract.errors import NoSpace
from tests.agent.tarballs.trees import SHIFTED, nothing, scanned, seen, system, unpacked
from tests.agent.templates.packages import header, member, pax
from tests.little_time import little_time

LINK = member(b"lib", kind=b"2", link=b"usr/lib")
OUT = member(b"out", kind=b"2", link=b"../../../../tmp")
FILE = member(b"bin/su", b"x")
GNU_LONG = header(b"././@LongLink", 5000, b"L") + b"a/" * 2500 + bytes(-5000 % 512)


def said(**records: str) -> bytes:
    """A header that says so much of the member behind it."""
    return member(b"PaxHeader/x", pax(**records), kind=b"x")


def attribute(name: str, value: str = "x") -> bytes:
    return said(**{f"SCHILY.xattr.{name}": value})


HOSTILE: dict[str, tuple[bytes, str]] = {
    "an absolute name": (member(b"/etc/shadow", b"x"), "named from the root"),
    "an absolute name behind a long one": (said(path="/" + "x" * 300) + member(b"x", b"y"), "named from the root"),
    "a name that leads out": (member(b"../etc/shadow", b"x"), "leads out"),
    "a name that leads out later": (member(b"a/b/../../../etc/shadow", b"x"), "leads out"),
    "a name that leads out at its end": (member(b"etc/..", kind=b"5"), "leads out"),
    "a pax name that leads out": (said(path="a/../../b") + member(b"x", b"y"), "leads out"),
    "a name of a second kind": (said(**{"GNU.sparse.name": "../x"}) + member(b"x", b"y"), "leads out"),
    "no name": (member(b"", b"x"), "no name"),
    "a name with an end in it": (said(path="a\0b") + member(b"x", b"y"), "no file can have"),
    "a part too long": (said(path="x" * 256) + member(b"x"), "no file can have"),
    "a path too long": (GNU_LONG + member(b"x"), "directories deep|no file can have"),
    "a file beyond a link": (LINK + member(b"lib/ld.so", b"x"), "lies beyond 'lib'"),
    "a file beyond a link that leads out": (OUT + member(b"out/x/y", b"x"), "lies beyond 'out'"),
    "a directory in place of a link": (OUT + member(b"out/", kind=b"5"), "there twice"),
    "a file in place of a link": (OUT + member(b"out", b"x"), "there twice"),
    "a link in place of a directory": (member(b"a/b", b"x") + member(b"a", kind=b"2", link=b"/"), "there twice"),
    "a file beyond a file": (FILE + member(b"bin/su/x", b"x"), "lies beyond"),
    "a name twice": (FILE + member(b"./bin//su", b"y"), "there twice"),
    "the whole as a link": (member(b"./", kind=b"2", link=b"/"), "in place of the whole|there twice"),
    "a second name of what is not there": (member(b"a", kind=b"1", link=b"etc/shadow"), "not before it"),
    "a second name of what is outside": (member(b"a", kind=b"1", link=b"/etc/shadow"), "named from the root"),
    "a second name that leads out": (member(b"a", kind=b"1", link=b"../../etc/shadow"), "leads out"),
    "a second name of what is behind a link": (OUT + member(b"a", kind=b"1", link=b"out/x"), "not before it"),
    "a second name of a directory": (member(b"a", kind=b"1", link=b"etc"), "not before it"),
    "a second name with content": (FILE + member(b"a", b"x", kind=b"1", link=b"bin/su"), "content"),
    "a link to nothing": (member(b"a", kind=b"2"), "leads nowhere"),
    "a device": (member(b"etc/sda", kind=b"4"), "is a device"),
    "a device beside /dev": (member(b"dev2/sda", kind=b"3"), "is a device"),
    "the whole of /dev as a device": (member(b"dev", kind=b"3"), "is a device"),
    "a file beyond a device": (member(b"dev/a", kind=b"3") + member(b"dev/a/b", b"x"), "lies beyond"),
    "an owner that no container has": (said(uid="65536") + member(b"x"), "belongs to 65536:0"),
    "a large owner": (said(gid="4294967295") + member(b"x"), "belongs to 0:4294967295"),
    "an owner below nobody": (said(uid="-1") + member(b"x"), "an owner of '-1'"),
    "an attribute of the host's own": (attribute("trusted.overlay.opaque") + member(b"x"), "only hosts give"),
    "a strange attribute": (attribute("x") + member(b"x"), "only hosts give"),
    "capabilities of nothing known": (attribute("security.capability") + member(b"x"), "capabilities"),
    "too many attributes": (
        said(**{f"SCHILY.xattr.user.{number}": "x" for number in range(65)}) + member(b"x"), "more attributes",
    ),
    "an access list of nothing known": (said(**{"SCHILY.acl.access": "u::rwx"}) + member(b"x"), "access list"),
    "a file larger than any": (
        said(**{"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**59)}) + member(b"x", b"y"), "is a file of",
    ),
    "holes that are none": (
        said(**{"GNU.sparse.map": "0,9", "GNU.sparse.size": "9"}) + member(b"x", b"y"), "not say rightly",
    ),
    "content before its place": (
        said(**{"GNU.sparse.map": "5,1,0,1", "GNU.sparse.size": "9"}) + member(b"x", b"yy"), "not say rightly",
    ),
    "content behind its end": (
        said(**{"GNU.sparse.map": "9,1", "GNU.sparse.size": "9"}) + member(b"x", b"y"), "not say rightly",
    ),
    "a map that has no end": (
        said(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"})
        + member(b"x", b"1000000\n" + b"0\n" * 300), "pieces|ends in the midst",
    ),
    "the oldest form of holes": (said(**{"GNU.sparse.offset": "0"}) + member(b"x"), "form 0.0"),
    "a size below nothing": (header(b"x", raw_size=b"\xff" * 12), "below nothing"),
    "a size above any": (header(b"x", raw_size=b"\x80" + b"\xff" * 11), "above that of any"),
    "a size that is no number": (said(size="1e3") + member(b"x"), "a size of"),
    "one name for all": (member(b"pax", b"11 path=/x\n", kind=b"g") + FILE, "all its members one 'path'"),
    "a header without end": (header(b"pax", 2**30, b"x"), "legal"),
    "a damaged header": (member(b"pax", b"99 path=x\n", kind=b"x"), "damaged"),
    "part of another archive": (member(b"x", b"y", kind=b"M"), "is of a kind"),
    "a list of directories": (member(b"x", b"y", kind=b"D"), "is of a kind"),
    "a directory with content": (member(b"x", b"y", kind=b"5"), "content"),
    "a time that is none": (said(mtime="nan") + member(b"x"), "a time of"),
    "what is no header": (b"x" * 512, "no member"),
    "a member cut off": (header(b"x", 10**6) + b"x" * 512, "ends in the midst"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_in_words_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    members, words = HOSTILE[name]
    end = b"" if "cut off" in name or "without end" in name else bytes(1024)
    path = system(tmp_path / "a.tar.gz", members, end=end)
    with pytest.raises(BadPackage, match=words) as refused:
        unpacked(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("name", [b"new\nline", b"\xff\xfe\x80", b"\x1b[2Jescape", b"tab\t", "ţ\u202e".encode()])
def test_any_bytes_may_be_a_name_and_are_not_shown_as_they_are(tmp_path: Path, name: bytes) -> None:
    system(tmp_path / "a.tar.gz", member(name, b"1"))
    unpacked(tmp_path / "a.tar.gz", tmp_path / "out")
    assert (tmp_path / "out" / os.fsdecode(name)).read_bytes() == b"1"
    system(tmp_path / "b.tar.gz", member(name, b"1"), member(name, b"2"))
    with pytest.raises(BadPackage) as refused:
        scanned(tmp_path / "b.tar.gz")
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()


def test_nothing_stands_behind_its_end(tmp_path: Path) -> None:
    system(tmp_path / "a.tar.gz", FILE, end=bytes(1024) + member(b"/etc/shadow", b"x"))
    with pytest.raises(BadPackage, match="behind its end"):
        scanned(tmp_path / "a.tar.gz")


def test_what_holds_no_system_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(FILE + bytes(1024)))
    with pytest.raises(BadPackage, match="no system in it"):
        scanned(tmp_path / "a.tar.gz")
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(member(b"etc", kind=b"2", link=b"/etc") + bytes(1024)))
    with pytest.raises(BadPackage, match="no system in it"):
        scanned(tmp_path / "b.tar.gz")


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "xz": lzma.compress, "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}  # fmt: skip


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_bomb_is_given_up_early(tmp_path: Path, packing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "ALWAYS_BYTES", 2**20)
    zeros = bytes(24 * 2**20)
    bomb = member(b"etc/", kind=b"5") + header(b"x", len(zeros)) + zeros + bytes(1024)
    (tmp_path / "a").write_bytes(PACKINGS[packing](bomb))
    with pytest.raises(BadPackage, match="times of its own size"):
        scanned(tmp_path / "a")


@pytest.mark.parametrize("packing", PACKINGS)
def test_what_is_cut_off_or_changed_is_refused(tmp_path: Path, packing: str) -> None:
    content = member(b"etc/", kind=b"5") + member(b"x", os.urandom(100_000)) + bytes(1024)
    whole = PACKINGS[packing](content)
    (tmp_path / "a").write_bytes(whole)
    assert scanned(tmp_path / "a").entries == 2
    for broken in (whole[: len(whole) // 2], whole[:-40], whole[:50_000] + b"\0\1\2\3" + whole[50_004:]):
        (tmp_path / "a").write_bytes(broken)
        with pytest.raises(BadPackage, match=r"damaged|end"):
            scanned(tmp_path / "a")


def test_xz_that_wants_much_memory_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1024 * 2**20, "preset": 0}]
    packed = lzma.LZMACompressor(lzma.FORMAT_XZ, filters=filters, check=lzma.CHECK_CRC32)
    (tmp_path / "a").write_bytes(packed.compress(bytes(1024)) + packed.flush())
    with little_time(), pytest.raises(BadPackage, match="damaged"):
        scanned(tmp_path / "a")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 5000, b"BZh9", member(b"etc/", kind=b"5")])
def test_what_is_packed_otherwise_or_not_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(BadPackage, match="packed by none of"):
        scanned(tmp_path / "a")


def test_more_than_there_is_room_for_is_refused(tmp_path: Path) -> None:
    system(tmp_path / "a.tar.gz", member(b"a", b"x" * 50_000), member(b"b", b"x" * 50_000))
    with pytest.raises(NoSpace, match="needs more room than"):
        scanned(tmp_path / "a.tar.gz", room=100_000)
    assert scanned(tmp_path / "a.tar.gz", room=200_000).entries == 3


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_ENTRIES", 50)
    system(tmp_path / "a.tar.gz", *(member(b"%d" % number) for number in range(60)))
    with pytest.raises(BadPackage, match="more than 50 files"):
        scanned(tmp_path / "a.tar.gz")


def test_a_program_stays_set_uid_to_its_containers_user(tmp_path: Path) -> None:
    system(tmp_path / "a.tar.gz", member(b"bin/su", b"x", mode=0o4755))
    unpacked(tmp_path / "a.tar.gz", tmp_path / "out")
    mode, owner, *_ = seen(tmp_path / "out")["bin/su"]
    assert (mode, owner) == ("-rwsr-xr-x", 700_000)


def test_what_was_changed_after_it_was_judged_is_judged_again(tmp_path: Path) -> None:
    """The same rules hold while it is written: nothing of the second archive lands outside."""
    found = scanned(system(tmp_path / "a.tar.gz", FILE))
    system(tmp_path / "a.tar.gz", OUT, member(b"out/stolen", b"x"))
    (tmp_path / "out").mkdir()
    file, root = os.open(tmp_path / "a.tar.gz", os.O_RDONLY), os.open(tmp_path / "out", os.O_RDONLY)
    with pytest.raises((BadPackage, NoSpace), match=r"lies beyond|more room"):
        unpacking.unpack(file, found, root, SHIFTED, nothing)
    os.close(file)
    os.close(root)
    assert not (tmp_path.parent / "stolen").exists()


NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "etc", "/", "x" * 256]), min_size=1, max_size=4)


@given(st.lists(st.tuples(NAMES, st.sampled_from([b"0", b"1", b"2", b"5", b"6", b"3"]), NAMES), max_size=12))
def test_nothing_ever_lands_outside(tmp_path_factory: pytest.TempPathFactory, members: list) -> None:  # type: ignore[type-arg]
    place = tmp_path_factory.mktemp("any")
    (place / "guard").mkdir()
    made = [
        member(
            "/".join(name).encode()[:99], kind=kind, link="/".join(link).encode()[:99] if kind in b"12" else b""
        )
        for name, kind, link in members
    ]
    system(place / "a.tar.gz", *made)
    before = sorted(path for path in place.iterdir())
    with contextlib.suppress(BadPackage):
        unpacked(place / "a.tar.gz", place / "out")
    assert sorted(path for path in place.iterdir() if path.name != "out") == before
