"""Requests, answers, events and presence over a real nats-server."""

import asyncio

import pytest

from oms.bus.nats.link import SERVER_TIMING
from oms.bus.wire import (
    MAX_EVENT_BYTES,
    MAX_PAYLOAD_BYTES,
    AnswerTooLarge,
    HostAway,
    HostBusy,
    NoAnswer,
    RequestTooLarge,
    WireDown,
)
from tests.bus.nats.rig import H1, H2, Rig, echo
from tests.waiting import eventually


async def test_a_request_reaches_its_host_and_no_other(rig: Rig) -> None:
    oms = await rig.oms()
    await rig.agent(H1)
    await eventually(lambda: oms.connected_hosts() == {H1})
    assert await oms.request(H1, "kvmservices.list_vms", b"x", 30) == b"kvmservices.list_vms x"
    with pytest.raises(HostAway):
        await oms.request(H2, "kvmservices.list_vms", b"x", 60)


async def test_a_request_from_within_the_news_of_a_host_arrives(rig: Rig) -> None:
    oms = await rig.oms()
    asked: list[asyncio.Task[bytes]] = []

    def ask(host: str, connected: bool, _reason: str) -> None:
        if connected:
            asked.append(asyncio.create_task(oms.request(host, "hello", b"", 60)))

    oms.on_presence(ask)
    for number in range(8):
        await rig.agent(f"{number:032x}")
    await eventually(lambda: len(asked) == 8)
    assert await asyncio.gather(*asked) == [b"hello "] * 8


async def test_64_requests_at_once(rig: Rig) -> None:
    all_there = asyncio.Barrier(64)

    async def side_by_side(_verb: str, payload: bytes) -> bytes:
        await all_there.wait()
        return payload

    oms = await rig.oms()
    await rig.agent(H1, side_by_side)
    answers = await asyncio.gather(*(oms.request(H1, "go", b"%d" % n, 60) for n in range(64)))
    assert answers == [b"%d" % n for n in range(64)]


async def test_a_host_with_too_much_in_hand_says_so(rig: Rig) -> None:
    gate, both_there = asyncio.Event(), asyncio.Barrier(3)

    async def wait(_verb: str, _payload: bytes) -> bytes:
        await both_there.wait()
        await gate.wait()
        return b"done"

    oms = await rig.oms()
    await rig.agent(H1, wait, max_in_hand=2)
    asking = [asyncio.create_task(oms.request(H1, "wait", b"", 60)) for _ in range(2)]
    await both_there.wait()
    with pytest.raises(HostBusy):
        await oms.request(H1, "wait", b"", 60)
    gate.set()
    assert await asyncio.gather(*asking) == [b"done", b"done"]


async def test_sizes_up_to_4_mb_pass_and_larger_ones_are_named(rig: Rig) -> None:
    async def give(_verb: str, payload: bytes) -> bytes:
        return bytes(int(payload)) if len(payload) < 20 else b"%d" % len(payload)

    oms = await rig.oms()
    await rig.agent(H1, give)
    for size in (0, 1, MAX_PAYLOAD_BYTES - 1, MAX_PAYLOAD_BYTES):
        assert len(await oms.request(H1, "give", b"%d" % size, 30)) == size
    for size in (MAX_PAYLOAD_BYTES + 1, 25 * MAX_PAYLOAD_BYTES):
        with pytest.raises(AnswerTooLarge):
            await oms.request(H1, "give", b"%d" % size, 60)
    whole = bytes(MAX_PAYLOAD_BYTES)
    assert await oms.request(H1, "take", whole, 30) == b"%d" % MAX_PAYLOAD_BYTES
    with pytest.raises(RequestTooLarge):
        await oms.request(H1, "take", whole + b"x", 60)
    assert await oms.request(H1, "take", bytes(30), 30) == b"30"


async def test_twelve_answers_of_4_mb_at_once(rig: Rig) -> None:
    async def give(_verb: str, _payload: bytes) -> bytes:
        return bytes(MAX_PAYLOAD_BYTES)

    oms = await rig.oms(timing=SERVER_TIMING)  # so much at once is no silence
    await rig.agent(H1, give)
    answers = await asyncio.gather(
        *(oms.request(H1, "give", b"", 60) for _ in range(12))
    )  # the bus holds 64 MB for a slow reader
    assert [len(answer) for answer in answers] == [MAX_PAYLOAD_BYTES] * 12


async def test_a_handler_that_breaks_gives_no_answer_at_once(rig: Rig) -> None:
    async def broken(_verb: str, _payload: bytes) -> bytes:
        raise KeyError("a bug")

    oms = await rig.oms()
    await rig.agent(H1, broken)
    with pytest.raises(NoAnswer, match="broke"):
        await oms.request(H1, "go", b"", 60)


async def test_no_answer_within_the_time_and_a_late_one_is_nothing(rig: Rig) -> None:
    async def late(_verb: str, payload: bytes) -> bytes:
        await asyncio.sleep(float(payload))
        return payload

    oms = await rig.oms()
    await rig.agent(H1, late)
    with pytest.raises(NoAnswer, match="within"):
        await oms.request(H1, "wait", b"0.2", 0.1)
    assert await oms.request(H1, "wait", b"0.3", 30) == b"0.3"


async def test_events_name_the_host_they_came_from(rig: Rig) -> None:
    await rig.oms()
    one, two = await rig.agent(H1), await rig.agent(H2)
    for number in range(20):
        await one.publish("job.progress", b"%d" % number)
    await two.publish("hello", b"")
    await eventually(lambda: len(rig.events) == 21)
    assert [event for event in rig.events if event[0] == H1] == [
        (H1, "job.progress", b"%d" % n) for n in range(20)
    ]
    assert (H2, "hello", b"") in rig.events
    with pytest.raises(RequestTooLarge):
        await one.publish("log", bytes(MAX_EVENT_BYTES + 1))


