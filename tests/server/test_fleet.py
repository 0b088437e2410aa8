"""Hosts come and go: greeted before anything else, asked only while they are here, and known for what they say."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec
import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from oms.contract.errors import HostUnavailable
from oms.contract.internal import HostFacts
from oms.contract.kvm import ListVmsStatus
from oms.contract.types import TagName
from oms.server.rules.hosttype import automatic_tags, host_type
from oms.server.store import hosts
from tests.server.double import FACTS, Does
from tests.server.rig import Oms, answering
from tests.waiting import eventually

T = TypeVar("T")
ASK = "kvmservices.list_vms_status"
DOES: Does = {ListVmsStatus: answering({})}


async def test_a_host_is_greeted_first_with_the_time_the_epoch_and_its_ssh_key(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", DOES)
    await (await oms.as_viewer()).ask(ASK, 0, "h1")
    verbs = [verb for _, verb in oms.sent]
    assert (verbs[0], verbs.count(ASK)) == ("agent.hello", 1)
    [hello] = host.greetings
    assert abs(hello.time - time.time()) < 5
    assert hello.authorized_key.startswith("ssh-ed25519 ")
    assert hello.authorized_key.count("\n") == 0
    assert (hello.epoch, len(hello.server)) == (1, 16)
    kept = await oms.store.read(lambda tx: hosts.ssh_public_key(tx, host.id))
    assert hello.authorized_key == kept


async def test_each_start_of_a_server_is_another_epoch_of_the_same_server(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", DOES)
    await eventually(lambda: host.greetings)
    for _ in range(2):
        await oms.restart()
        await (await oms.as_viewer()).ask(ASK, 0, "h1")
    assert [hello.epoch for hello in host.greetings] == [1, 2, 3]
    assert len({hello.server for hello in host.greetings}) == 1


async def test_a_host_is_greeted_again_on_each_connection(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", DOES)
    await eventually(lambda: len(host.greetings) == 1)
    oms.bus.disconnect(host.id)
    oms.bus.reconnect(host.id)
    await (await oms.as_viewer()).ask(ASK, 0, "h1")
    assert len(host.greetings) == 2


async def test_a_greeting_is_tried_until_it_is_answered_and_nothing_is_asked_before(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", DOES)
    await eventually(lambda: host.greetings)
    oms.bus.disconnect(host.id)
    host.refuses["agent.hello"] = HostUnavailable("Not yet.")
    oms.bus.reconnect(host.id)
    asking = asyncio.create_task((await oms.as_viewer()).ask(ASK, 0, "h1"))
    await eventually(lambda: host.asked["agent.hello"] >= 3)
    assert host.asked[ASK] == 0
    host.refuses.clear()
    assert await asking == {"client": "h1", "result": {}}


async def test_a_host_that_does_not_answer_its_greeting_is_not_asked(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oms.server.fleet.GREET_SECONDS", 0.1)
    host = await oms.sign_in_double("h1", DOES)
    await eventually(lambda: host.greetings)
    oms.bus.disconnect(host.id)
    host.deaf.add("agent.hello")
    oms.bus.reconnect(host.id)
    error = await (await oms.as_viewer()).error(ASK, 0, "h1")
    assert error.data["reason"] == "host_unavailable"
    assert "agent runs" in error.message
    assert host.asked[ASK] == 0


async def test_a_call_waits_for_a_host_whose_turn_to_be_greeted_has_not_come(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that has just started greets all its hosts, and is asked already."""
    await oms.sign_in_double("h1", DOES)
    viewer = await oms.as_viewer()
    await viewer.ask(ASK, 0, "h1")
    monkeypatch.setattr("oms.server.fleet.GREET_SECONDS", 0.1)
    held = asyncio.Event()

    class Waiting:
        async def __aenter__(self) -> None:
            await held.wait()

        async def __aexit__(self, *_: object) -> None:
            """Its turn is over."""

    monkeypatch.setattr("oms.server.fleet.Turns", lambda *_: Waiting())
    await oms.restart()
    asked = asyncio.create_task(viewer.ask(ASK, 0, "h1"))
    await asyncio.sleep(0.5)
    assert not asked.done()
    held.set()
    assert await asked == {"client": "h1", "result": {}}


