"""What holds when the bus, or the way to it, breaks."""

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oms.bus.nats import moving
from oms.bus.nats.callout import Admission
from oms.bus.nats.client import connect, discard
from oms.bus.wire import HostAway, NoAnswer, Refused, WireDown
from tests.bus.nats.rig import AGENT_HASTY, AGENT_QUICK, AGENT_SLOW, H1, H2, SERVER_HASTY, Rig
from tests.waiting import eventually


async def test_nats_server_killed_and_both_ends_are_back(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked meanwhile waits for them."""
    monkeypatch.setattr(moving, "MOVE_S", 60.0)
    oms = await rig.oms()
    await rig.agent(H1)
    two = await rig.agent(H2)
    await eventually(lambda: oms.connected_hosts() == {H1, H2})
    rig.presence.clear()
    rig.signal_nats(signal.SIGKILL)
    await eventually(lambda: not two.connected)
    meanwhile = asyncio.create_task(oms.request(H1, "go", b"", 60))
    with pytest.raises(WireDown):
        await two.publish("hello", b"")

    def back() -> bool:
        return {(H1, True), (H2, True)} <= {told[:2] for told in rig.presence}

    await eventually(back)
    assert await meanwhile == b"go "
    assert await oms.request(H1, "go", b"", 30) == b"go "
    assert await oms.request(H2, "go", b"", 30) == b"go "
    assert oms.connected_hosts() == {H1, H2}
    assert rig.supervisor.restarts == 1
    # Each new connection is told as one: what a host said meanwhile is lost, and OMS has to ask.
    for host in (H1, H2):
        assert [told[1] for told in rig.presence if told[0] == host] == [False, True]


async def test_a_host_that_does_not_come_back_with_a_new_nats_server_is_away(rig: Rig) -> None:
    oms = await rig.oms()
    await rig.agent(H1)
    two = await rig.agent(H2)
    await eventually(lambda: oms.connected_hosts() == {H1, H2})
    rig.signal_nats(signal.SIGKILL)
    await two.close()
    await eventually(lambda: oms.connected_hosts() == {H1})
    with pytest.raises(HostAway):
        await oms.request(H2, "go", b"", 60)


async def test_an_answer_that_is_ready_while_the_bus_is_away_arrives(rig: Rig) -> None:
    got, away = asyncio.Event(), asyncio.Event()

    async def slow(_verb: str, _payload: bytes) -> bytes:
        got.set()
        await away.wait()
        return b"done"

    oms = await rig.oms()
    agent = await rig.agent(H1, slow)
    agent.on_state(lambda connected: None if connected else away.set())
    asking = asyncio.create_task(oms.request(H1, "go", b"", 60))
    await got.wait()
    rig.signal_nats(signal.SIGKILL)
    assert await asking == b"done"


async def test_a_busy_host_that_sends_its_last_answers_again_is_no_flood(rig: Rig) -> None:
    """All of them were taken already: many answers that nobody waits for, at once, from an honest agent."""
    oms = await rig.oms()
    agent = await rig.agent(H1, timing=replace(AGENT_QUICK, round_trip_every=60))
    for _ in range(50):
        await asyncio.gather(*(oms.request(H1, "go", bytes(2000), 60) for _ in range(60)))
    rig.signal_nats(signal.SIGKILL)
    await eventually(lambda: not agent.connected)
    await eventually(lambda: agent.connected)
    await asyncio.sleep(0.3)
    assert agent.connected
    assert await oms.request(H1, "go", b"", 30) == b"go "


async def test_a_hung_nats_server_is_noticed_and_left_and_found_again(rig: Rig) -> None:
    oms = await rig.oms(timing=SERVER_HASTY)
    agent = await rig.agent(H1, timing=AGENT_HASTY)
    await eventually(lambda: oms.connected_hosts() == {H1})
    rig.signal_nats(signal.SIGSTOP)
    states: list[bool] = []
    agent.on_state(states.append)
    await eventually(lambda: False in states)
    await eventually(lambda: oms._bus.client is None)
    with pytest.raises(WireDown):
        await oms.request(H1, "go", b"", 60)
    rig.signal_nats(signal.SIGCONT)
    await eventually(lambda: agent.connected)
    await eventually(lambda: oms.connected_hosts() == {H1})
    for _ in range(3):
        assert await oms.request(H1, "go", b"", 30) == b"go "


async def test_an_answer_given_while_nats_server_hangs_arrives(rig: Rig) -> None:
    """It is written into a connection that is given up later: it has to be sent again on the next one."""
    got = asyncio.Event()

    async def slow(_verb: str, _payload: bytes) -> bytes:
        got.set()
        await asyncio.sleep(0.2)
        return b"done"

    oms = await rig.oms(timing=SERVER_HASTY)
    agent = await rig.agent(H1, slow, timing=AGENT_HASTY)
    asking = asyncio.create_task(oms.request(H1, "go", b"", 60))
    await got.wait()
    rig.signal_nats(signal.SIGSTOP)
    await eventually(lambda: not agent.connected)
    rig.signal_nats(signal.SIGKILL)
    assert await asking == b"done"


async def test_a_hung_nats_server_can_be_replaced(rig: Rig) -> None:
    oms = await rig.oms(on_hung=rig.supervisor.replace, hung_after_s=0.5, timing=SERVER_HASTY)
    await rig.agent(H1)
    await eventually(lambda: oms.connected_hosts() == {H1})
    hung = rig.supervisor.pid
    rig.presence.clear()
    rig.signal_nats(signal.SIGSTOP)
    await eventually(lambda: (H1, True, "connect") in rig.presence)
    assert rig.supervisor.pid != hung
    assert await oms.request(H1, "go", b"", 30) == b"go "


async def test_no_connection_is_silence_only_when_nobody_answers(rig: Rig) -> None:
    """A nats-server that is down must not look like one that hangs: it would be replaced again and again."""
    hung: list[float] = []

    async def on_hung() -> None:
        hung.append(time.monotonic())

    await rig.oms(on_hung=on_hung, hung_after_s=0.1, timing=replace(SERVER_HASTY, connect_timeout=20))
    await rig.supervisor.stop(keep=False)
    await asyncio.sleep(1.5)
    assert hung == []


async def test_an_expired_token_is_followed_by_a_new_connection(rig: Rig) -> None:
    oms = await rig.oms(longest_admission_s=2.9)  # 2.03 s at least, and whole seconds only
    agent = await rig.agent(H1)
    states: list[bool] = []
    agent.on_state(states.append)
    assert states == [True]
    lookups = rig.lookups
    await eventually(lambda: states[1:] == [False, True])
    assert rig.lookups == lookups + 1
    await eventually(lambda: oms.connected_hosts() == {H1})
    assert await oms.request(H1, "go", b"", 30) == b"go "


async def test_nobody_is_let_in_beyond_the_end_of_the_certificate(rig: Rig) -> None:
    await rig.oms()
    identity = rig.sign(H1)
    soon = asyncio.get_running_loop().time() + 2
    ends = identity.expires.fromtimestamp(time.time() + 2, identity.expires.tzinfo)
    rig.signed[identity.fingerprint] = Admission(H1, ends)
    refused: list[Refused] = []
    agent = await rig.agent(H1, identity=identity, on_refused=refused.append)
    await eventually(lambda: bool(refused))
    assert asyncio.get_running_loop().time() >= soon - 1
    assert not agent.connected


async def test_an_unanswered_callout_ends_nothing_for_good(rig: Rig) -> None:
    """nats-server says PING while it waits for OMS, which nats-py takes for a yes; the no comes later."""
    stuck = asyncio.Event()

    async def lookup(fingerprint: str) -> Admission | None:
        await stuck.wait()
        return await rig.lookup(fingerprint)

    oms = await rig.oms(lookup=lookup)
    agent = await rig.agent(H1, wait=False, timing=SERVER_HASTY)
    await asyncio.sleep(2.5)
    assert not agent.connected
    stuck.set()
    await eventually(lambda: agent.connected)
    assert await oms.request(H1, "go", b"", 30) == b"go "


async def test_a_host_that_was_there_before_oms_does_not_wait_in_vain(rig: Rig) -> None:
    """Nobody heard nats-server's question about it: it would be kept waiting until nats-server gives up."""
    agent = await rig.agent(H1, wait=False, timing=replace(AGENT_QUICK, connect_timeout=600))
    await asyncio.sleep(0.3)
    await rig.oms()
    await eventually(lambda: agent.connected)


async def test_a_subscription_is_there_when_the_barrier_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """nats-py writes a PING past the commands before it; the last PING of the barrier must come after them."""
    client = await connect(rig.address, rig.credentials(rig.pki.calls), name="x", timeout=20)
    written: list[bytes] = []
    monkeypatch.setattr(client._stream, "write", watched(client._stream.write, written))
    monkeypatch.setattr(client._stream, "writelines", watched(client._stream.writelines, written))
    await client.listen("oms.event.>", lambda *_told: None)
    await client.barrier(60)
    words = [line.split(b" ")[0] for line in b"".join(written).splitlines()]
    assert words.index(b"SUB") < len(words) - 1 - words[::-1].index(b"PING")
    await discard(client)


def watched(write: Callable[[Any], None], written: list[bytes]) -> Callable[[Any], None]:
    def watching(data: bytes | list[bytes]) -> None:
        written.append(data if isinstance(data, bytes) else b"".join(data))
        write(data)

    return watching


async def test_a_connection_that_waits_for_the_decision_is_not_taken_for_one(rig: Rig) -> None:
    async def lookup(_fingerprint: str) -> Admission | None:
        await asyncio.Event().wait()
        return None

    await rig.oms(lookup=lookup)
    identity = rig.sign(H1)
    with pytest.raises(Exception, match="has not decided"):
        await connect(rig.address, rig.credentials(identity), name="x", timeout=10)


async def test_a_database_that_fails_lets_nobody_in_and_says_so(rig: Rig) -> None:
    broken = True

    async def lookup(fingerprint: str) -> Admission | None:
        if broken:
            raise OSError("disk full")
        return await rig.lookup(fingerprint)

    await rig.oms(lookup=lookup)
    refused: list[Refused] = []
    agent = await rig.agent(H1, wait=False, on_refused=refused.append)
    await eventually(lambda: bool(refused))
    assert not agent.connected
    assert "OMS could not decide" in (rig.run_dir / "nats.log").read_text()
    broken = False
    await eventually(lambda: agent.connected)


async def test_hosts_come_in_only_when_oms_can_hear_them(rig: Rig) -> None:
    """Otherwise the answers they kept would be sent to nobody."""
    later = replace(rig.credentials(rig.pki.calls), cert_file=rig.folder / "later.crt")
    oms = await rig.oms(bus=later, wait=False)
    await asyncio.wait_for(oms._sys.connected.wait(), 30)
    agent = await rig.agent(H1, wait=False)
    await asyncio.sleep(0.5)
    assert not agent.connected
    later.cert_file.write_bytes(rig.pki.calls.cert.read_bytes())
    await eventually(lambda: agent.connected)
    assert await oms.request(H1, "go", b"", 30) == b"go "


async def test_oms_leaves_and_comes_back_and_the_hosts_notice_nothing(rig: Rig) -> None:
    first = await rig.oms()
    agent = await rig.agent(H1)
    states: list[bool] = []
    agent.on_state(states.append)
    await first.close()
    second = await rig.oms()
    assert await second.request(H1, "go", b"", 60) == b"go "
    assert states == [True]


async def test_a_host_with_a_stopped_agent_times_out_alone(rig: Rig) -> None:
    async def stuck(_verb: str, _payload: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    oms = await rig.oms()
    await rig.agent(H1, stuck)
    await rig.agent(H2)
    await eventually(lambda: oms.connected_hosts() == {H1, H2})
    waiting = [asyncio.create_task(oms.request(H1, "go", b"", 60)) for _ in range(20)]
    for _ in range(20):
        assert await oms.request(H2, "go", b"", 60) == b"go "
    assert not any(one.done() for one in waiting)
    for one in waiting:
        one.cancel()
    with pytest.raises(NoAnswer):
        await oms.request(H1, "go", b"", 0.2)


async def test_renew_connects_at_once_with_the_new_certificate(rig: Rig) -> None:
    oms = await rig.oms()
    refused: list[Refused] = []
    identity = rig.pki.host("unsigned")
    agent = await rig.agent(H1, identity=identity, wait=False, on_refused=refused.append, timing=AGENT_SLOW)
    await eventually(lambda: bool(refused))
    rig.signed[identity.fingerprint] = Admission(H1, identity.expires)
    agent.renew()
    await eventually(lambda: agent.connected)
    await eventually(lambda: oms.connected_hosts() == {H1})