async def test_a_slow_event_handler_delays_its_own_host_only(rig: Rig) -> None:
    oms = await rig.oms()
    gate = asyncio.Event()
    handled: list[tuple[str, bytes]] = []

    async def slow(host: str, _topic: str, payload: bytes) -> None:
        if host == H1:
            await gate.wait()
        handled.append((host, payload))

    oms.on_event(slow)
    one, two = await rig.agent(H1), await rig.agent(H2)
    for number in range(3):
        await one.publish("n", b"%d" % number)
    await two.publish("n", b"9")
    await eventually(lambda: handled == [(H2, b"9")])
    gate.set()
    await eventually(lambda: handled[1:] == [(H1, b"0"), (H1, b"1"), (H1, b"2")])


async def test_presence_is_told_when_an_agent_comes_and_goes(rig: Rig) -> None:
    oms = await rig.oms()
    agent = await rig.agent(H1)
    await eventually(lambda: rig.presence == [(H1, True, "connect")])
    await agent.close()
    await eventually(lambda: len(rig.presence) == 2)
    assert rig.presence[1][:2] == (H1, False)
    assert oms.connected_hosts() == frozenset()
    with pytest.raises(HostAway):
        await oms.request(H1, "go", b"", 60)


async def test_a_new_oms_finds_the_hosts_that_are_there(rig: Rig) -> None:
    first = await rig.oms()
    await rig.agent(H1)
    await rig.agent(H2)
    await eventually(lambda: first.connected_hosts() == {H1, H2})
    await first.close()
    second = await rig.oms()
    await eventually(lambda: second.connected_hosts() == {H1, H2})
    assert await second.request(H2, "go", b"", 60) == b"go "


async def test_a_second_connection_of_a_host_replaces_the_first(rig: Rig) -> None:
    """A request must not be run twice, by a host and by the copy of its disk."""
    oms = await rig.oms()
    ran: list[str] = []

    async def first(_verb: str, _payload: bytes) -> bytes:
        ran.append("first")
        return b"first"

    async def second(_verb: str, _payload: bytes) -> bytes:
        ran.append("second")
        return b"second"

    old = await rig.agent(H1, first)
    await eventually(lambda: oms.connected_hosts() == {H1})
    states: list[bool] = []
    old.on_state(states.append)
    await rig.agent(H1, second)
    await eventually(lambda: False in states)
    await old.close()
    await eventually(lambda: oms.connected_hosts() == {H1})
    ran.clear()
    answer = await oms.request(H1, "go", b"", 60)
    assert ran == [answer.decode()]


async def test_requests_end_when_the_agent_is_started_anew(rig: Rig) -> None:
    asked = asyncio.Event()

    async def never(_verb: str, _payload: bytes) -> bytes:
        asked.set()
        await asyncio.Event().wait()
        return b""

    oms = await rig.oms()
    agent = await rig.agent(H1, never)
    asking = asyncio.create_task(oms.request(H1, "go", b"", 60))
    await asked.wait()
    await agent.close()
    await rig.agent(H1)
    with pytest.raises(NoAnswer, match="started anew"):
        await asyncio.wait_for(asking, 30)


async def test_requests_end_when_the_host_stays_away(rig: Rig) -> None:
    asked = asyncio.Event()

    async def never(_verb: str, _payload: bytes) -> bytes:
        asked.set()
        await asyncio.Event().wait()
        return b""

    oms = await rig.oms(answer_grace_s=0.3)
    agent = await rig.agent(H1, never)
    asking = asyncio.create_task(oms.request(H1, "go", b"", 60))
    await asked.wait()
    await agent.close()
    with pytest.raises(NoAnswer, match="went away"):
        await asyncio.wait_for(asking, 30)


async def test_nothing_is_sent_without_a_connection(rig: Rig) -> None:
    oms = await rig.oms()
    agent = await rig.agent(H1)
    asking = asyncio.create_task(oms.request(H2, "go", b"", 60))
    with pytest.raises(HostAway):
        await asking
    await agent.close()
    await oms.close()
    with pytest.raises(WireDown):
        await oms.request(H1, "go", b"", 60)
    with pytest.raises(WireDown):
        await agent.publish("hello", b"")


async def test_an_agent_serves_before_it_starts(rig: Rig) -> None:
    agent = await rig.agent(H1, wait=False)
    with pytest.raises(RuntimeError, match="serves already"):
        agent.serve(echo)


async def test_handlers_that_break_end_nothing(rig: Rig) -> None:
    def broken(*_told: object) -> None:
        raise KeyError("a bug")

    oms = await rig.oms()
    oms.on_presence(broken)
    oms.on_event(broken)
    agent = await rig.agent(H1, wait=False, on_refused=broken, identity=rig.pki.host("unsigned"))
    agent.on_state(broken)
    await asyncio.sleep(0.3)  # refused, more than once
    rig.sign(H1)
    agent = await rig.agent(H1)
    with pytest.raises(KeyError):
        agent.on_state(broken)
    await agent.publish("hello", b"")
    await eventually(lambda: rig.events == [(H1, "hello", b"")])
    agent.renew()
    await eventually(lambda: len(rig.presence) >= 3)
    assert await oms.request(H1, "go", b"", 30) == b"go "
    assert [told[:2] for told in rig.presence] == [(H1, True), (H1, False), (H1, True)]
