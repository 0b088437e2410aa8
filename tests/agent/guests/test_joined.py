"""Many askers share an answer, and none gets one that was begun before it asked."""

import asyncio
from collections.abc import Iterator

import pytest

from oms.agent.guests.joined import Joined


class Source:
    """Counts its askings, and answers when told."""

    def __init__(self) -> None:
        self.begun = 0
        self.gate = asyncio.Event()

    async def ask(self) -> int:
        self.begun += 1
        number = self.begun
        await self.gate.wait()
        return number


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_asks_during_an_asking_gets_the_next_and_shares_it() -> None:
    source = Source()
    joined = Joined(source.ask)
    first = [asyncio.create_task(joined()) for _ in range(3)]
    await settle()
    later = [asyncio.create_task(joined()) for _ in range(5)]
    await settle()
    assert source.begun == 1
    source.gate.set()
    assert await asyncio.gather(*first) == [1, 1, 1]
    assert await asyncio.gather(*later) == [2] * 5
    assert await joined() == 3


async def test_who_asks_in_the_same_turn_shares_although_it_takes_a_task_to_ask() -> None:
    source = Source()
    source.gate.set()
    joined = Joined(source.ask)

    async def by_a_task() -> int:
        return await asyncio.create_task(joined())

    assert list(await asyncio.gather(joined(), by_a_task())) == [1, 1]


async def test_an_asker_who_leaves_does_not_take_the_answer_from_the_others() -> None:
    source = Source()
    joined = Joined(source.ask)
    leaves, stays = asyncio.create_task(joined()), asyncio.create_task(joined())
    await settle()
    leaves.cancel()
    await settle()
    source.gate.set()
    assert await stays == 1


async def test_an_error_is_everybodys_and_the_next_asking_is_a_new_one() -> None:
    answers: Iterator[ValueError | int] = iter([ValueError("first"), 2])

    async def ask() -> int:
        await asyncio.sleep(0)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    joined = Joined(ask)
    tasks = [asyncio.create_task(joined()) for _ in range(2)]
    for task in tasks:
        with pytest.raises(ValueError, match="first"):
            await task
    assert await joined() == 2
