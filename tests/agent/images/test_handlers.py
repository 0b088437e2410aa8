"""Disk images made, listed, described and deleted on a host that runs no machines; broken off anywhere."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest

from oms.agent.context import Offer
from oms.agent.host import files, qemu_img
from oms.agent.images import catalogue, handlers
from oms.contract.errors import AlreadyThere, InUse, NoSpace, NotThere, Unusable
from oms.contract.kvm import images as api
from oms.contract.types import DiskFormat
from tests import small_disk
from tests.agent.transfer.parts import Brings, Script, gives
from tests.hosts import kvm_job
from tests.hosts.kvm_job import Crash, RehearsedJob

MIB = 1024 * 1024
pytestmark = pytest.mark.skipif(
    not Path("/usr/bin/qemu-img").exists(), reason="needs qemu-img (scripts/bootstrap test installs it)"
)
create, delete = handlers.create_file_based_image, handlers.delete_file_based_image
adopt, describe = handlers.adopt_file_based_image, handlers.describe_file_based_images


def host(images: Path, job: RehearsedJob | None = None, **more: Any) -> Any:
    return kvm_job.host(None, images, job, **more)


def made(name: str, size_mb: int = 10, disk_format: DiskFormat | str = "") -> api.CreateFileBasedImage:
    return api.CreateFileBasedImage(name, size_mb, disk_format)  # type: ignore[arg-type]


async def names(images: Path) -> list[str]:
    return await handlers.list_file_based_images(api.ListFileBasedImages(), host(images))


@pytest.mark.parametrize("disk_format", ["qcow2", "raw"])
async def test_an_image_is_made_and_deleted(images: Path, disk_format: DiskFormat) -> None:
    job = RehearsedJob()
    assert await create(made("testimage.img", 10, disk_format), host(images, job)) == 0
    path = images / "testimage.img"
    assert (await qemu_img.info(path, disk_format)).virtual_size == 10 * MIB
    assert path.stat().st_blocks * 512 < MIB
    assert path.stat().st_mode & 0o777 == 0o600
    assert job.notes == {"format": disk_format}
    (image,) = await describe(api.DescribeFileBasedImages(), host(images))
    assert (image.name, image.format, image.size_kb) == ("testimage.img", disk_format, 10 * 1024)
    assert await names(images) == ["testimage.img"]
    assert await delete(api.DeleteFileBasedImage("testimage.img"), host(images)) == (0, "", "")
    assert await names(images) == []
    assert [str(path) for path in files.regular_files(images)] == []


async def test_the_hosts_setting_decides_where_no_format_is_said(images: Path) -> None:
    await create(made("a.img"), host(images, offer=Offer(disk_format="raw")))
    assert catalogue.format_of(images / "a.img") == "raw"
    await create(made("b.img"), host(images))
    assert catalogue.format_of(images / "b.img") == "qcow2"


async def test_a_name_that_is_taken_is_refused_and_its_file_stays(images: Path, tmp_path: Path) -> None:
    (images / "a.img").write_text("somebody's")
    (images / "b.img").symlink_to(tmp_path / "nowhere")
    for name in ("a.img", "b.img"):
        with pytest.raises(AlreadyThere):
            await create(made(name), host(images))
    assert (images / "a.img").read_text() == "somebody's"
    assert not (tmp_path / "nowhere").exists()


async def test_what_the_host_has_no_room_for_is_refused_before_a_file_is_there(images: Path) -> None:
    for disk_format in ("raw", "qcow2"):
        with pytest.raises(NoSpace, match=r"Disk image 'a\.img' needs 16384\.0 GiB"):
            await create(made("a.img", 16 * MIB, disk_format), host(images))
    assert [*files.regular_files(images)] == []


async def test_making_may_be_broken_off_anywhere(images: Path) -> None:
    points = []
    for point in range(1, 10):
        job = RehearsedJob(break_at=point)
        try:
            await create(made(f"{point}.img"), host(images, job))
        except Crash:
            points.append(point)
            await create(made(f"{point}.img"), host(images, RehearsedJob(job.records)))
        assert catalogue.format_of(images / f"{point}.img") == "qcow2"
    assert points == [1, 2]
    assert len(list(files.regular_files(images))) == 2 * 9  # each with its record


async def test_deleting_may_be_broken_off_anywhere_and_takes_nothing_that_was_made_since(images: Path) -> None:
    for remade in (False, True):
        points = []
        for point in range(1, 10):
            await create(made("a.img"), host(images))
            job = RehearsedJob(break_at=point)
            try:
                await delete(api.DeleteFileBasedImage("a.img"), host(images, job))
            except Crash:
                points.append(point)
                gone = not (images / "a.img").exists()
                if remade and gone:
                    (images / "a.img").write_text("new")
                await delete(api.DeleteFileBasedImage("a.img"), host(images, RehearsedJob(job.records)))
                assert (await names(images) == ["a.img"]) == (remade and gone)
                (images / "a.img").unlink(missing_ok=True)
            assert await names(images) == []
        assert points == [1, 2, 3, 4]


async def test_what_is_not_there_is_not_deleted(images: Path, tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("secret")
    (images / "link.img").symlink_to(tmp_path / "shadow")
    for name in ("none.img", "link.img", "../images/link.img", "/etc/passwd", ".staging", ""):
        with pytest.raises(NotThere):
            await delete(api.DeleteFileBasedImage(name), host(images))
    assert (tmp_path / "shadow").read_text() == "secret"
    assert (images / "link.img").is_symlink()


async def test_an_image_under_another_is_not_deleted(images: Path) -> None:
    await create(made("base.img"), host(images))
    await qemu_img.create(images / "top.img", "qcow2", 10 * MIB, backing=(images / "base.img", "qcow2"))
    with pytest.raises(InUse, match=r"'base\.img' is needed by the disk image .*/top\.img"):
        await delete(api.DeleteFileBasedImage("base.img"), host(images))
    await delete(api.DeleteFileBasedImage("top.img"), host(images))
    await delete(api.DeleteFileBasedImage("base.img"), host(images))
    assert await names(images) == []


async def test_a_guest_that_names_others_images_in_its_raw_disk_holds_none_of_them(images: Path) -> None:
    await create(made("victim.img"), host(images))
    await create(made("raw.img", disk_format="raw"), host(images))
    forged = images.parent / "forged"
    await qemu_img.create(forged, "qcow2", 10 * MIB, backing=(images / "victim.img", "qcow2"))
    (images / "raw.img").write_bytes(forged.read_bytes())
    await delete(api.DeleteFileBasedImage("victim.img"), host(images))
    assert await names(images) == ["raw.img"]


async def test_two_jobs_for_one_name_follow_each_other(images: Path) -> None:
    one, two = RehearsedJob(), RehearsedJob()
    two.id = "f" * 32
    here = host(images, one)
    ended = await asyncio.gather(
        create(made("a.img"), here),
        create(made("a.img"), kvm_job.sharing(here, two)),
        return_exceptions=True,
    )
    assert sorted(type(end).__name__ for end in ended) == ["AlreadyThere", "int"]
    assert two.notes == {"waited for image/a.img": f"job {one.id} held it"}


@pytest.mark.skipif(small_disk.why_not() is not None, reason=str(small_disk.why_not()))
async def test_a_disk_that_fills_up_meanwhile_leaves_all_as_it_was(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk.mounted(images, 64) as disk:
        before = sorted(disk.rglob("*"))
        monkeypatch.setattr("oms.agent.host.space.require", lambda *_: small_disk.fill(disk))
        with pytest.raises(NoSpace, match="full"):
            await create(made("a.img"), host(disk))
        (disk / "filler").unlink()
        assert [path for path in sorted(disk.rglob("*")) if path.is_file()] == []
        assert before == [disk / "lost+found"]


# --- images that came by other ways ---


async def test_an_image_that_lies_there_is_listed_and_its_format_told_later(images: Path) -> None:
    await qemu_img.create(images / "a.img", "qcow2", 10 * MIB)
    (images / "a.img").chmod(0o666)
    (image,) = await describe(api.DescribeFileBasedImages(), host(images))
    assert (image.format, image.backing, image.machines) == ("", "", [])
    for _ in range(2):
        assert await adopt(api.AdoptFileBasedImage("a.img", "qcow2"), host(images)) == 0
    (image,) = await describe(api.DescribeFileBasedImages(), host(images))
    assert (image.format, image.size_kb) == ("qcow2", 10 * 1024)
    assert (images / "a.img").stat().st_mode & 0o777 == 0o660
    with pytest.raises(AlreadyThere, match=r"'a\.img' is qcow2, as OMS was told before"):
        await adopt(api.AdoptFileBasedImage("a.img", "raw"), host(images))


async def test_only_what_stands_for_itself_is_adopted(images: Path) -> None:
    await qemu_img.create(images / "top.img", "qcow2", MIB, backing=(Path("/etc/hostname"), "raw"))
    (images / "no.img").write_bytes(bytes(MIB))
    for name, why in {"top.img": "stands upon another file", "no.img": "not in the format"}.items():
        with pytest.raises(Unusable, match=why):
            await adopt(api.AdoptFileBasedImage(name, "qcow2"), host(images))
        assert catalogue.format_of(images / name) is None
    with pytest.raises(Unusable, match="no raw disk but a qcow2 image: say so"):
        await adopt(api.AdoptFileBasedImage("top.img", "raw"), host(images))
    assert await adopt(api.AdoptFileBasedImage("no.img", "raw"), host(images)) == 0
    with pytest.raises(NotThere):
        await adopt(api.AdoptFileBasedImage("none.img", "raw"), host(images))


@pytest.mark.parametrize("other", ["vmdk", "vdi", "vhdx", "qed"])
async def test_images_in_other_formats_are_no_raw_disks(images: Path, other: str) -> None:
    made_by_qemu(images / "a.img", other)
    with pytest.raises(Unusable, match=rf"{other.upper()} image: convert it first"):
        await adopt(api.AdoptFileBasedImage("a.img", "raw"), host(images))


def made_by_qemu(path: Path, disk_format: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", disk_format, path, "4M"], check=True)


async def test_tables_that_do_not_fit_each_other_are_found(images: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(range(256)) * 4096)
    await qemu_img.convert(tmp_path / "disk", "raw", images / "a.img", "qcow2")
    image = bytearray((images / "a.img").read_bytes())
    table = int.from_bytes(image[40:48])
    image[table : table + 8] = (0x8000000000000000 | 1 << 40).to_bytes(8)
    (images / "a.img").write_bytes(image)
    with pytest.raises(Unusable, match="can be read"):
        await adopt(api.AdoptFileBasedImage("a.img", "qcow2"), host(images))


# --- images that are brought ---


def relayed(images: Path, content: bytes, job: RehearsedJob | None = None) -> Any:
    return host(images, job, relay=Brings(Script(gives(content, piece=100_000))))


async def test_an_image_that_is_brought_is_checked_and_its_format_recorded(images: Path, tmp_path: Path) -> None:
    await qemu_img.create(tmp_path / "whole", "qcow2", 10 * MIB)
    await qemu_img.create(tmp_path / "top", "qcow2", MIB, backing=(Path("/etc/hostname"), "raw"))
    whole, top = (tmp_path / "whole").read_bytes(), (tmp_path / "top").read_bytes()
    op = api.UploadFileBasedImage("a.img", "qcow2", len(whole))
    await handlers.upload_file_based_image(op, relayed(images, whole))
    assert catalogue.format_of(images / "a.img") == "qcow2"
    for content, disk_format, why in (
        (top, "qcow2", "stands upon another file"),
        (whole, "raw", "but a qcow2 image: say so"),
        (whole[:100_000], "qcow2", "does not lie in the file"),
        (bytes(MIB), "qcow2", "not in the format"),
    ):
        bad = api.UploadFileBasedImage("b.img", disk_format, len(content))  # type: ignore[arg-type]
        with pytest.raises(Unusable, match=why):
            await handlers.upload_file_based_image(bad, relayed(images, content))
    raw = api.UploadFileBasedImage("raw.img", "raw", MIB)
    await handlers.upload_file_based_image(raw, relayed(images, bytes(MIB)))
    described = await describe(api.DescribeFileBasedImages(), host(images))
    assert [(image.name, image.format) for image in described] == [("a.img", "qcow2"), ("raw.img", "raw")]
    assert not list((images / files.STAGING).iterdir())


async def test_bringing_may_be_broken_off_anywhere(images: Path) -> None:
    for point in range(1, 30):
        op, job = api.UploadFileBasedImage(f"{point}.img", "raw", MIB), RehearsedJob(break_at=point)
        try:
            await handlers.upload_file_based_image(op, relayed(images, bytes(MIB), job))
        except Crash:
            await handlers.upload_file_based_image(op, relayed(images, bytes(MIB), RehearsedJob(job.records)))
        else:
            break
        assert catalogue.format_of(images / f"{point}.img") == "raw"
    assert point > 8
