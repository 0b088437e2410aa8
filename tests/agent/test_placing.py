"""A finished file gets its name once, whole, and never in place of another; what is half made goes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from oms.agent import placing
from oms.agent.host import files
from oms.contract.errors import AlreadyThere, FuncManError, NoSpace
from tests import small_disk
from tests.hosts.kvm_job import Crash, RehearsedJob


async def build(job: RehearsedJob, target: Path, text: str = "new") -> None:
    """What every job does that makes a file."""
    async with placing.building(target.parent, job) as staging:
        if not placing.is_placed(job, target):
            (staging / "made").write_text(text)
            await placing.place(job, staging / "made", target)


def left_in(directory: Path) -> list[str]:
    return [path.name for path in files.regular_files(directory)]


async def test_a_file_gets_its_name_and_is_closed_to_others(tmp_path: Path) -> None:
    target = tmp_path / "a.img"
    await build(RehearsedJob(), target)
    found = target.stat()
    assert (target.read_text(), found.st_mode & 0o777, found.st_nlink) == ("new", 0o600, 1)
    assert left_in(tmp_path) == ["a.img"]


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
        await build(job, target)
    assert not (tmp_path / "nowhere").exists()
    assert kind != "file" or target.read_text() == "old"
    assert list((tmp_path / files.STAGING).iterdir()) == []


async def test_building_may_be_broken_off_anywhere(tmp_path: Path) -> None:
    job = RehearsedJob()
    for point in (1, 2, 3):
        job, target = RehearsedJob(break_at=point), tmp_path / f"{point}.img"
        try:
            await build(job, target)
        except Crash:
            again = RehearsedJob(job.records)
            placing.refuse_taken(again, target)
            await build(again, target)
        assert target.read_text() == "new"
        assert target.stat().st_nlink == 1
    assert job.steps == 2
    assert sorted(left_in(tmp_path)) == ["1.img", "2.img", "3.img"]


async def test_a_placed_file_is_known_after_its_staging_has_gone(tmp_path: Path) -> None:
    job, target = RehearsedJob(), tmp_path / "a.img"
    await build(job, target)
    again = RehearsedJob(job.records)
    placing.refuse_taken(again, target)
    await build(again, target, "other")
    assert target.read_text() == "new"
    target.rename(tmp_path / "its inode stays in use")
    target.write_text("another's")
    with pytest.raises(AlreadyThere):
        placing.refuse_taken(again, target)


async def build_half(
    job: RehearsedJob, directory: Path, failure: BaseException, *, anew: bool = True, found: Sequence[str] = ()
) -> None:
    async with placing.building(directory, job, anew=anew) as staging:
        assert left_in(staging) == list(found)
        (staging / "half").write_text("half")
        raise failure


async def test_what_fails_while_it_is_built_leaves_nothing(tmp_path: Path) -> None:
    job = RehearsedJob()
    with pytest.raises(RuntimeError):
        await build_half(job, tmp_path, RuntimeError())
    assert left_in(tmp_path) == []


async def test_what_an_earlier_run_has_built_is_kept_where_it_is_of_use(tmp_path: Path) -> None:
    job = RehearsedJob()
    for anew, found in ((True, []), (False, ["half"]), (True, [])):
        with pytest.raises(Crash):
            await build_half(job, tmp_path, Crash(), anew=anew, found=found)


async def test_a_directory_that_cannot_be_built_in_is_named(tmp_path: Path) -> None:
    (tmp_path / ".staging").write_text("a file where the directory should be")
    with pytest.raises(FuncManError, match="cannot be worked in"):
        async with placing.building(tmp_path, RehearsedJob()):
            pass


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
