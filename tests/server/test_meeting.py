"""Bytes meet their host: in order, a few at a time, and whoever leaves is noticed by the other."""

import asyncio

import pytest

from oms.server import meeting
from oms.server.meeting import Broken, Meetings, Pipe

JOB = "0" * 32


async def taken(pipe: Pipe) -> bytes:
    return b"".join([part async for part in pipe.parts()])


async def test_what_is_given_comes_out_in_order() -> None:
    pipe = Pipe(0)
    taking = asyncio.create_task(taken(pipe))
    for number in range(100):
        await pipe.give(b"%d," % number)
    pipe.end()
    assert await taking == b"".join(b"%d," % number for number in range(100))


async def test_who_brings_waits_for_who_takes() -> None:
    pipe = Pipe(0)
    given = []

    async def bring() -> None:
        for number in range(50):
            await pipe.give(bytes(1000))
            given.append(number)
        pipe.end()

    bringing = asyncio.create_task(bring())
    await asyncio.sleep(0.02)
    assert len(given) == meeting.DEEPEST
    assert len(await taken(pipe)) == 50_000
    await bringing


async def test_who_brings_is_told_that_the_host_has_gone() -> None:
    pipe = Pipe(0)
    for _ in range(meeting.DEEPEST):
        await pipe.give(b"x")
    waiting = asyncio.create_task(pipe.give(b"x"))
    await asyncio.sleep(0)
    pipe.break_off()
    with pytest.raises(Broken):
        await waiting
    with pytest.raises(Broken):
        await pipe.give(b"x")


async def test_a_bringer_waits_for_its_host_and_not_for_ever() -> None:
    meetings = Meetings()
    assert await meetings.waiting(JOB, 0.02) is None
    waiting = asyncio.create_task(meetings.waiting(JOB, 5))
    await asyncio.sleep(0.01)
    pipe = await meetings.open(JOB, 7)
    assert await waiting is pipe
    pipe.begin(10)
    assert await meetings.waiting(JOB, 0.02) is None  # somebody brings already
    meetings.close(JOB, pipe)
    assert await meetings.waiting(JOB, 0.02) is None


async def test_of_two_bringers_one_gets_the_pipe() -> None:
    meetings = Meetings()

    async def bring() -> bool:
        pipe = await meetings.waiting(JOB, 0.2)
        if pipe is not None:
            pipe.begin(1)
        return pipe is not None

    bringing = [asyncio.create_task(bring()) for _ in range(5)]
    await asyncio.sleep(0.01)
    await meetings.open(JOB, 0)
    assert sorted([await one for one in bringing]) == [False, False, False, False, True]


async def test_a_host_that_comes_back_takes_the_place_of_its_dead_connection() -> None:
    meetings = Meetings()
    dead = await meetings.open(JOB, 0)
    dead.begin(10)
    fresh = await meetings.open(JOB, 3)
    with pytest.raises(Broken):
        await dead.give(b"x")
    meetings.close(JOB, dead)  # late
    assert await meetings.waiting(JOB, 0.02) is fresh
