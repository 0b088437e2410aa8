"""Either agent killed at every step of a move: the machine is on one host, and nothing of it on the other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from oms.agent.moving import leaving, receiving
from oms.agent.passage import crossing
from oms.contract.errors import JobInterrupted, OmsError
from tests.hosts.kvm_job import Crash
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.migration_rig import LONG_SECONDS, MOVE, Both, Job, both_hosts
from tests.hosts.movers import count

pytestmark = pytest.mark.hosts


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossing, "MEET_SECONDS", 20.0)
    monkeypatch.setattr(leaving, "TELL_SECONDS", 20.0)
    for module in (crossing, leaving):
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(
        receiving, "SILENT_SECONDS", 3.0
    )  # a crowded machine holds a side that is there up for one


@pytest.fixture
async def both(libvirtd: PrivateLibvirtd, second_libvirtd: PrivateLibvirtd) -> AsyncIterator[Both]:
    async with both_hosts(libvirtd, second_libvirtd) as made:
        yield made


@asynccontextmanager
async def one(both: Both, *, running: bool) -> AsyncIterator[None]:
    both.clear()
    both.machine(running=running)
    async with asyncio.timeout(LONG_SECONDS):
        yield


@pytest.mark.parametrize("side", ["source", "target"])
async def test_either_agent_killed_at_every_step_of_one_that_is_off(both: Both, side: str) -> None:
    ends: list[int] = []
    for point in range(1, 80):
        async with one(both, running=False):
            answer = await both.moved(**{side: point})
        reason = (side, point, repr(answer), both.outcome)
        found = both.is_in_one_place(running=False, reason=reason)
        assert found == (0 if isinstance(answer, OmsError) else 1), reason
        ends.append(found)
        if not both.crashes:
            break
    else:
        raise AssertionError("it never came to its end")
    assert set(ends) == {0, 1}, "some are taken back, some are finished"
    assert ends[-1] == 1


@pytest.mark.parametrize(
    ("source", "target", "ends"),
    [
        ("before handing", None, 0),
        ("after handing", None, 0),
        ("before commit", None, 1),
        ("after commit", None, 1),
        ("before here", None, 1),
        ("after gone", None, 1),
        (None, "after coming", 0),
        (None, "before committed", 1),
        (None, "after committed", 1),
        ("after commit", "after committed", 1),
    ],
)
async def test_either_agent_killed_where_one_that_runs_changes_hands(
    both: Both, source: str | None, target: str | None, ends: int
) -> None:
    async with one(both, running=True):
        answer = await both.moved(source, target)
    assert both.crashes == bool(source) + bool(target)
    assert both.is_in_one_place(running=True, reason=repr(answer)) == ends
    assert isinstance(answer, OmsError) != bool(ends)


async def test_one_that_is_lost_over_there_before_it_went_on_is_off_where_it_was_with_its_disk(both: Both) -> None:
    async with one(both, running=True):
        committed = receiving._Receiving._commit

        async def lost(self: Any, words: Any) -> None:
            both.virt[1].lookupByName("m").destroy()
            await committed(self, words)

        receiving._Receiving._commit = lost  # type: ignore[method-assign]
        try:
            answer = await both.moved()
        finally:
            receiving._Receiving._commit = committed  # type: ignore[method-assign]
    assert isinstance(answer, JobInterrupted)
    assert "lost before it went on" in answer.message
    assert both.is_in_one_place(running=False, reason=answer) == 0
    both.virt[0].lookupByName("m").create()
    await _eventually(lambda: count(both.images[0] / "m.img")[1] > 0)


async def test_a_host_that_is_not_heard_of_again_leaves_nothing_there(both: Both) -> None:
    async with one(both, running=False):
        job = Job("a", at="before handing")
        both.breaks, both.running, both.outcome = None, None, None
        with pytest.raises(Crash):
            await leaving.migrate_vm(MOVE, both.host(0, job))
        assert both.running is not None
        await both.running
    assert isinstance(both.outcome, JobInterrupted)
    assert both.is_in_one_place(running=False, reason="") == 0


async def test_one_that_has_arrived_is_dropped_only_when_oms_says_that_it_stays_where_it_was(both: Both) -> None:
    async with one(both, running=True):
        job = Job("a", at="before commit")
        both.breaks, both.running, both.outcome, both.first_state = None, None, None, "running"
        with pytest.raises(Crash):
            await leaving.migrate_vm(MOVE, both.host(0, job))
        await asyncio.sleep(receiving.SILENT_SECONDS * 1.5)
        assert both.names(1) == ["m"], "nobody has said that it is not wanted"
        both.first_state = "failed"
        assert both.running is not None
        await both.running
    assert both.names(1) == []
    assert both.files(1) == set()


async def _eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - a disk tells nobody
            await asyncio.sleep(0.05)
