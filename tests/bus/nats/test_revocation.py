"""A revoked host is out, at once and for good."""

import asyncio
import signal
import time

import pytest

from oms.bus.nats.callout import Admission
from oms.bus.nats.client import connect
from oms.bus.wire import HostAway, NoAnswer, Refused
from tests.bus.nats.raw import Raw, sub
from tests.bus.nats.rig import AGENT_SLOW, H1, H2, SERVER_HASTY, Rig
from tests.waiting import eventually


async def test_a_revoked_host_is_cut_off_and_stays_out(rig: Rig) -> None:
    oms = await rig.oms()
    refused: list[Refused] = []
    agent = await rig.agent(H1, on_refused=refused.append)
    other = await rig.agent(H2)
    await eventually(lambda: oms.connected_hosts() == {H1, H2})
    rig.revoke(H1)
    assert await oms.cut_off(H1)
    assert oms.connected_hosts() == {H2}
    with pytest.raises(HostAway):
        await oms.request(H1, "go", b"", 60)
    await eventually(lambda: bool(refused))
    assert not agent.connected
    assert other.connected
    assert await oms.request(H2, "go", b"", 30) == b"go "


async def test_a_revoked_host_stays_out_of_a_new_nats_server_and_a_new_oms(rig: Rig) -> None:
    oms = await rig.oms()
    refused: list[Refused] = []
    agent = await rig.agent(H1, on_refused=refused.append)
    await eventually(lambda: oms.connected_hosts() == {H1})
    rig.revoke(H1)
    assert await oms.cut_off(H1)
    rig.signal_nats(signal.SIGKILL)
    await eventually(lambda: rig.supervisor.restarts == 1)
    await asyncio.wait_for(oms._sys.connected.wait(), 30)
    refused.clear()
    await eventually(lambda: bool(refused))
    await oms.close()
    again = await rig.oms()
    refused.clear()
    await eventually(lambda: bool(refused))
    assert not agent.connected
    assert again.connected_hosts() == frozenset()


async def test_a_host_that_is_signed_again_comes_back(rig: Rig) -> None:
    oms = await rig.oms()
    agent = await rig.agent(H1)
    await eventually(lambda: oms.connected_hosts() == {H1})
    rig.revoke(H1)
    assert await oms.cut_off(H1)
    rig.sign(H1)
    agent.renew()
    await eventually(lambda: oms.connected_hosts() == {H1})
    assert await oms.request(H1, "go", b"", 30) == b"go "


async def test_requests_of_a_host_that_is_cut_off_end(rig: Rig) -> None:
    asked = asyncio.Event()

    async def never(_verb: str, _payload: bytes) -> bytes:
        asked.set()
        await asyncio.Event().wait()
        return b""

    oms = await rig.oms()
    await rig.agent(H1, never)
    asking = asyncio.create_task(oms.request(H1, "go", b"", 60))
    await asked.wait()
    rig.revoke(H1)
    assert await oms.cut_off(H1)
    with pytest.raises(NoAnswer, match="cut off"):
        await asyncio.wait_for(asking, 30)


async def test_all_connections_of_a_host_are_cut_off(rig: Rig) -> None:
    """Also one that OMS has not counted: made in the same moment, or while OMS was away."""
    oms = await rig.oms()
    identity = rig.sign(H1)
    clients = [await connect(rig.address, rig.credentials(identity), name=str(n), timeout=20) for n in range(3)]
    rig.revoke(H1)
    assert await oms.cut_off(H1)
    await eventually(lambda: all(client.lost.is_set() for client in clients))
    assert oms.connected_hosts() == frozenset()


async def test_cut_off_is_confirmed_for_a_host_that_is_not_there(rig: Rig) -> None:
    oms = await rig.oms()
    assert await oms.cut_off(H1)


async def test_cut_off_is_not_confirmed_without_a_bus(rig: Rig) -> None:
    oms = await rig.oms(timing=SERVER_HASTY)
    await rig.agent(H1, timing=AGENT_SLOW)
    await eventually(lambda: oms.connected_hosts() == {H1})
    rig.revoke(H1)
    rig.signal_nats(signal.SIGSTOP)
    assert not await oms.cut_off(H1)
    rig.signal_nats(signal.SIGCONT)
    await eventually(lambda: oms.connected_hosts() == frozenset())  # the database is asked again


async def test_admitted_before_and_connected_after_the_revocation(rig: Rig) -> None:
    """The answer "yes" is on its way while the database says no: the connection lives for a moment only."""
    decided = asyncio.Event()

    async def lookup(fingerprint: str) -> Admission | None:
        admission = await rig.lookup(fingerprint)
        rig.revoke(H1)
        decided.set()
        return admission

    oms = await rig.oms(lookup=lookup)
    async with Raw(rig, rig.sign(H1)) as raw:
        await raw.greet()
        assert decided.is_set()
        begin = time.monotonic()
        while await raw.say(sub(f"oms.host.{H1}.>")) != [b"closed"]:
            assert time.monotonic() - begin < 30
    assert oms.connected_hosts() == frozenset()
    assert rig.presence == []


async def test_a_revocation_while_oms_was_away_is_carried_out_when_it_is_back(rig: Rig) -> None:
    first = await rig.oms()
    agent = await rig.agent(H1, timing=AGENT_SLOW)
    await eventually(lambda: first.connected_hosts() == {H1})
    await first.close()
    rig.revoke(H1)
    assert agent.connected
    second = await rig.oms()
    await eventually(lambda: not agent.connected)
    assert second.connected_hosts() == frozenset()


async def test_a_database_that_cannot_be_asked_leaves_connections_alone(rig: Rig) -> None:
    broken = True

    async def is_signed(host_id: str) -> bool:
        if broken:
            raise OSError("locked")
        return await rig.is_signed(host_id)

    oms = await rig.oms(is_signed=is_signed)
    agent = await rig.agent(H1)
    await asyncio.sleep(0.2)
    assert agent.connected
    assert oms.connected_hosts() == frozenset()  # not known to be signed, so not told as there
    broken = False
    oms._resync.set()
    await eventually(lambda: oms.connected_hosts() == {H1})


async def test_kick_is_ignored_without_a_reply(rig: Rig) -> None:
    """The trap that `SysApi.kick` avoids: if nats-server changes its mind, this test says so."""
    oms = await rig.oms()
    agent = await rig.agent(H1)
    await eventually(lambda: oms.connected_hosts() == {H1})
    known = oms._control.hosts[H1]
    kick = f"$SYS.REQ.SERVER.{known.server_id}.KICK"
    client = oms._sys.client
    assert client is not None
    await client.publish(kick, b'{"cid":%d}' % known.cid)
    await client.barrier(60)
    await asyncio.sleep(0.1)
    assert agent.connected
    await client.request(kick, b'{"cid":%d}' % known.cid, timeout=20)
    await eventually(lambda: not agent.connected)
