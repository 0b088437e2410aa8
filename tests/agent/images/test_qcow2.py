"""A backing file's name is read from a real image's header, and from no garbage."""

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.agent.images.qcow2 import HEAD_BYTES, Refused, backing_name, backing_path, foreign


@pytest.mark.skipif(
    not Path("/usr/bin/qemu-img").exists(), reason="needs qemu-img (scripts/bootstrap test installs it)"
)
def test_real_images(tmp_path: Path) -> None:
    base, top, raw = tmp_path / "base.qcow2", tmp_path / "top.qcow2", tmp_path / "raw.img"
    create = ["qemu-img", "create", "-q", "-f"]
    subprocess.run([*create, "qcow2", str(base), "1M"], check=True)
    subprocess.run([*create, "qcow2", "-b", "base.qcow2", "-F", "qcow2", str(top)], check=True)
    subprocess.run([*create, "raw", str(raw), "1M"], check=True)
    read = {path.name: backing_name(path.read_bytes()[:HEAD_BYTES]) for path in (base, top, raw)}
    assert read == {"base.qcow2": None, "top.qcow2": "base.qcow2", "raw.img": None}


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"QFI\xfb",
        struct.pack(">4sIQI", b"QFI\xfb", 3, 0, 5),
        struct.pack(">4sIQI", b"QFI\xfb", 3, 104, 0),
        struct.pack(">4sIQI", b"QFI\xfb", 3, 104, 2**31),
        struct.pack(">4sIQI", b"QFI\xfb", 3, 2**63, 9),
    ],
)
def test_no_backing_file(head: bytes) -> None:
    assert backing_name(head) is None


@given(st.binary(max_size=200))
def test_garbage_never_raises(tail: bytes) -> None:
    backing_name(b"QFI\xfb" + tail)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("base.img", "/images/base.img"),
        ("/other/base.img", "/other/base.img"),
        ("sub/ba:se.img", "/images/sub/ba:se.img"),
        ("file:base.img", "/images/base.img"),
        ("nbd://127.0.0.1/x", None),
        ('json:{"driver":"raw"}', None),
    ],
)
def test_where_a_name_leads(name: str, path: str | None) -> None:
    assert backing_path(name, Path("/images/top.img")) == (Path(path) if path else None)


# --- what somebody brought ----------------------------------------------------------------------------------


def made(tmp_path: Path, *options: str, size: str = "100M", backing: str = "") -> bytes:
    """A real image of qemu-img's making."""
    path = tmp_path / "made.qcow2"
    words = [word for option in options for word in ("-o", option)]
    behind = ["-u", "-b", backing, "-F", "raw"] if backing else []
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *words, *behind, path, size], check=True)
    return path.read_bytes()


def changed(image: bytes, offset: int, number: int, size: int) -> bytes:
    return image[:offset] + number.to_bytes(size) + image[offset + size :]


def judged(image: bytes) -> int:
    return foreign(image[:HEAD_BYTES], len(image))


@pytest.mark.parametrize(
    "options",
    [
        [], ["compat=0.10"], ["cluster_size=512"], ["cluster_size=2M"], ["extended_l2=on,cluster_size=128k"],
        ["compression_type=zstd"], ["lazy_refcounts=on"], ["refcount_bits=1"], ["preallocation=metadata"],
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("size", ["512", "100M"])
def test_what_qemu_img_makes_is_taken(tmp_path: Path, options: list[str], size: str) -> None:
    if size == "30G" and options == ["preallocation=metadata"]:
        pytest.skip("takes too long")
    assert judged(made(tmp_path, *options, size=size)) == {"512": 512, "100M": 100 * 2**20, "3G": 3 * 2**30}[size]


def test_a_grown_image_is_taken(tmp_path: Path) -> None:
    made(tmp_path, "cluster_size=4k")
    subprocess.run(["qemu-img", "resize", "-q", "-f", "qcow2", tmp_path / "made.qcow2", "3G"], check=True)
    assert judged((tmp_path / "made.qcow2").read_bytes()) == 3 * 2**30


def test_an_image_that_names_other_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="stands upon another file"):
        judged(made(tmp_path, backing="/etc/shadow"))
    data = tmp_path / "data.raw"
    image = made(tmp_path, f"data_file={data}", "data_file_raw=on")
    with pytest.raises(Refused, match="data is in another file"):
        judged(image)
    with pytest.raises(Refused, match="names another file"):
        judged(changed(image, 72, 0, 8))  # the feature's bit taken away, the name left there


@pytest.mark.parametrize("method", [1, 2])
def test_an_encrypted_image_is_refused(tmp_path: Path, method: int) -> None:
    with pytest.raises(Refused, match="encrypted"):
        judged(changed(made(tmp_path), 32, method, 4))


def test_an_image_with_snapshots_is_refused(tmp_path: Path) -> None:
    made(tmp_path)
    subprocess.run(["qemu-img", "snapshot", "-c", "s", tmp_path / "made.qcow2"], check=True)
    with pytest.raises(Refused, match="snapshots"):
        judged((tmp_path / "made.qcow2").read_bytes())


@pytest.mark.parametrize(
    ("offset", "size", "number", "why"),
    [
        (4, 4, 1, "version is 1"),
        (4, 4, 4, "version is 4"),
        (16, 4, 9, "stands upon"),
        (20, 4, 8, "clusters"),
        (20, 4, 63, "clusters"),
        (24, 8, 0, "disk has 0 bytes"),
        (24, 8, 2**63, "disk has"),
        (24, 8, 2**45, "first table has 1 entries"),
        (36, 4, 0, "first table has 0 entries"),
        (36, 4, 2**32 - 1, "first table has"),
        (36, 4, 4 * 2**20, "does not lie in the file"),
        (40, 8, 1, "does not lie in the file"),
        (40, 8, 0, "does not lie in the file"),
        (40, 8, 2**62, "does not lie in the file"),
        (48, 8, 2**62, "does not lie in the file"),
        (56, 4, 2**31, "table of counters"),
        (72, 8, 1, "not closed"),
        (72, 8, 2, "not closed"),
        (72, 8, 1 << 17, "not known here"),
        (96, 4, 99, "clusters or counters"),
        (100, 4, 8, "header has 8 bytes"),
        (100, 4, 2**32 - 8, "header has"),
        (112, 4, 0x11111111, "come to an end"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(
    tmp_path: Path, offset: int, size: int, number: int, why: str
) -> None:
    image = made(tmp_path)
    if why == "come to an end":
        image = image[:112] + (0x11111111).to_bytes(4) + (2**32 - 1).to_bytes(4) + image[120:]
    with pytest.raises(Refused, match=why):
        judged(changed(image, offset, number, size))


@pytest.mark.parametrize(
    "text", [b"", b"QFI", b"QFI\xfb", b"KDMV" * 100, b"# Disk DescriptorFile\n" * 10, bytes(512)]
)
def test_what_is_no_qcow2_is_refused(text: bytes) -> None:
    with pytest.raises(Refused, match="not in the format"):
        foreign(text, len(text))


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_nothing_else_happens(tail: bytes) -> None:
    with pytest.raises(Refused):
        foreign(b"QFI\xfb" + tail, 4 + len(tail))
