"""The format of an image is what was recorded of just that file."""

from pathlib import Path

import pytest

from oms.agent import placing
from oms.agent.host import qemu_img
from oms.agent.images import catalogue
from oms.contract.errors import AlreadyThere, Unusable
from oms.contract.types import DiskFormat
from tests.hosts.kvm_job import Crash, RehearsedJob


async def take_in(
    images: Path, name: str, disk_format: DiskFormat, job: RehearsedJob | None = None, content: bytes = b"disk"
) -> Path:
    job = job or RehearsedJob()
    async with placing.building(images, job) as staging:
        (staging / name).write_bytes(content)
        await catalogue.take_in(job, staging / name, images / name, disk_format)
    return images / name


async def test_a_format_is_known_of_the_file_that_was_taken_in_and_of_no_other(images: Path) -> None:
    path = await take_in(images, "a.img", "qcow2")
    assert catalogue.format_of(path) == catalogue.known_format(path) == "qcow2"
    path.rename(images / "b.img")
    path.write_bytes(b"another")
    assert catalogue.format_of(path) is None
    assert catalogue.format_of(images / "b.img") is None
    with pytest.raises(Unusable, match=r"In which format a\.img is was never told"):
        catalogue.known_format(path)


async def test_what_a_file_holds_does_not_tell_its_format(images: Path) -> None:
    await qemu_img.create(images / "unknown.img", "qcow2", 1024 * 1024)
    assert catalogue.format_of(images / "unknown.img") is None
    path = await take_in(images, "raw.img", "raw", content=(images / "unknown.img").read_bytes())
    assert catalogue.format_of(path) == "raw"


async def test_a_taken_name_keeps_its_file_and_its_record(images: Path) -> None:
    path = await take_in(images, "a.img", "raw")
    with pytest.raises(AlreadyThere):
        await take_in(images, "a.img", "qcow2", content=b"other")
    assert (catalogue.format_of(path), path.read_bytes()) == ("raw", b"disk")


async def test_taking_in_may_be_broken_off_anywhere(images: Path) -> None:
    for point in (1, 2, 3):
        job = RehearsedJob(break_at=point)
        try:
            path = await take_in(images, f"{point}.img", "qcow2", job)
        except Crash:
            path = await take_in(images, f"{point}.img", "qcow2", RehearsedJob(job.records))
        assert catalogue.format_of(path) == "qcow2"


async def test_records_of_what_is_gone_go_too(images: Path) -> None:
    catalogue.forget_missing(images)
    path = await take_in(images, "a.img", "qcow2")
    catalogue.forget_missing(images)
    assert catalogue.format_of(path) == "qcow2"
    path.unlink()
    catalogue.forget_missing(images)
    assert list((images / catalogue.RECORDS).iterdir()) == []
    assert (images / catalogue.RECORDS).stat().st_mode & 0o077 == 0


def test_a_damaged_record_is_none(images: Path) -> None:
    (images / "a.img").write_text("disk")
    (images / catalogue.RECORDS).mkdir()
    for text in ("", "{", '{"format": "vmdk", "inode": 1}', "[]"):
        (images / catalogue.RECORDS / "a.img").write_text(text)
        assert catalogue.format_of(images / "a.img") is None
