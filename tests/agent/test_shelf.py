"""A file is found by its name and by nothing else."""

import os
from pathlib import Path

import pytest

from oms.agent import shelf
from oms.contract.errors import NotThere
from tests.hosts.kvm_job import RehearsedJob

HOSTILE = [
    "../../../etc/passwd", "/etc/passwd", "a/../../b", ".", "..", "", "a\0b", "..%2f", ".hidden", ".staging",
    "a/b", 'json:{"driver":"file","filename":"/etc/hostname"}', "nbd://127.0.0.1:1/x", "http://169.254.169.254/",
    "fat:/etc", "-rf", "a b", "ä.img", "a\n", "n" * 201,
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leads_out_or_is_more_than_a_name(images: Path, name: str) -> None:
    with pytest.raises(NotThere):
        shelf.path_of(images, name)
    with pytest.raises(NotThere):
        shelf.find(images, name, "disk image")


def test_only_a_regular_file_is_an_image(images: Path, tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("secret")
    (images / "link.img").symlink_to(tmp_path / "shadow")
    (images / "dir.img").mkdir()
    os.mkfifo(images / "pipe.img")
    (images / "real.img").write_text("disk")
    for name in ("link.img", "dir.img", "pipe.img", "none.img"):
        with pytest.raises(NotThere, match="There is no disk image"):
            shelf.find(images, name, "disk image")
    assert shelf.find(images, "real.img", "disk image").path == str(images / "real.img")
    assert shelf.names(images) == ["real.img"]


def test_what_no_call_could_name_is_not_listed(images: Path) -> None:
    for name in (".hidden", "with a blank", "ä.img", "ctrl\n", "n" * 201, "-rf", "ok.img", "2.img.backup"):
        (images / name).write_text("")
    assert shelf.names(images) == ["2.img.backup", "ok.img"]


async def test_what_lies_under_several_names_goes_whatever_it_is(images: Path, tmp_path: Path) -> None:
    (tmp_path / "not ours").write_text("stays")
    (images / "a.ova").symlink_to(tmp_path / "nowhere")
    (images / "b.ova").symlink_to(tmp_path / "not ours")
    (images / "c").mkdir()

    async def doomed() -> list[Path]:
        return [images / name for name in ("a.ova", "b.ova", "c", "never there")]

    await shelf.clear_away(images, RehearsedJob(), doomed)
    assert [path.name for path in images.iterdir() if path.name != ".staging"] == []
    assert (tmp_path / "not ours").read_text() == "stays"
