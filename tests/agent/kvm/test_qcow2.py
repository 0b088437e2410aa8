"""A backing file's name is read from a real image's header, and from no garbage."""

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.agent.kvm.qcow2 import HEAD_BYTES, backing_name, backing_path


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
