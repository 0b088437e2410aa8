"""Disks are made ready once, whole or not at all, and hold what they held in the package."""

import asyncio
import gzip
import os
import subprocess
import zlib
from pathlib import Path

import pytest

from oms.agent.context import Host
from oms.agent.host import files, qemu_img
from oms.agent.templates import ovf_writing, package, preparing, unpacking
from oms.agent.templates.appliance import ForeignFormat, PackedDisk
from oms.contract.errors import NoSpace, Unusable
from tests import small_disk
from tests.agent.templates.packages import MIB, appliance, image, listing, ova, packed, tar
from tests.hosts.kvm_job import RehearsedJob, host


@pytest.fixture
def here(tmp_path: Path) -> Host:
    """A host without machines."""
    (tmp_path / "images").mkdir()
    (tmp_path / "templates").mkdir()
    return host(None, tmp_path / "images")


async def unpacked(here: Host, name: str = "a") -> Path:
    """The template's disks, ready."""
    told: list[float] = []
    async with preparing.ready(here, name, told.append) as (_, place):
        assert told == sorted(told)
        assert all(0 <= share <= 1 for share in told)
        return place


def same(one: Path, other: Path, packing: str) -> bool:
    compared = subprocess.run(["qemu-img", "compare", "-f", "qcow2", "-F", packing, one, other], check=False)
    return compared.returncode == 0


def left(here: Host) -> set[str]:
    """What lies among the templates beside the packages."""
    templates = here.storage.templates
    return {str(path.relative_to(templates)) for path in templates.rglob("*")} - {"a.ova", ".staging", ".unpacked"}


@pytest.mark.parametrize("packing", ["vmdk", "vdi", "qcow2", "raw"])
@pytest.mark.parametrize("manifest", [True, False])
async def test_a_disk_holds_what_it_held(
    here: Host, tmp_path: Path, packing: ForeignFormat, manifest: bool
) -> None:
    disk = image(tmp_path / f"d.{packing}", packing)
    made = appliance(packed("d.img", disk, packing))
    ova(here.storage.templates / "a.ova", made, {"d.img": disk}, manifest=manifest)
    place = await unpacked(here)
    assert same(place / "disk1.qcow2", disk, packing)
    assert (place / "disk1.qcow2").stat().st_mode & 0o777 == 0o600
    assert left(here) == {f".unpacked/{place.name}", f".unpacked/{place.name}/disk1.qcow2"}


async def test_it_is_done_once(here: Host, tmp_path: Path) -> None:
    disk = image(tmp_path / "d.vmdk")
    ova(here.storage.templates / "a.ova", appliance(packed("d.vmdk", disk)), {"d.vmdk": disk})
    places = await asyncio.gather(*(unpacked(here) for _ in range(4)))
    inode = (places[0] / "disk1.qcow2").stat().st_ino
    assert (await unpacked(here) / "disk1.qcow2").stat().st_ino == inode
    assert len(set(places)) == 1


async def test_a_new_content_under_the_name_does_not_touch_the_old_one(here: Host, tmp_path: Path) -> None:
    places = []
    for marks in ((1,), (2,)):
        disk = image(tmp_path / "d.vmdk", marks=marks)
        (here.storage.templates / "a.ova").unlink(missing_ok=True)
        ova(here.storage.templates / "a.ova", appliance(packed("d.vmdk", disk)), {"d.vmdk": disk})
        places.append(await unpacked(here))
    assert places[0] != places[1]
    assert not same(places[0] / "disk1.qcow2", places[1] / "disk1.qcow2", "qcow2")


async def test_a_disk_that_is_smaller_than_declared_or_not_there_at_all_gets_its_size(
    here: Host, tmp_path: Path
) -> None:
    disk = image(tmp_path / "d.vmdk")
    made = appliance(packed("d.vmdk", disk, size_mb=100), PackedDisk("empty", None, 7 * MIB, "raw"))
    ova(here.storage.templates / "a.ova", made, {"d.vmdk": disk})
    place = await unpacked(here)
    sizes = [(await qemu_img.info(place / f"disk{n}.qcow2", "qcow2")).virtual_size for n in (1, 2)]
    assert sizes == [100 * MIB, 7 * MIB]