async def test_a_greeting_that_took_long_is_made_again_for_it_sets_the_hosts_clock(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oms.server.fleet.GREET_SECONDS", -1)
    host = await oms.sign_in_double("h1", DOES)
    await eventually(lambda: len(host.greetings) >= 2)
    monkeypatch.setattr("oms.server.fleet.GREET_SECONDS", 2)
    assert await (await oms.as_viewer()).ask(ASK, 0, "h1")


async def test_a_host_that_talks_nonsense_at_its_greeting_hurts_nobody(oms: Oms) -> None:
    liar = await oms.sign_in_double("h1", DOES)
    await oms.sign_in_double("h2", DOES)
    viewer = await oms.as_viewer()
    await viewer.ask(ASK, 0, "h1")
    for nonsense in (b"", b'{"result":{}}', b'{"result":' + b"[" * 5000):
        liar.says["agent.hello"] = nonsense
        oms.bus.disconnect(liar.id)
        oms.bus.reconnect(liar.id)
        await eventually(lambda: liar.asked["agent.hello"])
        assert await viewer.ask(ASK, 0, "h2") == {"client": "h2", "result": {}}


async def test_a_host_that_is_away_says_so_at_once(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", DOES)
    viewer = await oms.as_viewer()
    await viewer.ask(ASK, 0, "h1")
    oms.bus.disconnect(host.id)
    error = await asyncio.wait_for(viewer.error(ASK, 0, "h1"), 20)
    assert (error.name, error.data) == ("FuncManError", {"reason": "host_unavailable", "host": "h1"})


async def test_a_host_that_is_not_signed_says_so(oms: Oms) -> None:
    error = await (await oms.as_viewer()).error(ASK, 0, "nowhere")
    assert error.data == {"reason": "host_unavailable", "host": "nowhere"}
    assert "list_signed" in error.message


async def test_a_bus_that_is_gone_makes_every_host_away_and_comes_back_by_itself(oms: Oms) -> None:
    await oms.sign_in_double("h1", DOES)
    viewer = await oms.as_viewer()
    await viewer.ask(ASK, 0, "h1")
    oms.bus.down()
    assert (await viewer.error(ASK, 0, "h1")).data["reason"] == "host_unavailable"
    assert [host["status"] for host in await viewer.ask("funcservices.list_signed", 0)] == [0]
    oms.bus.restore()
    assert await viewer.ask(ASK, 0, "h1") == {"client": "h1", "result": {}}


async def test_who_is_connected_is_told_as_it_is(oms: Oms) -> None:
    first = await oms.sign_in_double("h1", DOES)
    await oms.signed("h2")
    viewer = await oms.as_viewer()

    async def statuses() -> dict[str, int]:
        return {host["name"]: host["status"] for host in await viewer.ask("funcservices.list_signed", 60)}

    assert await statuses() == {"h1": 1, "h2": 0}
    oms.bus.disconnect(first.id)
    assert await statuses() == {"h1": 0, "h2": 0}


async def test_what_a_host_says_of_itself_is_kept_and_becomes_its_tags(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", DOES)
    viewer = await oms.as_viewer()

    async def facts() -> tuple[int, list[tuple[str, int]]]:
        [signed] = await viewer.ask("funcservices.list_signed", 0)
        return signed["vmcount"], [(tag["tag"], tag["level"]) for tag in signed["tags"]]

    at_first = [("KVM", 1), ("debian 12", 2), ("kvm", 2), ("x86_64", 2)]
    await viewer.ask(ASK, 0, "h1")
    while (seen := await facts())[0] == 0:  # noqa: ASYNC110 - seen over the wire alone
        await asyncio.sleep(0.01)
    assert seen == (FACTS.vmcount, at_first)
    changed = HostFacts("1.1", hypervisors=("kvm", "openvz"), architecture="x86_64", vmcount=9)
    await host.tell_facts(changed)
    # The type is what the host was signed as; what OMS finds is told anew.
    assert await facts() == (9, [("KVM", 1), ("kvm", 2), ("openvz", 2), ("x86_64", 2)])
    described = await viewer.ask("funcservices.describe_host", 0, "h1")
    assert (described["agent_version"], described["facts"]["vmcount"]) == ("1.1", 9)
    assert described["last_seen"] > described["signed_at"]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("facts", b""),
        ("facts", b"{}"),
        ("facts", b'{"version": 7}'),
        ("facts", b'{"version": "' + b"x" * 9000 + b'"}'),
        ("facts", b"[" * 10_000),
        ("job", b""),
        ("job", b'{"id": "x", "state": "done"}'),
        ("job", b'{"id": "x", "state": "\xff"}'),
        ("job", b'{"id":"x","state":"failed","error":' + b"[" * 10_000),
        ("other", b"whatever"),
    ],
)
async def test_an_event_that_is_none_changes_nothing(oms: Oms, topic: str, payload: bytes) -> None:
    host = await oms.sign_in_double("h1", DOES)
    viewer = await oms.as_viewer()
    await viewer.ask(ASK, 0, "h1")
    await viewer.ask("eventservices.list_events", 0, 0, 1, 10, ["host.connected"])  # the greeting was noted
    before = await oms.store.read(lambda tx: hosts.by_id(tx, host.id))
    with capture_logs() as logs:
        await host.wire.publish(topic, payload)
    assert [line["event"] for line in logs if line["log_level"] == "error"] == []
    assert await oms.store.read(lambda tx: hosts.by_id(tx, host.id)) == before
    assert await viewer.ask(ASK, 0, "h1") == {"client": "h1", "result": {}}


async def test_facts_that_are_too_long_are_not_kept_at_the_greeting_either(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", DOES)
    host.facts = HostFacts("x" * 9000)
    oms.bus.disconnect(host.id)
    oms.bus.reconnect(host.id)
    viewer = await oms.as_viewer()
    await viewer.ask(ASK, 0, "h1")
    await asyncio.sleep(0.05)
    described = await viewer.ask("funcservices.describe_host", 0, "h1")
    assert len(described["agent_version"]) < 100


@pytest.mark.parametrize(
    ("hypervisors", "kind"),
    [
        (("kvm",), "KVM"),
        (("openvz",), "OpenVZ"),
        (("openvz", "kvm"), "OpenNode"),
        ((), "physical"),
        (("kvm", "xen"), "physical"),
    ],
)
def test_a_hosts_type_follows_from_its_hypervisors(hypervisors: tuple[str, ...], kind: str) -> None:
    assert host_type(HostFacts("1", hypervisors=hypervisors)) == kind


def test_whatever_an_agent_says_becomes_legal_tags_and_few() -> None:
    facts = HostFacts(
        "1",
        hypervisors=("<b>kvm</b>", "-- x", "", "\n", *(f"h{number}" for number in range(1000))),
        architecture="x" * 500,
        distribution="../../etc",
    )
    tags = automatic_tags(facts)
    assert tags[:2] == ("b-kvm--b-", "x")
    assert [msgspec.convert(tag, TagName) for tag in tags] == list(tags)
    assert tags[-2:] == ("x" * 63, "etc")
    assert len(tags) <= 10


async def test_a_sign_of_life_moves_when_a_host_was_seen_and_nothing_else_is_written(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await oms.sign_in_double("h1", DOES)
    viewer = await oms.as_viewer()
    await viewer.ask(ASK, 0, "h1")
    await host.tell_facts(FACTS)
    before = (await viewer.ask("funcservices.describe_host", 0, "h1"))["last_seen"]
    written: list[object] = []
    writer = oms.store.write

    async def write(change: Callable[[Connection], T]) -> T:
        written.append(change)
        return await writer(change)

    monkeypatch.setattr(oms.store, "write", write)
    for _ in range(5):
        await host.tell_facts(FACTS)
    while (await viewer.ask("funcservices.describe_host", 0, "h1"))["last_seen"] == before:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert len(written) <= 2
