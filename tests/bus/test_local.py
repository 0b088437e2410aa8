"""The wire inside one process keeps the promises of the door."""

import asyncio

import pytest

from oms.bus.local import LocalBus
from oms.bus.wire import (
    MAX_PAYLOAD_BYTES,
    AnswerTooLarge,
    HostAway,
    HostBusy,
    NoAnswer,
    RequestTooLarge,
    WireDown,
)

H1 = "11111111111111111111111111111111"
H2 = "22222222222222222222222222222222"


async def echo(verb: str, payload: bytes) -> bytes:
    return verb.encode() + b" " + payload


async def test_a_request_reaches_its_host_and_no_other() -> None:
    bus = LocalBus()
    bus.agent(H1).serve(echo)
    assert await bus.server.request(H1, "kvmservices.list_vms", b"x", 1) == b"kvmservices.list_vms x"
    with pytest.raises(HostAway):
        await bus.server.request(H2, "kvmservices.list_vms", b"x", 1)


async def test_events_name_the_host_they_came_from() -> None:
    bus = LocalBus()
    seen: list[tuple[str, str, bytes]] = []
    bus.server.on_event(lambda host, topic, payload: seen.append((host, topic, payload)))
    agent = bus.agent(H1)
    with pytest.raises(WireDown):
        await agent.publish("job", b"1")
    agent.serve(echo)
    await agent.publish("job", b"2")
    assert seen == [(H1, "job", b"2")]


async def test_presence_is_told_once_for_each_change() -> None:
    bus = LocalBus()
    seen: list[tuple[str, bool]] = []
    bus.server.on_presence(lambda host, connected, _reason: seen.append((host, connected)))
    bus.agent(H1).serve(echo)
    bus.disconnect(H1)
    bus.disconnect(H1)
    assert bus.server.connected_hosts() == frozenset()
    bus.reconnect(H1)
    assert bus.server.connected_hosts() == {H1}
    assert seen == [(H1, True), (H1, False), (H1, True)]


async def test_a_host_that_goes_away_leaves_its_callers_without_an_answer() -> None:
    bus = LocalBus()
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(_verb: str, _payload: bytes) -> bytes:
        begun.set()
        await asyncio.sleep(0.05)
        ended.set()
        return b""

    bus.agent(H1).serve(slow)
    asking = asyncio.create_task(bus.server.request(H1, "wait", b"", 5))
    await begun.wait()
    bus.disconnect(H1)
    with pytest.raises(NoAnswer):
        await asking
    await asyncio.wait_for(ended.wait(), 30)  # it happened all the same: nobody may say "failed"


async def test_no_answer_within_the_time() -> None:
    bus = LocalBus()

    async def never(_verb: str, _payload: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    agent = bus.agent(H1)
    agent.serve(never)
    with pytest.raises(NoAnswer, match="within"):
        await bus.server.request(H1, "wait", b"", 0.02)
    await agent.close()
    assert bus.server.connected_hosts() == frozenset()


async def test_sizes_are_bounded_both_ways() -> None:
    bus = LocalBus()

    async def large(_verb: str, payload: bytes) -> bytes:
        return bytes(int(payload))

    bus.agent(H1).serve(large)
    assert len(await bus.server.request(H1, "give", str(MAX_PAYLOAD_BYTES).encode(), 1)) == MAX_PAYLOAD_BYTES
    with pytest.raises(AnswerTooLarge):
        await bus.server.request(H1, "give", str(MAX_PAYLOAD_BYTES + 1).encode(), 1)
    with pytest.raises(RequestTooLarge):
        await bus.server.request(H1, "give", bytes(MAX_PAYLOAD_BYTES + 1), 1)


async def test_a_host_with_too_much_in_hand_says_so() -> None:
    bus = LocalBus(max_in_hand=2)
    gate = asyncio.Event()

    async def wait(_verb: str, _payload: bytes) -> bytes:
        await gate.wait()
        return b"done"

    bus.agent(H1).serve(wait)
    asking = [asyncio.create_task(bus.server.request(H1, "wait", b"", 1)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(HostBusy):
        await bus.server.request(H1, "wait", b"", 1)
    gate.set()
    assert await asyncio.gather(*asking) == [b"done", b"done"]


async def test_a_handler_that_breaks_gives_no_answer_at_once() -> None:
    bus = LocalBus()

    async def broken(_verb: str, _payload: bytes) -> bytes:
        raise KeyError("a bug")

    bus.agent(H1).serve(broken)
    with pytest.raises(NoAnswer, match="broke"):
        await bus.server.request(H1, "go", b"", 60)


async def test_cut_off_and_a_bus_that_is_down() -> None:
    bus = LocalBus()
    bus.agent(H1).serve(echo)
    bus.agent(H2).serve(echo)
    assert await bus.server.cut_off(H1)
    assert bus.server.connected_hosts() == {H2}
    bus.down()
    with pytest.raises(WireDown):
        await bus.server.request(H2, "go", b"", 1)
    assert not await bus.server.cut_off(H2)
    bus.agent(H2).serve(echo)
    bus.restore()
    assert await bus.server.request(H2, "go", b"", 1) == b"go "


@pytest.mark.parametrize("host_id", ["host1.example.org", "*", ">", "", H1.upper()[:-1] + "A", H1 + "\n"])
async def test_names_and_wildcards_are_no_host_ids(host_id: str) -> None:
    with pytest.raises(ValueError, match="32 hex digits"):
        await LocalBus().server.request(host_id, "go", b"", 1)


@pytest.mark.parametrize("verb", ["a.b.c", "*", ">", "", "a.", ".a", "a b", "a\n"])
async def test_a_verb_is_one_or_two_words(verb: str) -> None:
    with pytest.raises(ValueError, match="one or two words"):
        await LocalBus().server.request(H1, verb, b"", 1)