async def test_a_zipped_disk_is_unzipped(here: Host, tmp_path: Path) -> None:
    disk = image(tmp_path / "d.vmdk")
    zipped = tmp_path / "d.gz"
    zipped.write_bytes(gzip.compress(disk.read_bytes()))
    ova(here.storage.templates / "a.ova", appliance(packed("d.gz", zipped, gzip=True)), {"d.gz": zipped})
    place = await unpacked(here)
    assert same(place / "disk1.qcow2", disk, "vmdk")
    assert left(here) == {f".unpacked/{place.name}", f".unpacked/{place.name}/disk1.qcow2"}


def zeros(path: Path, size_bytes: int) -> Path:
    """A small gzip file that becomes so large."""
    pack = zlib.compressobj(9, zlib.DEFLATED, unpacking.GZIP)
    with path.open("wb") as file:
        for _ in range(size_bytes // MIB):
            file.write(pack.compress(bytes(MIB)))
        file.write(pack.flush())
    return path


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"rubbish", "cannot be unzipped"), (gzip.compress(bytes(9999), mtime=0)[:-12], "ends too early")],
)
async def test_a_zip_that_is_none_is_refused(here: Host, tmp_path: Path, content: bytes, why: str) -> None:
    zipped = tmp_path / "d.gz"
    zipped.write_bytes(content)
    ova(here.storage.templates / "a.ova", appliance(packed("d.gz", zipped, "raw", gzip=True)), {"d.gz": zipped})
    with pytest.raises(Unusable, match=why):
        await unpacked(here)
    assert left(here) == set()


async def test_a_bomb_stops_at_the_size_that_was_declared(here: Host, tmp_path: Path) -> None:
    bomb = zeros(tmp_path / "d.gz", 256 * MIB)
    assert bomb.stat().st_size < 2 * MIB
    made = appliance(packed("d.gz", bomb, "raw", size_mb=64, gzip=True))
    ova(here.storage.templates / "a.ova", made, {"d.gz": bomb})
    with pytest.raises(Unusable, match=r"'d\.gz' has more in it than a disk of its size"):
        await unpacked(here)
    assert left(here) == set()


@pytest.mark.skipif(small_disk.why_not() is not None, reason=str(small_disk.why_not()))
@pytest.mark.parametrize("zipped", [True, False])
async def test_a_bomb_stops_before_the_disk_is_full(tmp_path: Path, zipped: bool) -> None:
    """Declared as large as it becomes; but the host has not that much."""
    with small_disk.mounted(tmp_path, 96) as disk:
        (disk / "images").mkdir()
        (disk / "templates").mkdir()
        here = host(None, disk / "images")
        if zipped:
            bomb = zeros(tmp_path / "d.gz", 256 * MIB)
            made = appliance(packed("d.gz", bomb, "raw", size_mb=1024, gzip=True))
        else:
            raw, bomb = tmp_path / "raw", tmp_path / "d.vmdk"
            raw.write_bytes(b"\1" * (200 * MIB))
            await qemu_img.convert(raw, "raw", bomb, "vmdk", options=("subformat=streamOptimized",))
            raw.unlink()
            made = appliance(packed("d.gz", bomb, size_mb=1024))
        ova(here.storage.templates / "a.ova", made, {"d.gz": bomb}, manifest=False)
        with pytest.raises(NoSpace, match="left to give"):
            await unpacked(here)
        assert left(here) == set()
        found = os.statvfs(disk)
        assert found.f_bavail > found.f_blocks // 100


