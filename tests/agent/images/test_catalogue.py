"""An image is found by its name and nothing else, and its format is what was recorded of just that file."""

import os
from pathlib import Path

import pytest

from oms.agent import placing
from oms.agent.host import qemu_img
from oms.agent.images import catalogue
from oms.contract.errors import AlreadyThere, NotThere, Unusable
from tests.hosts.kvm_job import Crash, RehearsedJob


@pytest.fixture
def images(tmp_path: Path) -> Path:
    directory = tmp_path / "images"
    directory.mkdir()
    return directory


def staged(images: Path, job: RehearsedJob, content: bytes = b"disk") -> Path:
    path = placing.begin(images, job) / "made"
    path.write_bytes(content)
    return path


HOSTILE = [
    "../../../etc/passwd", "/etc/passwd", "a/../../b", ".", "..", "", "a\0b", "..%2f", ".hidden", ".staging",
    "a/b", 'json:{"driver":"file","filename":"/etc/hostname"}', "nbd://127.0.0.1:1/x", "http://169.254.169.254/",
    "fat:/etc", "-rf", "a b", "ä.img", "a\n", "n" * 201,
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leads_out_or_is_more_than_a_name(images: Path, name: str) -> None:
    with pytest.raises(NotThere):
        catalogue.path_of(images, name)
    with pytest.raises(NotThere):
        catalogue.find(images, name)


def test_only_a_regular_file_is_an_image(images: Path, tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("secret")
    (images / "link.img").symlink_to(tmp_path / "shadow")
    (images / "dir.img").mkdir()
    os.mkfifo(images / "pipe.img")
    (images / "real.img").write_text("disk")
    for name in ("link.img", "dir.img", "pipe.img", "none.img"):
        with pytest.raises(NotThere, match="There is no disk image"):
            catalogue.find(images, name)
    assert catalogue.find(images, "real.img") == images / "real.img"


async def test_a_format_is_known_of_the_file_that_was_taken_in_and_of_no_other(images: Path) -> None:
    job, path = RehearsedJob(), images / "a.img"
    await catalogue.take_in(job, staged(images, job), path, "qcow2")
    placing.done(images, job)
    assert catalogue.format_of(path) == catalogue.known_format(path) == "qcow2"
    path.rename(images / "b.img")
    path.write_bytes(b"another")
    assert catalogue.format_of(path) is None
    assert catalogue.format_of(images / "b.img") is None
    with pytest.raises(Unusable, match=r"In which format a\.img is was never told"):
        catalogue.known_format(path)


async def test_what_a_file_holds_does_not_tell_its_format(images: Path, tmp_path: Path) -> None:
    await qemu_img.create(images / "unknown.img", "qcow2", 1024 * 1024)
    assert catalogue.format_of(images / "unknown.img") is None
    job = RehearsedJob()
    await catalogue.take_in(
        job, staged(images, job, (images / "unknown.img").read_bytes()), images / "raw.img", "raw"
    )
    assert catalogue.format_of(images / "raw.img") == "raw"


async def test_a_taken_name_keeps_its_file_and_its_record(images: Path) -> None:
    first, second = RehearsedJob(), RehearsedJob()
    second.id = "f" * 32
    await catalogue.take_in(first, staged(images, first), images / "a.img", "raw")
    with pytest.raises(AlreadyThere):
        await catalogue.take_in(second, staged(images, second, b"other"), images / "a.img", "qcow2")
    assert catalogue.format_of(images / "a.img") == "raw"


async def test_taking_in_may_be_broken_off_anywhere(images: Path) -> None:
    for point in (1, 2, 3):
        job, path = RehearsedJob(break_at=point), images / f"{point}.img"
        made = staged(images, job)
        try:
            await catalogue.take_in(job, made, path, "qcow2")
        except Crash:
            await catalogue.take_in(RehearsedJob(job.records), made, path, "qcow2")
        assert catalogue.format_of(path) == "qcow2"


async def test_records_of_what_is_gone_go_too(images: Path) -> None:
    job = RehearsedJob()
    catalogue.forget_missing(images)
    await catalogue.take_in(job, staged(images, job), images / "a.img", "qcow2")
    catalogue.forget_missing(images)
    assert catalogue.format_of(images / "a.img") == "qcow2"
    (images / "a.img").unlink()
    catalogue.forget_missing(images)
    assert list((images / catalogue.RECORDS).iterdir()) == []
    assert (images / catalogue.RECORDS).stat().st_mode & 0o077 == 0


def test_a_damaged_record_is_none(images: Path) -> None:
    (images / "a.img").write_text("disk")
    (images / catalogue.RECORDS).mkdir()
    for text in ("", "{", '{"format": "vmdk", "inode": 1}', "[]"):
        (images / catalogue.RECORDS / "a.img").write_text(text)
        assert catalogue.format_of(images / "a.img") is None
