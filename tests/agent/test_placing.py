"""A finished file gets its name once, whole, and never in place of another; what is half made goes."""

from pathlib import Path

import pytest

from oms.agent import placing
from oms.agent.host import files
from oms.contract.errors import AlreadyThere, FuncManError, NoSpace
from tests import small_disk
from tests.hosts.kvm_job import Crash, RehearsedJob


def build(directory: Path, job: RehearsedJob, text: str = "new") -> Path:
    staged = placing.begin(directory, job) / "made"
    staged.write_text(text)
    return staged


async def test_a_file_gets_its_name_and_is_closed_to_others(tmp_path: Path) -> None:
    job = RehearsedJob()
    await placing.place(job, build(tmp_path, job), tmp_path / "a.img")
    placing.done(tmp_path, job)
    assert (tmp_path / "a.img").read_text() == "new"
    found = (tmp_path / "a.img").stat()
    assert (found.st_mode & 0o777, found.st_nlink) == (0o600, 1)
    assert [path.name for path in files.regular_files(tmp_path)] == ["a.img"]


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
async def test_what_has_the_name_already_stays(tmp_path: Path, kind: str) -> None:
    job, target = RehearsedJob(), tmp_path / "a.img"
    if kind == "file":
        target.write_text("old")
    elif kind == "link":
        target.symlink_to(tmp_path / "nowhere")
    else:
        target.mkdir()
    with pytest.raises(AlreadyThere, match=r"There is a file a\.img in .* already"):
        placing.refuse_taken(job, target)
    with pytest.raises(AlreadyThere):
        await placing.place(job, build(tmp_path, job), target)
    assert not (tmp_path / "nowhere").exists()
    assert kind != "file" or target.read_text() == "old"


async def test_placing_may_be_broken_off_anywhere(tmp_path: Path) -> None:
    job = RehearsedJob()
    for point in (1, 2, 3):
        job, target = RehearsedJob(break_at=point), tmp_path / f"{point}.img"
        staged = build(tmp_path, job)
        try:
            await placing.place(job, staged, target)
        except Crash:
            again = RehearsedJob(job.records)
            placing.refuse_taken(again, target)
            await placing.place(again, staged, target)
            placing.done(tmp_path, again)
        assert target.read_text() == "new"
    assert job.steps == 2


async def test_a_placed_file_is_known_after_its_staging_has_gone(tmp_path: Path) -> None:
    job, target = RehearsedJob(), tmp_path / "a.img"
    staged = build(tmp_path, job)
    await placing.place(job, staged, target)
    placing.done(tmp_path, job)
    again = RehearsedJob(job.records)
    assert placing.is_placed(again, target)
    await placing.place(again, staged, target)
    placing.done(tmp_path, again)
    target.unlink()
    target.write_text("another's")
    (tmp_path / "keep the inode busy").write_text("")
    assert not placing.is_placed(RehearsedJob(), target)


async def test_what_cannot_be_built_in_is_named(tmp_path: Path) -> None:
    (tmp_path / ".staging").write_text("a file where the directory should be")
    with pytest.raises(FuncManError, match="cannot be worked in"):
        placing.begin(tmp_path, RehearsedJob())


@pytest.mark.skipif(small_disk.why_not() is not None, reason=str(small_disk.why_not()))
def test_a_full_disk_is_called_so(tmp_path: Path) -> None:
    with small_disk.mounted(tmp_path, 16) as disk:
        small_disk.fill(disk)
        with pytest.raises(NoSpace), placing.told(disk):
            (disk / "more").write_bytes(bytes(small_disk.MIB))


def test_the_sweep_takes_what_no_open_job_goes_on_with_and_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    images = tmp_path / "images"
    for directory in (outside, images / ".staging/open", images / ".staging/over/deep"):
        directory.mkdir(parents=True)
        (directory / "half").write_text("half")
    (images / ".staging/link").symlink_to(outside)
    (images / ".staging/stray").write_text("")
    (images / "a.img").write_text("whole")
    swept = placing.sweep([images, tmp_path / "none"], {"open"})
    assert {Path(path).name for path in swept} == {"over", "link", "stray"}
    assert [path.name for path in (images / ".staging").iterdir()] == ["open"]
    assert (outside / "half").exists()
    assert (images / "a.img").exists()


def test_a_link_in_the_place_of_staging_is_not_swept(tmp_path: Path) -> None:
    outside, images = tmp_path / "outside", tmp_path / "images"
    for directory in (outside, images):
        directory.mkdir()
    (outside / "somebody's").write_text("")
    (images / ".staging").symlink_to(outside)
    assert placing.sweep([images], set()) == []
    assert (outside / "somebody's").exists()
