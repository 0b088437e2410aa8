"""OMS is reached when it has greeted over a connection that was not there before."""

import asyncio

from oms.agent import reach
from oms.agent.reach import Reach


class Wire:
    """A connection that a test makes and breaks."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self.connected = True
        self.renewed = 0

    def renew(self) -> None:
        self.renewed += 1

    def drop(self) -> None:
        self.connected = False
        self._reach.state(False)

    def come(self) -> None:
        self._reach.greeted()
        self.connected = True
        self._reach.state(True)


def made() -> tuple[Reach, Wire]:
    it = Reach()
    wire = Wire(it)
    it.use(wire)
    wire.come()
    return it, wire


async def test_a_greeting_on_a_new_connection_counts() -> None:
    it, wire = made()
    asked = asyncio.create_task(it.again(5))
    await asyncio.sleep(0)
    assert wire.renewed == 1
    wire.drop()
    wire.come()
    assert await asked


async def test_a_greeting_on_the_old_connection_does_not() -> None:
    it, wire = made()
    asked = asyncio.create_task(it.again(0.1))
    await asyncio.sleep(0)
    it.greeted()
    assert not await asked
    wire.drop()
    assert not await it.again(0.05)


async def test_what_was_greeted_before_the_question_does_not_count() -> None:
    it, wire = made()
    wire.drop()
    wire.come()
    assert not await it.again(0.05)


async def test_a_connection_that_does_not_come_about_is_hurried_along(monkeypatch: object) -> None:
    it, wire = made()
    wire.drop()
    assert not await it.again(reach.LOOK_SECONDS * 2.5)
    assert wire.renewed == 3


async def test_a_host_that_is_let_in_meanwhile_reaches_oms() -> None:
    it = Reach()
    asked = asyncio.create_task(it.again(5))
    await asyncio.sleep(0)
    wire = Wire(it)
    it.use(wire)
    wire.come()
    assert await asked
