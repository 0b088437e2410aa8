"""Calls that block get threads of their own, and an honest word when they take too long."""

import asyncio
import threading
import time

import pytest

from oms.agent.guests.threads import Lane, TooLate


async def test_a_call_answers_from_another_thread() -> None:
    lane = Lane("test", 1)
    assert await lane.run(threading.get_ident, 5) != threading.get_ident()
    lane.close()


async def test_a_calls_own_error_reaches_its_asker_and_the_lane_goes_on() -> None:
    lane = Lane("test", 1)
    for error in (ValueError("as it is"), TimeoutError("its own")):

        def fail(error: Exception = error) -> None:
            raise error

        with pytest.raises(type(error)) as caught:
            await lane.run(fail, 5)
        assert caught.value is error
    assert await lane.run(lambda: 7, 5) == 7
    lane.close()


async def test_a_call_that_was_begun_is_told_from_one_that_never_will_be() -> None:
    lane, gate, made = Lane("test", 1), threading.Event(), []
    first = asyncio.create_task(lane.run(gate.wait, 0.1))
    second = asyncio.create_task(lane.run(lambda: made.append("second"), 0.1))
    with pytest.raises(TooLate) as late:
        await first
    assert late.value.begun
    with pytest.raises(TooLate) as late:
        await second
    assert not late.value.begun
    gate.set()
    assert await lane.run(lambda: "free again", 5) == "free again"
    assert made == []
    lane.close()


async def test_a_cancelled_call_that_waited_is_never_made() -> None:
    lane, gate, made = Lane("test", 1), threading.Event(), []
    first = asyncio.create_task(lane.run(gate.wait, 5))
    second = asyncio.create_task(lane.run(lambda: made.append("second"), 5))
    await asyncio.sleep(0.05)
    second.cancel()
    await asyncio.wait([second])
    gate.set()
    await first
    await lane.run(lambda: None, 5)
    assert second.cancelled()
    assert made == []
    lane.close()


async def test_as_many_run_at_a_time_as_the_lane_is_wide() -> None:
    lane, together = Lane("test", 3), threading.Barrier(3)
    await asyncio.gather(*(lane.run(lambda: together.wait(5), 5) for _ in range(3)))
    lock, now, most = threading.Lock(), 0, 0

    def count() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1

    await asyncio.gather(*(lane.run(count, 5) for _ in range(30)))
    assert most == 3
    lane.close()


async def test_the_event_loop_stays_free_while_every_thread_hangs() -> None:
    lane, gate = Lane("test", 2), threading.Event()
    hung = [asyncio.create_task(lane.run(gate.wait, 5)) for _ in range(5)]
    begun = time.monotonic()
    await asyncio.sleep(0.01)
    assert time.monotonic() - begun < 4
    gate.set()
    assert await asyncio.gather(*hung) == [True] * 5
    lane.close()


async def test_an_answer_that_comes_in_the_moment_in_which_its_time_is_over_is_an_answer() -> None:
    lane = Lane("test", 1)
    asked = asyncio.create_task(lane.run(lambda: "here", 0.05))
    await asyncio.sleep(0)
    time.sleep(0.2)  # noqa: ASYNC251 - the event loop is held up, so that both are there when it goes on
    assert await asked == "here"
    lane.close()