async def test_a_file_that_was_changed_is_refused_before_it_is_read_by_any_program(
    here: Host, tmp_path: Path
) -> None:
    disk, other = image(tmp_path / "d.vmdk"), image(tmp_path / "o.vmdk", marks=(5, 6, 7))
    made = appliance(packed("d.vmdk", disk))
    text = ovf_writing.written(made)
    digests = listing({"a.ovf": text, "d.vmdk": other}, "SHA1")
    tar(here.storage.templates / "a.ova", {"a.ovf": text, "a.mf": digests, "d.vmdk": disk})
    with pytest.raises(Unusable, match=r"'d\.vmdk' was changed or damaged"):
        await unpacked(here)
    assert left(here) == set()


async def test_a_damaged_disk_is_refused_in_words(here: Host, tmp_path: Path) -> None:
    disk = image(tmp_path / "d.vmdk")
    content = bytearray(disk.read_bytes())
    middle = content.index(b"\x78", 65_536)  # a compressed block
    content[middle : middle + 40] = bytes(40)
    disk.write_bytes(content)
    ova(here.storage.templates / "a.ova", appliance(packed("d.vmdk", disk)), {"d.vmdk": disk})
    with pytest.raises(Unusable, match=r"Template 'a' is refused: its file 'd\.vmdk' cannot be read"):
        await unpacked(here)
    assert left(here) == set()


async def test_names_in_a_package_never_become_names_here(here: Host, tmp_path: Path) -> None:
    disk = image(tmp_path / "d.vmdk")
    name = "nbd:127.0.0.1,file.filename=x é.vmdk"
    ova(here.storage.templates / "a.ova", appliance(packed(name, disk)), {name: disk})
    place = await unpacked(here)
    assert same(place / "disk1.qcow2", disk, "vmdk")


async def test_broken_off_nothing_is_left(here: Host, tmp_path: Path) -> None:
    disk = image(tmp_path / "d.raw", "raw", size_mb=512, marks=range(0, 512, 3))
    ova(here.storage.templates / "a.ova", appliance(packed("d.raw", disk, "raw", size_mb=512)), {"d.raw": disk})
    for seconds in (0.01, 0.05, 0.15, 0.3):
        task = asyncio.create_task(unpacked(here))
        await asyncio.sleep(seconds)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            assert left(here) == set()
            assert here.leases.holder("template/a") == ""
    assert same(await unpacked(here) / "disk1.qcow2", disk, "raw")


async def test_a_read_has_it_done_and_does_not_wait_longer_than_it_may(
    here: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = image(tmp_path / "d.vmdk")
    ova(here.storage.templates / "a.ova", appliance(packed("d.vmdk", disk)), {"d.vmdk": disk})
    monkeypatch.setattr(preparing, "READERS_WAIT_SECONDS", 0.0)
    async with package.opened(here.storage.templates, "a") as opened:
        await asyncio.gather(preparing.ahead(here, opened), preparing.ahead(here, opened))
    place = await unpacked(here)  # waits for it, and has nothing left to do
    assert same(place / "disk1.qcow2", disk, "vmdk")
    assert isinstance(here.job, RehearsedJob)
    assert here.job.notes == {"waited for template/a": f"job unpack-{place.name} held it"}
    await here.errands.close()


async def test_what_a_read_found_unusable_is_not_tried_again(here: Host, tmp_path: Path) -> None:
    zipped = tmp_path / "d.gz"
    zipped.write_bytes(b"rubbish")
    ova(here.storage.templates / "a.ova", appliance(packed("d.gz", zipped, "raw", gzip=True)), {"d.gz": zipped})
    async with package.opened(here.storage.templates, "a") as opened:
        with pytest.raises(Unusable) as first:
            await preparing.ahead(here, opened)
        with pytest.raises(Unusable) as second:
            await preparing.ahead(here, opened)
    assert first.value is second.value
    assert left(here) == set()
    assert not list((here.storage.templates / files.STAGING).iterdir())
