"""Work in a thread tells how far it is, and never outlives those who wait for it."""

import asyncio
import threading
import time

import pytest

from oms.agent.host.stoppable import Progress, in_thread


async def test_what_it_comes_to_and_how_far_it_was_is_told() -> None:
    told: list[float] = []

    def work(go_on: Progress) -> str:
        for share in (0.0, 0.5, 1.0):
            go_on(share)
        return threading.current_thread().name

    assert (await in_thread(work, told.append)).startswith("work")
    await asyncio.sleep(0)
    assert told == [0.0, 0.5, 1.0]


async def test_an_error_in_it_is_raised() -> None:
    def work(_go_on: Progress) -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await in_thread(work)


async def test_cancelled_it_has_ended_before_anybody_goes_on() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(go_on: Progress) -> None:
        begun.set()
        try:
            while True:
                go_on(0)
                time.sleep(0.01)
        finally:
            time.sleep(0.05)
            ended.set()

    task = asyncio.create_task(in_thread(work))
    assert await asyncio.to_thread(begun.wait, 5)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()  # somebody is impatient
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
