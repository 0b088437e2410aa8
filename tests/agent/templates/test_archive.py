"""Archives are judged before anything of them is used: what has no place in a package is refused by its name."""

import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.agent.templates import archive
from oms.agent.templates.appliance import BadPackage
from tests.agent.templates.packages import header, member, pax, tar

END = bytes(1024)
CHAIN = b"a/" * 2100 + b"x.vmdk"


def scanned(path: Path, content: bytes | None = None) -> tuple[archive.Member, ...]:
    if content is not None:
        path.write_bytes(content)
    with path.open("rb") as file:
        return archive.scan(file.fileno(), os.fstat(file.fileno()).st_size)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_honest_programs_write_is_found_where_it_lies(tmp_path: Path, form: int) -> None:
    files = {
        "a.ovf": b"<a/>",
        "disk 1.vmdk": b"x" * 700,
        "empty": b"",
        "l" * (95 if form == tarfile.USTAR_FORMAT else 150): b"y",
        "é.img": b"z",
    }
    path = tmp_path / "a.ova"
    with tarfile.open(path, "w", format=form) as made:
        for name, content in files.items():
            (tmp_path / "one").write_bytes(content)
            os.utime(tmp_path / "one", (1.5, 1.5))
            made.add(tmp_path / "one", name)
    found = scanned(path)
    assert [found_one.name for found_one in found] == list(files)
    whole = path.read_bytes()
    assert [whole[m.offset : m.offset + m.size] for m in found] == list(files.values())


def test_what_gnu_tar_writes_is_found(tmp_path: Path) -> None:
    for name in ("a.ovf", "b.vmdk"):
        (tmp_path / name).write_bytes(name.encode())
    subprocess.run(["tar", "-C", tmp_path, "-cf", tmp_path / "a.ova", "./a.ovf", "b.vmdk"], check=True)
    assert [found.name for found in scanned(tmp_path / "a.ova")] == ["a.ovf", "b.vmdk"]


