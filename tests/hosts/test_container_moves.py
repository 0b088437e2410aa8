"""A container on its way to another host, while each of the agents crashes at every step: it is in one place."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oms.agent.guests.containers import NewContainer
from oms.agent.ovz.moving import leaving, passes
from oms.agent.ovz.moving.words import STREAM, Commit, FromHere, Pass, Refused, Whole
from oms.agent.passage import crossing
from oms.agent.passage.crossing import Crossing
from oms.agent.passage.stream import Cut, Stream
from oms.contract.errors import FuncManError, JobInterrupted, OmsError
from oms.contract.internal import ReceiveContainer
from tests.hosts.container_moves import CTID, SETTINGS, StepwiseJob, TwoHosts, side_has, side_runs
from tests.hosts.lxc_path import attached, lxc_path
from tests.hosts.trees import seen

pytestmark = [
    pytest.mark.hosts,
    # An agent that crashes leaves its sockets to the system, which here is the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("rsync"), reason="needs root and rsync"),
]


@pytest.fixture
async def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TwoHosts]:
    for module in (crossing, leaving):
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.05)
    with lxc_path() as here, lxc_path() as there:
        both = await TwoHosts.on(here, there, tmp_path)
        yield both
        await both.close()


async def test_a_running_container_moves_with_all_that_it_has(hosts: TwoHosts) -> None:
    await hosts.make()
    before = seen(hosts.here.home / CTID / "rootfs/data", hosts.here.capabilities.ids)
    attached(hosts.here.home, CTID, "/bin/sh", "-c", "echo while it ran > /root/mark")
    assert await hosts.move() == 0
    assert await hosts.settled() is None
    assert not await side_has(hosts.here)
    assert await side_runs(hosts.there)
    moved = await hosts.there.find(CTID)
    assert (moved.settings.hostname, moved.settings.memory_kb, moved.settings.onboot) == (
        "moved.example.org", 64 * 1024, True,
    )  # fmt: skip
    assert seen(hosts.there.home / CTID / "rootfs/data", hosts.there.capabilities.ids) == before
    assert attached(hosts.there.home, CTID, "/bin/cat", "/root/mark") == "while it ran"
    assert hosts.job_here.notes["downtime"].endswith(" s")


async def test_a_disk_of_a_size_is_of_that_size_over_there(hosts: TwoHosts) -> None:
    if hosts.there.capabilities.disk_limit != "image":
        pytest.skip("a disk of a size is no image here")
    await hosts.make(msgspec.structs.replace(SETTINGS, disk_kb=48 * 1024))
    assert (await hosts.here.find(CTID)).disk_limit == "image"
    before = seen(hosts.here.home / CTID / "rootfs/data", hosts.here.capabilities.ids)
    assert await hosts.move() == 0
    assert await hosts.settled() is None
    assert await side_runs(hosts.there)
    moved = await hosts.there.find(CTID)
    assert (moved.disk_limit, moved.settings.disk_kb) == ("image", 48 * 1024)
    assert seen(hosts.there.home / CTID / "rootfs/data", hosts.there.capabilities.ids) == before
    assert not await side_has(hosts.here)
    assert list(hosts.here.home.glob(".staging/*")) == []
    await hosts.unmake()


async def test_the_agent_it_leaves_may_crash_at_every_step(hosts: TwoHosts) -> None:
    ended = await _crash_everywhere(hosts, lambda point: hosts.move(crash_here=point), lambda: hosts.job_here)
    assert len(ended) > 10
    assert ended == sorted(ended), "once it is certain that it goes, nothing brings it back"
    assert set(ended) == {False, True}


async def test_the_agent_it_comes_to_may_crash_at_every_step(hosts: TwoHosts) -> None:
    ended = await _crash_everywhere(hosts, lambda point: hosts.move(crash_there=point), lambda: hosts.job_there)
    assert len(ended) > 20
    assert set(ended) == {False, True}


async def _crash_everywhere(
    hosts: TwoHosts, move: Callable[[int], Awaitable[int]], crashing: Callable[[], StepwiseJob]
) -> list[bool]:
    """At the first step, then at the second, until none is left; each time it is in one place, whole, and runs.
    Answers whether it moved, each time."""
    ended: list[bool] = []
    for point in range(1, 100):
        await hosts.make()
        before = seen(hosts.here.home / CTID / "rootfs/data", hosts.here.capabilities.ids)
        try:
            await move(point)
            moved = True
        except OmsError:
            moved = False
        await hosts.settled()
        await _is_in_one_place(hosts, before, moved=moved)
        was_hit = crashing().resumed
        await hosts.unmake()
        if not was_hit:
            return ended
        ended.append(moved)
    raise AssertionError("it never came to its end")


async def _is_in_one_place(hosts: TwoHosts, before: dict[str, Any], *, moved: bool) -> None:
    it_is, it_is_not = (hosts.there, hosts.here) if moved else (hosts.here, hosts.there)
    assert not await side_has(it_is_not)
    assert await side_runs(it_is)
    assert (await it_is.find(CTID)).settings.onboot
    assert seen(it_is.home / CTID / "rootfs/data", it_is.capabilities.ids) == before
    for side in (hosts.here, hosts.there):
        assert [left.name for left in side.home.glob(".staging/*")] == []


async def test_one_that_cannot_be_started_over_there_is_started_again_where_it_was(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(ctid: str) -> None:
        raise FuncManError(f"Container {ctid} does not start here")

    await hosts.make()
    before = seen(hosts.here.home / CTID / "rootfs/data", hosts.here.capabilities.ids)
    monkeypatch.setattr(hosts.there, "start", broken)
    with pytest.raises(JobInterrupted, match="does not start here"):
        await hosts.move()
    assert isinstance(await hosts.settled(), FuncManError)
    await _is_in_one_place(hosts, before, moved=False)


async def test_somebody_who_takes_its_id_over_there_meanwhile_keeps_it(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = hosts.there.create

    async def late(job: str, new: NewContainer) -> None:
        await hosts.there.prepare("d" * 32, 0)
        await create("d" * 32, new)
        await hosts.there.discard("d" * 32)
        await create(job, new)

    await hosts.make()
    monkeypatch.setattr(hosts.there, "create", late)
    with pytest.raises(JobInterrupted, match="already"):
        await hosts.move()
    await hosts.settled()
    assert await side_runs(hosts.here)
    assert await side_has(hosts.there)
    assert not (hosts.there.home / CTID / "rootfs/data").exists(), "the other's own is as it was"


async def test_a_container_that_is_started_by_hand_in_the_last_moment_stays(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = passes.send

    async def started(*args: Any) -> None:
        await passed(*args)
        await hosts.here.start(CTID)

    await hosts.make(runs=False)
    before = seen(hosts.here.home / CTID / "rootfs/data", hosts.here.capabilities.ids)
    monkeypatch.setattr(passes, "send", started)
    with pytest.raises(FuncManError, match="somebody else than OMS"):
        await hosts.move()
    await hosts.settled()
    await _is_in_one_place(hosts, before, moved=False)


async def test_what_cannot_be_deleted_where_it_was_is_told_and_undoes_nothing(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(ctid: str) -> None:
        raise FuncManError(f"Not all files of container {ctid} could be deleted")

    await hosts.make()
    with monkeypatch.context() as patched:
        patched.setattr(hosts.here, "destroy", broken)
        assert await hosts.move() == 0
    assert "could be deleted" in hosts.job_here.notes["left here"]
    assert await side_runs(hosts.there)
    assert not await side_runs(hosts.here)
    assert not (await hosts.here.find(CTID)).settings.onboot


@pytest.mark.parametrize("said", [Commit(), Whole(), Pass(1)], ids=lambda said: type(said).__name__)
async def test_a_host_that_speaks_out_of_turn_gets_nothing_done(hosts: TwoHosts, said: Any) -> None:
    job = hosts.job_here
    async with hosts.coming.crossing(job, lambda papers: ReceiveContainer(CTID, job.id, papers)) as crossing:
        words = await _met(crossing)
        await words.say(said)
        assert isinstance(await words.hear(FromHere), Refused)
    assert isinstance(await hosts.settled(), FuncManError)
    assert not await side_has(hosts.there)
    assert list(hosts.there.home.glob(".staging/*")) == []


async def _met(crossing: Crossing) -> Stream:
    for _ in range(1200):
        with contextlib.suppress(Cut):
            return await crossing.open(STREAM)
        await asyncio.sleep(0.05)
    raise AssertionError("the other host does not listen")
