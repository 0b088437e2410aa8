"""What two jobs want at once is had by one after the other, and the one is named to the other."""

import asyncio
from dataclasses import dataclass, field

import pytest

from oms.agent.leases import Leases


@dataclass
class Holder:
    id: str
    notes: dict[str, str] = field(default_factory=dict)

    def note(self, key: str, text: str) -> None:
        self.notes[key] = text


class Rehearsal:
    """Holders that keep what they took until the test lets them go."""

    def __init__(self) -> None:
        self.leases = Leases()
        self.holding: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.doors: dict[str, asyncio.Event] = {}
        self.jobs: dict[str, Holder] = {}

    async def begin(self, name: str, *, alone: tuple[str, ...] = (), shared: tuple[str, ...] = ()) -> None:
        self.doors[name], self.jobs[name] = asyncio.Event(), Holder(name)
        self.tasks[name] = asyncio.create_task(self._hold(name, alone, shared))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _hold(self, name: str, alone: tuple[str, ...], shared: tuple[str, ...]) -> None:
        async with self.leases.hold(self.jobs[name], alone=alone, shared=shared):
            self.holding.append(name)
            await self.doors[name].wait()
        self.holding.remove(name)

    async def end(self, name: str) -> None:
        self.doors[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_a_second_job_waits_and_is_told_for_whom() -> None:
    it = Rehearsal()
    await it.begin("first", alone=("image/x",))
    await it.begin("second", alone=("image/x",))
    assert it.holding == ["first"]
    assert it.leases.holder("image/x") == "first"
    assert it.jobs["second"].notes == {"waited for image/x": "job first held it"}
    await it.end("first")
    assert it.holding == ["second"]
    await it.end("second")
    assert it.leases.holder("image/x") == ""


async def test_readers_share_and_a_writer_that_waits_goes_before_later_readers() -> None:
    it = Rehearsal()
    await it.begin("reader 1", shared=("template/x",))
    await it.begin("reader 2", shared=("template/x",))
    await it.begin("writer", alone=("template/x",))
    await it.begin("reader 3", shared=("template/x",))
    assert it.holding == ["reader 1", "reader 2"]
    await it.end("reader 1")
    assert it.holding == ["reader 2"]
    await it.end("reader 2")
    assert it.holding == ["writer"]
    await it.end("writer")
    assert it.holding == ["reader 3"]
    await it.end("reader 3")


async def test_two_jobs_that_want_the_same_two_things_in_any_order_both_get_them() -> None:
    it = Rehearsal()
    await it.begin("first", alone=("b", "a"))
    await it.begin("second", alone=("a", "b"))
    await it.end("first")
    assert it.holding == ["second"]
    await it.end("second")


@pytest.mark.parametrize("which", ["holder", "waiter"])
async def test_whoever_is_broken_off_keeps_nothing(which: str) -> None:
    it = Rehearsal()
    await it.begin("holder", alone=("x",))
    await it.begin("waiter", alone=("x",))
    it.tasks[which].cancel()
    await asyncio.gather(it.tasks[which], return_exceptions=True)
    await it.begin("third", alone=("x",))
    if which == "waiter":
        await it.end("holder")
    else:
        await it.end("waiter")
    assert it.holding[-1] == "third"
    await it.end("third")
    assert it.leases.holder("x") == ""