def test_a_member_of_more_than_eight_gigabytes_is_found(tmp_path: Path) -> None:
    size = 9 * 1024**3
    with (tmp_path / "a.ova").open("wb") as file:
        file.write(header(b"big", raw_size=b"\x80" + size.to_bytes(11)))
        file.truncate(512 + size + 1024)
    assert scanned(tmp_path / "a.ova") == (archive.Member("big", 512, size),)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "absolute path": (member(b"/etc/cron.d/x"), "'/etc/cron.d/x' has a path"),
    "two dots": (member(b"../../x"), r"'\.\./\.\./x' has a path"),
    "two dots alone": (member(b".."), r"'\.\.' has a path"),
    "link outside": (member(b"x.vmdk", kind=b"2", link=b"/etc/shadow"), "'x.vmdk' is a symbolic link"),
    "link inside": (member(b"d", kind=b"2", link=b".") + member(b"d/x.vmdk"), "'d' is a symbolic link"),
    "hard link": (member(b"x.vmdk", kind=b"1", link=b"/etc/shadow"), "'x.vmdk' is a hard link"),
    "character device": (member(b"x.vmdk", kind=b"3"), "'x.vmdk' is a device"),
    "block device": (member(b"x.vmdk", kind=b"4"), "'x.vmdk' is a device"),
    "pipe": (member(b"x.vmdk", kind=b"6"), "'x.vmdk' is a pipe"),
    "directory": (member(b"d/", kind=b"5"), "'d/' is a directory"),
    "directory of old": (member(b"d/", kind=b"\0"), "'d/' is a directory"),
    "unknown kind": (member(b"x", kind=b"Z"), "'x' is of an unknown kind"),
    "the same twice": (member(b"x.vmdk", b"a") + member(b"x.vmdk", b"b"), "'x.vmdk' is there twice"),
    "the same twice, written otherwise": (member(b"x.vmdk") + member(b"./x.vmdk"), "'./x.vmdk' is there twice"),
    "file, then link": (member(b"x") + member(b"x", kind=b"2", link=b"/etc"), "'x' is a symbolic link"),
    "chain of directories": (
        member(b"x", pax(path=CHAIN.decode()), b"x") + member(b"y"),
        "'a/a/.* has a name of 4206 characters",
    ),
    "long name of GNU": (member(b"././@LongLink", CHAIN + b"\0", b"L") + member(b"y"), "has a name of 4206"),
    "another account": (member(b"x.vmdk", mode=0o4755), "'x.vmdk' runs under another account"),
    "another group": (member(b"x.vmdk", mode=0o2755), "'x.vmdk' runs under another account"),
    "line feed": (member(b"x\nSHA256(y)= 0.vmdk"), r"'x\\nSHA256.*cannot be seen"),
    "right to left": (member("x\u202evmdk".encode()), "cannot be seen"),
    "no UTF-8": (member(b"x\xff"), "cannot be seen"),
    "hidden": (member(b".bashrc"), "'.bashrc' has a path"),
    "backslash": (member(b"..\\x"), "has a path"),
    "no name": (member(b""), "has a name of 0"),
    "sparse of GNU": (header(b"x.vmdk", kind=b"S", raw_size=b"%011o\0" % 0), "'x.vmdk' is a sparse file"),
    "sparse of pax": (member(b"h", pax(GNU__sparse__realsize=str(2**63)), b"x") + member(b"x"), "sparse file"),
    "8 EiB": (header(b"x.vmdk", raw_size=b"\x80" + (2**63).to_bytes(11)), "'x.vmdk' has a size"),
    "less than nothing": (header(b"x.vmdk", raw_size=b"\xff" * 12), "'x.vmdk' has a size"),
    "8 EiB of pax": (member(b"h", pax(size=str(2**63)), b"x") + member(b"x.vmdk"), "has a size of"),
    "more than there is": (header(b"x.vmdk", 10**6) + END, "'x.vmdk' has 1000000 bytes, which are not"),
    "more than there is, by pax": (member(b"h", pax(size="999999"), b"x") + member(b"x"), "'x' has 999999 bytes"),
    "all members one name": (member(b"h", pax(path="x"), b"g") + member(b"y"), "gives all its members one path"),
    "flood before a member": (member(b"flood", b"x" * 20_000, b"x"), "'flood' has 20000 bytes; 16384"),
    "damaged header of pax": (member(b"h", b"99 path=x\n", b"x") + member(b"y"), "damaged"),
    "endless header of pax": (member(b"h", b"0 path=x\n" * 9, b"x") + member(b"y"), "damaged"),
    "link by GNU": (member(b"././@LongLink", b"/etc/shadow\0", b"K"), "is a link"),
    "packed": (b"\x1f\x8b\x08" + bytes(600), "packed by gzip"),
    "no archive": (b"KDMV" + b"\x01" * 600, "no tar archive"),
    "rubbish later": (member(b"x") + b"rubbish" * 100, "byte 512 is no member"),
    "cut off": (member(b"x", b"y" * 512)[:700], "has 512 bytes, which are not"),
    "cut off in a header": (member(b"x") + header(b"y")[:100], "midst of a member"),
    "nothing": (END, "empty"),
    "no bytes": (b"", "empty"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "why"), HOSTILE.values(), ids=HOSTILE)
def test_what_nobody_honest_packs_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    honest = (
        b"" if why in ("empty", "packed by gzip", "no tar archive", "byte 512 is no member") else member(b"a.ovf")
    )
    with pytest.raises(BadPackage, match=why):
        scanned(
            tmp_path / "a.ova", honest + content + (b"" if why.endswith(("midst of a member", "are not")) else END)
        )


def test_a_million_members_are_not_read(tmp_path: Path) -> None:
    many = b"".join(member(b"m%d" % number) for number in range(300))
    with pytest.raises(BadPackage, match="more than 256 members; the first is 'm0'"):
        scanned(tmp_path / "a.ova", many + END)
    flood = member(b"h", pax(comment="x"), b"x") * 300
    with pytest.raises(BadPackage, match="more than 256 members"):
        scanned(tmp_path / "b.ova", flood + END)


def test_names_that_people_give_are_legal(tmp_path: Path) -> None:
    names = ["Windows 10 (x64).ovf", "disk,1.vmdk", "Größe.mf", "a=b.img"]
    assert [m.name for m in scanned(tar(tmp_path / "a.ova", dict.fromkeys(names, b"")))] == names


@given(st.binary(max_size=1500))
def test_garbage_is_refused_and_nothing_else_happens(content: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        with pytest.raises(BadPackage):
            archive.scan(file.fileno(), len(content))
