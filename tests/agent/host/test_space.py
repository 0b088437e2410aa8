"""What may be given away of a file system, and the words where that is not enough."""

import asyncio
import os
from pathlib import Path

import pytest

from oms.agent.host import space
from oms.contract.errors import NoSpace
from tests import small_disk

GIB = 1024**3


def test_a_part_is_kept_back_and_never_more_than_a_gibibyte(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    available, whole = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    kept_back = available - space.free_bytes(tmp_path)
    assert abs(kept_back - min(whole // 20, GIB)) < GIB // 10  # others write here too


def test_what_does_not_fit_is_refused_with_both_numbers(tmp_path: Path) -> None:
    space.require(tmp_path, 4096, "A little")
    with pytest.raises(NoSpace, match=r"Image 'a' needs 1048576\.0 GiB, and .* has .* left to give") as refused:
        space.require(tmp_path, 2**50, "Image 'a'")
    assert refused.value.data["wanted_bytes"] == 2**50


@pytest.mark.skipif(small_disk.why_not() is not None, reason=str(small_disk.why_not()))
def test_a_full_file_system_has_nothing_to_give(tmp_path: Path) -> None:
    with small_disk.mounted(tmp_path, 16) as disk:
        whole = os.statvfs(disk).f_blocks * os.statvfs(disk).f_frsize
        small_disk.fill(disk, whole // 50)  # some blocks are free, fewer than are kept back
        assert os.statvfs(disk).f_bavail > 0
        assert space.free_bytes(disk) == 0


async def test_work_is_broken_off_when_room_runs_out_and_else_let_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> str:
        try:
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            broken.append(True)
            raise
        return "done"

    broken: list[bool] = []
    monkeypatch.setattr(space, "LOOK_SECONDS", 0.01)
    assert await space.while_room(tmp_path, work(), "It") == "done"
    monkeypatch.setattr(space, "free_bytes", lambda _directory: 0)
    with pytest.raises(NoSpace, match="It needs 1 byte"):
        await space.while_room(tmp_path, work(), "It")
    assert broken == [True]


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (2**31, "2.0 GiB")]
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert space.shown(size) == text
