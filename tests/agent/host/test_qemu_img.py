"""Real images made, looked at, grown and copied; and each failure under its own name."""

import asyncio
import contextlib
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms.agent.host import qemu_img
from oms.agent.host.process import Limits
from oms.agent.host.qemu_img import FOREIGN
from oms.contract.errors import InUse, NoSpace, Unusable
from oms.contract.types import DiskFormat
from tests import small_disk

MIB = 1024 * 1024
pytestmark = pytest.mark.skipif(
    not Path("/usr/bin/qemu-img").exists(), reason="needs qemu-img (scripts/bootstrap test installs it)"
)


def random_disk(path: Path, size_mb: int = 8) -> Path:
    path.write_bytes(os.urandom(size_mb * MIB))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("disk_format", ["qcow2", "raw"])
async def test_a_new_image_has_its_size_and_takes_no_room(tmp_path: Path, disk_format: DiskFormat) -> None:
    path = tmp_path / "a.img"
    await qemu_img.create(path, disk_format, 100 * MIB)
    found = await qemu_img.info(path, disk_format)
    assert found.virtual_size == 100 * MIB
    assert found.actual_size < MIB
    await qemu_img.resize(path, disk_format, 200 * MIB)
    assert (await qemu_img.info(path, disk_format)).virtual_size == 200 * MIB
    await qemu_img.check(path, disk_format, limits=FOREIGN)


async def test_a_copy_is_the_same_disk_and_progress_comes_to_its_end(tmp_path: Path) -> None:
    source, there, back = random_disk(tmp_path / "a.raw"), tmp_path / "b.qcow2", tmp_path / "c.raw"
    percents: list[float] = []
    await qemu_img.convert(source, "raw", there, "qcow2", progress=percents.append, compress=True)
    await qemu_img.convert(there, "qcow2", back, "raw", limits=qemu_img.limits_for(8 * MIB))
    assert digest(source) == digest(back)
    assert percents == sorted(percents)
    assert percents[-1] == 100


async def test_a_disk_comes_with_what_it_stands_upon(tmp_path: Path) -> None:
    base, top, flat = random_disk(tmp_path / "base.raw"), tmp_path / "top.qcow2", tmp_path / "flat.raw"
    await qemu_img.create(top, "qcow2", 8 * MIB, backing=(base, "raw"))
    assert (await qemu_img.info(top, "qcow2")).backing_filename == str(base)
    await qemu_img.convert(top, "qcow2", flat, "raw")
    assert digest(base) == digest(flat)


async def test_a_guests_own_header_in_a_raw_disk_is_only_bytes(tmp_path: Path) -> None:
    """The guest writes the beginning of a qcow2 into its raw disk, which names a secret of the host."""
    secret, disk, copy = tmp_path / "secret", tmp_path / "disk.img", tmp_path / "copy.img"
    secret.write_bytes(b"secret" * 1000)
    await qemu_img.create(disk, "qcow2", MIB, backing=(secret, "raw"))
    await qemu_img.convert(disk, "raw", copy, "raw")
    assert b"secretsecret" not in copy.read_bytes()
    assert (await qemu_img.info(disk, "raw")).backing_filename == ""


async def test_a_copy_onto_a_device_writes_its_zeros_too(tmp_path: Path) -> None:
    source, device = tmp_path / "a.qcow2", random_disk(tmp_path / "device")
    await qemu_img.create(source, "qcow2", 8 * MIB)
    await qemu_img.convert(source, "qcow2", device, "raw", onto_device=True)
    assert not any(device.read_bytes())


async def test_cancelled_it_ends_at_once(tmp_path: Path) -> None:
    source, target = random_disk(tmp_path / "a.raw", 64), tmp_path / "b.qcow2"
    begun = asyncio.Event()
    copying = asyncio.create_task(
        qemu_img.convert(source, "raw", target, "qcow2", compress=True, progress=lambda _: begun.set())
    )
    await begun.wait()
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert str(target).encode() not in process.read_bytes()
        except OSError:
            continue


async def test_what_is_no_image_is_unusable(tmp_path: Path) -> None:
    path = random_disk(tmp_path / "a.qcow2", 1)
    for look in (qemu_img.info(path, "qcow2"), qemu_img.check(path, "qcow2", limits=FOREIGN)):
        with pytest.raises(Unusable, match=r"a\.qcow2 is no disk image that can be read: .*not in qcow2 format"):
            await look


async def test_a_damaged_image_is_unusable(tmp_path: Path) -> None:
    path = tmp_path / "a.qcow2"
    await qemu_img.convert(random_disk(tmp_path / "a.raw", 2), "raw", path, "qcow2")
    with path.open("r+b") as file:  # the first table leads to nowhere
        file.seek(int.from_bytes(path.read_bytes()[40:48]))
        file.write(b"\x80" + b"\x7f" * 7)
    with pytest.raises(Unusable):
        await qemu_img.check(path, "qcow2", limits=FOREIGN)


async def test_what_takes_more_than_it_may_is_given_up(tmp_path: Path) -> None:
    source = tmp_path / "a.raw"
    source.write_bytes(b"".join(b"%d" % number for number in range(8_000_000)))  # slow to compress
    with pytest.raises(Unusable, match="took more time or memory"):
        await qemu_img.convert(source, "raw", tmp_path / "b", "qcow2", compress=True, limits=Limits(cpu_seconds=1))


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Another program has the image open to write, as a running machine has."""
    storage = {"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": str(path)}}
    words = ["--blockdev", json.dumps(storage), "--nbd-server", f"addr.type=unix,addr.path={path.parent}/s"]
    words += ["--export", "type=nbd,id=e,node-name=n,name=n,writable=on", "--pidfile", f"{path.parent}/pid"]
    holder = subprocess.Popen(["qemu-storage-daemon", *words])
    try:
        while not (path.parent / "pid").exists():
            time.sleep(0.02)
        yield
    finally:
        holder.terminate()
        holder.wait()


async def test_an_image_in_use_is_named_and_can_still_be_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.qcow2"
    await qemu_img.create(path, "qcow2", MIB)
    with held(path):
        with pytest.raises(InUse, match=r"a\.qcow2 is in use"):
            await qemu_img.resize(path, "qcow2", 2 * MIB)
        assert (await qemu_img.info(path, "qcow2")).virtual_size == MIB


@pytest.mark.skipif(small_disk.why_not() is not None, reason=str(small_disk.why_not()))
async def test_a_disk_that_becomes_full_is_named(tmp_path: Path) -> None:
    source = random_disk(tmp_path / "a.raw", 24)
    with small_disk.mounted(tmp_path, 16) as disk:
        with pytest.raises(NoSpace, match=r"become full while b\.qcow2 was written"):
            await qemu_img.convert(source, "raw", disk / "b.qcow2", "qcow2")
        (disk / "b.qcow2").unlink()
        small_disk.fill(disk)
        with pytest.raises(NoSpace):
            await qemu_img.create(disk / "c.qcow2", "qcow2", MIB)


async def test_a_path_that_could_be_a_protocol_is_a_defect() -> None:
    with pytest.raises(ValueError, match="not absolute"):
        await qemu_img.info(Path("nbd://127.0.0.1/x"), "raw")
