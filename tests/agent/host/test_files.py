"""A file of our own is known from every look-alike, and leaves only when it is still the same."""

import os
from pathlib import Path

from oms.agent.host import files
from oms.agent.host.files import NotOwn, OwnFile


def make(path: Path, text: str = "data") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def own(path: Path, images: Path) -> OwnFile:
    found = files.own_file(path, images)
    assert isinstance(found, OwnFile)
    return found


def test_a_regular_file_in_it_or_below_is_own(images: Path) -> None:
    for path in (make(images / "a.img"), make(images / "below/b.img")):
        found = own(path, images)
        assert found == OwnFile(str(path), path.stat().st_dev, path.stat().st_ino)


def test_all_else_is_not(images: Path, tmp_path: Path) -> None:
    outside = make(tmp_path / "outside.img")
    (images / "link.img").symlink_to(make(images / "target.img"))
    (images / "away").symlink_to(tmp_path)
    os.mkfifo(images / "pipe.img")
    make(images / ".staging/job/x.img")
    make(tmp_path / "images-of-somebody-else/x.img")
    for path, why in {
        outside: "not in",
        images / "link.img": "no regular file",
        images / "away/outside.img": "not in",
        images / "../outside.img": "not in",
        images / "pipe.img": "no regular file",
        images: "not in",
        images / "..": "no regular file",
        images / "none.img": "not there",
        images / "a.img/below": "not there",
        images / ".staging/job/x.img": "a job is working on it",
        tmp_path / "images-of-somebody-else/x.img": "not in",
        images / ("n" * 300): "cannot be looked at",
    }.items():
        found = files.own_file(path, images)
        assert isinstance(found, NotOwn), path
        assert why in found.why


def test_a_path_that_leads_into_it_through_a_link_is_known_by_its_real_place(images: Path, tmp_path: Path) -> None:
    make(images / "a.img")
    (tmp_path / "other-name").symlink_to(images)
    assert own(tmp_path / "other-name/a.img", images).path == str(images / "a.img")


def test_set_aside_moves_the_file_and_no_other_of_its_name(images: Path) -> None:
    file = own(make(images / "a.img", "old"), images)
    staging = files.open_staging(images, "job")
    assert files.set_aside(file, images, staging)
    make(images / "a.img", "new")
    assert not files.set_aside(file, images, staging)
    assert (images / "a.img").read_text() == "new"
    assert [path.read_text() for path in staging.iterdir()] == ["old"]
    files.clear_staging(images, "job")
    assert not staging.exists()
    files.clear_staging(images, "job")


def test_set_aside_does_not_follow_a_link_that_took_the_files_place(images: Path, tmp_path: Path) -> None:
    file = own(make(images / "a.img"), images)
    (images / "a.img").rename(tmp_path / "moved.img")
    (images / "a.img").symlink_to(tmp_path / "moved.img")
    assert not files.set_aside(file, images, files.open_staging(images, "job"))
    assert (tmp_path / "moved.img").exists()
    assert (images / "a.img").is_symlink()


def test_set_aside_does_not_follow_a_directory_that_was_changed_for_a_link(images: Path, tmp_path: Path) -> None:
    file = own(make(images / "below/a.img"), images)
    (images / "below").rename(tmp_path / "elsewhere")
    (images / "below").symlink_to(tmp_path / "elsewhere")
    assert not files.set_aside(file, images, files.open_staging(images, "job"))
    assert (tmp_path / "elsewhere/a.img").exists()


def test_staging_is_closed_to_others(images: Path) -> None:
    assert files.open_staging(images, "job").stat().st_mode & 0o077 == 0


def test_the_head_of_what_is_no_file_is_empty_and_nothing_waits(images: Path) -> None:
    os.mkfifo(images / "pipe")
    assert files.head(images / "pipe", 10) == b""
    assert files.head(images, 10) == b""
    assert files.head(images / "none", 10) == b""
    assert files.head(Path("/with\0nul"), 10) == b""
    assert files.head(make(images / "a", "0123456789abc"), 10) == b"0123456789"


def test_regular_files_are_listed_without_links(images: Path) -> None:
    made = {make(images / "a"), make(images / "below/b")}
    (images / "link").symlink_to(images / "a")
    (images / "loop").symlink_to(images)
    assert set(files.regular_files(images)) == made
