"""A copy holds what the file holds, its holes too, and is broken off when it is not wanted any more."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oms.agent.host import copying
from tests import small_disk

MIB = 1024 * 1024


def sparse(path: Path) -> Path:
    with path.open("wb") as file:
        for place in (0, 5, 40):
            file.seek(place * MIB)
            file.write(os.urandom(100_000))
        file.truncate(64 * MIB + 7)
    return path


def same(one: Path, other: Path) -> bool:
    return subprocess.run(["cmp", one, other], check=False).returncode == 0


def taken(path: Path) -> int:
    return path.stat().st_blocks * 512


async def test_a_copy_is_the_same_and_takes_no_more_room(tmp_path: Path) -> None:
    source = sparse(tmp_path / "source")
    told: list[float] = []
    await copying.copy(source, tmp_path / "target", told.append)
    assert same(source, tmp_path / "target")
    assert taken(tmp_path / "target") <= taken(source) + 16_384
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o600
    assert told == sorted(told)


@pytest.mark.parametrize("shortcut", ["copy_file_range"])
async def test_also_where_the_kernel_has_no_shortcut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shortcut: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, shortcut, refuse)
    source = sparse(tmp_path / "source")
    await copying.copy(source, tmp_path / "target", lambda _share: None)
    assert same(source, tmp_path / "target")


@pytest.mark.parametrize("size", [0, 1, MIB])
async def test_small_and_empty_files(tmp_path: Path, size: int) -> None:
    (tmp_path / "source").write_bytes(os.urandom(size))
    await copying.copy(tmp_path / "source", tmp_path / "target", lambda _share: None)
    assert same(tmp_path / "source", tmp_path / "target")


async def test_nothing_is_overwritten_and_no_link_followed(tmp_path: Path) -> None:
    source = sparse(tmp_path / "source")
    (tmp_path / "there").write_bytes(b"there")
    with pytest.raises(FileExistsError):
        await copying.copy(source, tmp_path / "there", lambda _share: None)
    assert (tmp_path / "there").read_bytes() == b"there"
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(OSError, match="symbolic links"):
        await copying.copy(tmp_path / "link", tmp_path / "target", lambda _share: None)


async def test_broken_off_it_ends_soon(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        for _ in range(512):
            file.write(os.urandom(MIB))
    task = asyncio.create_task(copying.copy(source, tmp_path / "target", lambda _share: None))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    before = (tmp_path / "target").stat().st_blocks
    await asyncio.sleep(0.1)
    assert (tmp_path / "target").stat().st_blocks == before < source.stat().st_blocks


@pytest.mark.skipif(small_disk.why_not() is not None, reason=str(small_disk.why_not()))
async def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with small_disk.mounted(tmp_path, 16) as disk:
        (tmp_path / "source").write_bytes(os.urandom(20 * MIB))
        with pytest.raises(OSError, match="No space left"):
            await copying.copy(tmp_path / "source", disk / "target", lambda _share: None)


@contextmanager
def btrfs(tmp_path: Path) -> Iterator[Path]:
    """A file system that can, where one can be made here."""
    image, place = tmp_path / "btrfs", tmp_path / "place"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(256 * MIB)
    try:
        subprocess.run(["mkfs.btrfs", "-q", image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, place], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no btrfs here: {error}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


async def test_a_file_system_that_can_shares_the_content(tmp_path: Path) -> None:
    """A copy takes no room, and is another file all the same."""
    with btrfs(tmp_path) as place:
        source = place / "source"
        source.write_bytes(os.urandom(100 * MIB))
        os.sync()
        free = os.statvfs(place).f_bfree
        await copying.copy(source, place / "target", lambda _share: None)
        os.sync()
        assert (free - os.statvfs(place).f_bfree) * os.statvfs(place).f_frsize < 10 * MIB
        with (place / "target").open("r+b") as file:
            file.write(b"other")
        assert not same(source, place / "target")
