"""So many at once, and who takes long counts no more."""

import asyncio

from oms.server.turns import Turns


async def test_a_few_that_hang_hold_up_nobody_for_long() -> None:
    turns, begun, hang = Turns(2, 0.02), [], asyncio.Event()

    async def work(number: int) -> None:
        async with turns:
            begun.append(number)
            if number < 3:
                await hang.wait()

    tasks = [asyncio.create_task(work(number)) for number in range(20)]
    await asyncio.sleep(0)
    assert begun == [0, 1]
    await asyncio.gather(*tasks[3:])
    assert sorted(begun) == list(range(20))
    hang.set()
    await asyncio.gather(*tasks)
    assert not turns._free.locked()


async def test_who_is_cancelled_leaves_his_turn_to_others() -> None:
    turns = Turns(1, 60)

    async def work() -> None:
        async with turns:
            await asyncio.Event().wait()

    for _ in range(3):
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with turns:
        pass
