"""A file system that hangs, for real: a FUSE one whose program never says a word."""

import asyncio
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms.agent.host import mounts
from oms.agent.host.mounts import Mount
from oms.agent.stats import looks
from oms.agent.stats.looks import Looks

LIBC = ctypes.CDLL(None, use_errno=True)
DETACH = 2


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """Where it is mounted, and the program's end, whose closing lets everybody go."""
    place = tmp_path / "silent"
    place.mkdir()
    try:
        program = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as why:
        pytest.skip(f"no FUSE: {why}")
    about = f"fd={program},rootmode=40000,user_id=0,group_id=0".encode()
    if LIBC.mount(b"silent", os.fsencode(place), b"fuse", 0, about):
        os.close(program)
        pytest.skip("may not mount")
    yield place, program
    LIBC.umount2(os.fsencode(place), DETACH)


async def test_one_that_hangs_is_left_out_and_let_alone_until_it_comes_back(
    silent: tuple[Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "LIMIT_SECONDS", 0.3)
    place, program = silent
    there = (Mount("/", "root"), Mount(str(place), "silent"), Mount(str(tmp_path), "after"))
    watch = Looks(lambda: there)
    loop = asyncio.get_running_loop()
    began = loop.time()
    seen = [usage.mount.device for usage in (await watch.look()).usages]
    assert loop.time() - began > 0.3
    assert seen == ["root", "after"]
    began = loop.time()
    assert [usage.mount.device for usage in (await watch.look()).usages] == seen
    assert loop.time() - began < 0.3
    os.close(program)  # whoever waits is told that it is gone
    LIBC.umount2(os.fsencode(place), DETACH)
    async with asyncio.timeout(60):
        while len((await watch.look()).usages) < len(there):  # noqa: ASYNC110 - a thread is on its way
            await asyncio.sleep(0.01)
    watch.close()


async def test_a_look_sees_this_machine() -> None:
    watch = Looks()
    sight = await watch.look()
    watch.close()
    assert "/" in {usage.mount.point for usage in sight.usages}
    assert sight.processor.type
    assert sight.uplink.name in {"", *(path.name for path in Path("/sys/class/net").iterdir())}
    assert {usage.mount for usage in sight.usages} <= set(mounts.here())
