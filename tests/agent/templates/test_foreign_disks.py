"""Disks in other products' formats: their size is read, and one that names another file is refused unread."""

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.agent.templates.appliance import BadPackage, ForeignFormat
from oms.agent.templates.foreign_disks import disk_bytes
from tests.agent.templates.packages import MIB, image


def judged(packing: ForeignFormat, content: bytes) -> int:
    return disk_bytes(packing, len(content), lambda place, size: content[place : place + size])


@pytest.mark.parametrize("packing", ["vmdk", "vdi", "qcow2", "raw"])
def test_what_qemu_img_makes_is_read(tmp_path: Path, packing: ForeignFormat) -> None:
    assert judged(packing, image(tmp_path / "disk", packing).read_bytes()) == 64 * MIB


def test_a_vmdk_that_grows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "disk.vmdk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", path, "64M"], check=True)
    assert judged("vmdk", path.read_bytes()) == 64 * MIB


def stream(footer_sectors: int | None = None, parent: str = "") -> bytes:
    """A stream as VMware writes it, as far as headers go: the tables are told of at its end."""

    def header(sectors: int, place: int, length: int) -> bytes:
        fields = struct.pack("<4sIIQQQQIQQ", b"KDMV", 3, 0x30001, sectors, 128, place, length, 512, 0, 2**64 - 1)
        return fields.ljust(512, b"\0")

    text = (
        '# Disk DescriptorFile\nversion=1\nCID=7b3a4c51\nparentCID=ffffffff\ncreateType="streamOptimized"\n'
        f'{parent}\n# Extent description\nRDONLY 131072 SPARSE "disk.vmdk"\n'
    ).encode()
    end = header(131072 if footer_sectors is None else footer_sectors, 0, 0)
    return header(131072, 1, 2) + text.ljust(1024, b"\0") + bytes(2048) + end + bytes(512)


def test_a_stream_has_a_header_at_its_end_too() -> None:
    assert judged("vmdk", stream()) == 64 * MIB
    with pytest.raises(BadPackage, match="whose content is in other files"):
        judged("vmdk", stream(footer_sectors=0))
    with pytest.raises(BadPackage, match="different things"):
        judged("vmdk", stream(footer_sectors=7))


@pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])
def test_a_vmdk_of_several_files_is_refused(tmp_path: Path, subformat: str) -> None:
    path = tmp_path / "disk.vmdk"
    command = ["qemu-img", "create", "-q", "-f", "vmdk", "-o", f"subformat={subformat}", str(path), "64M"]
    subprocess.run(command, check=True)
    with pytest.raises(BadPackage, match="no vmdk in one file"):
        judged("vmdk", path.read_bytes())


def test_a_vmdk_that_stands_upon_another_is_refused(tmp_path: Path) -> None:
    base, top = tmp_path / "base.vmdk", tmp_path / "top.vmdk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", base, "64M"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", "-b", base, "-F", "vmdk", top], check=True)
    with pytest.raises(BadPackage, match="stands upon another disk"):
        judged("vmdk", top.read_bytes())
    with pytest.raises(BadPackage, match="stands upon another disk"):
        judged("vmdk", stream(parent='parentFileNameHint="/etc/shadow"'))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b'createType="streamOptimized"', b'createType="monolithicFlat" ', "of the kind 'monolithicFlat'"),
        (b'createType="streamOptimized"', b'createTypo="streamOptimized"', "of the kind ''"),
        (b"\n# Extent description", b'\nRW 1 FLAT "/x" 0    ', "several parts"),
        (b"parentCID=ffffffff", b"parentCID=7b3a4c51", "stands upon another"),
    ],
)  # fmt: skip
def test_a_description_that_tells_of_other_files_is_refused(old: bytes, new: bytes, why: str) -> None:
    text = stream()
    assert old in text
    with pytest.raises(BadPackage, match=why):
        judged("vmdk", text.replace(old, new.ljust(len(old))))


@pytest.mark.parametrize(
    ("place", "form", "number", "why"),
    [
        (4, "<I", 9, "version 9"),
        (12, "<Q", 0, "in other files"),
        (12, "<Q", 2**60, "legal is 1 to"),
        (28, "<Q", 2**40, "does not lie in it"),
        (36, "<Q", 10**6, "does not lie in it"),
    ],
)
def test_numbers_of_a_vmdk_that_do_not_fit_are_refused(
    tmp_path: Path, place: int, form: str, number: int, why: str
) -> None:
    content = bytearray(image(tmp_path / "disk.vmdk").read_bytes())
    struct.pack_into(form, content, place, number)
    with pytest.raises(BadPackage, match=why):
        judged("vmdk", bytes(content))


@pytest.mark.parametrize(
    ("place", "number", "why"),
    [
        (0x4C, 4, "another disk"),
        (0x1A8, 1, "another disk"),
        (0x1B8, 1, "another disk"),
        (0x40, 1, "not in the format"),
        (0x174, 2**31, "legal is"),
    ],
)
def test_a_vdi_that_is_no_whole_disk_is_refused(tmp_path: Path, place: int, number: int, why: str) -> None:
    content = bytearray(image(tmp_path / "disk.vdi", "vdi").read_bytes())
    struct.pack_into("<I", content, place, number)
    with pytest.raises(BadPackage, match=why):
        judged("vdi", bytes(content))


def test_a_qcow2_that_stands_upon_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/shadow", "-F", "raw", str(path), "1M"]
    subprocess.run(command, check=True)
    with pytest.raises(BadPackage, match="refused: it stands upon another file"):
        judged("qcow2", path.read_bytes())


def test_a_raw_disk_is_what_it_is_whatever_stands_in_it(tmp_path: Path) -> None:
    content = image(tmp_path / "disk.qcow2", "qcow2").read_bytes()
    assert judged("raw", content) == len(content)


@given(st.sampled_from(["vmdk", "vdi", "qcow2"]), st.binary(max_size=3000))
def test_garbage_is_refused_and_nothing_else_happens(packing: ForeignFormat, content: bytes) -> None:
    for front in (b"", b"KDMV", bytes(64) + b"\x7f\x10\xda\xbe", b"QFI\xfb"):
        with pytest.raises(BadPackage):
            judged(packing, front + content)
