"""The small parts of the wire, each by itself."""

import asyncio

import pytest

from oms.bus.nats import agent, meter, subjects
from oms.bus.nats.lanes import Lanes
from oms.bus.nats.link import AGENT_TIMING, SERVER_TIMING
from oms.bus.nats.meter import Meter
from oms.bus.nats.outbox import Outbox
from oms.bus.nats.permissions import host_permissions
from oms.bus.nats.requests import Requests
from oms.bus.nats.sysapi import Connection
from tests.bus.nats.rig import H1, H2
from tests.waiting import eventually


def test_subjects_are_taken_apart_as_they_were_made() -> None:
    assert subjects.verb_of(subjects.call(H1, "kvmservices.list_vms")) == "kvmservices.list_vms"
    assert subjects.host_of_reply(subjects.reply(H1, "0123", 7)) == H1
    assert subjects.split_event(subjects.event(H1, "job.progress")) == (H1, "job.progress")
    assert subjects.reply(H1, "0123", 7).startswith(subjects.reply_prefix(H1))


@pytest.mark.parametrize(
    "subject", ["", "oms.event.", f"oms.event.{H1}", f"oms.event.{H1}x.a", f"oms.reply.{H1}.a"]
)
def test_other_subjects_are_no_events(subject: str) -> None:
    assert subjects.split_event(subject) == ("", "")


def test_a_host_may_do_nothing_but_its_own() -> None:
    permissions = host_permissions(H1)
    assert permissions["sub"] == {"allow": [f"oms.host.{H1}.>"]}
    assert permissions["pub"] == {"allow": [f"oms.event.{H1}.>", f"oms.reply.{H1}.>"]}


def kept(outbox: Outbox) -> list[bytes]:
    return [answer.payload for answer in outbox.unconfirmed()]


def test_an_answer_is_kept_until_two_round_trips_have_passed() -> None:
    outbox = Outbox(keep_s=30, most_bytes=1000, most_answers=100)
    outbox.put("s", b"1", None)
    outbox.round_trip()
    outbox.put("s", b"2", None)
    assert kept(outbox) == [b"1", b"2"]
    outbox.round_trip()
    outbox.round_trip()
    assert kept(outbox) == []


def test_answers_that_nobody_waits_for_any_more_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("oms.bus.nats.outbox.time.monotonic", lambda: now)
    outbox = Outbox(keep_s=30, most_bytes=1000, most_answers=100)
    outbox.put("s", b"1", None)
    now += 31
    outbox.put("s", b"2", None)
    assert kept(outbox) == [b"2"]


def test_the_oldest_answers_go_when_there_are_too_many_bytes() -> None:
    outbox = Outbox(keep_s=30, most_bytes=10, most_answers=100)
    for payload in (b"aaaa", b"bbbb", b"cccc"):
        outbox.put("s", payload, None)
    assert kept(outbox) == [b"bbbb", b"cccc"]
    outbox.round_trip()
    outbox.put("s", b"dddd", None)
    assert kept(outbox) == [b"cccc", b"dddd"]
    outbox.put("s", b"e" * 50, None)  # one that is too large alone is sent all the same
    assert kept(outbox) == [b"e" * 50]


def test_the_oldest_answers_go_when_there_are_too_many() -> None:
    outbox = Outbox(keep_s=30, most_bytes=1000, most_answers=2)
    for payload in (b"1", b"2", b"3"):
        outbox.put("s", payload, None)
    assert kept(outbox) == [b"2", b"3"]


def test_what_an_honest_agent_sends_again_is_no_flood() -> None:
    assert agent.OUTBOX_ANSWERS * 2 <= meter.MOST_MESSAGES
    assert agent.OUTBOX_BYTES * 2 <= meter.MOST_BYTES


def test_a_hung_nats_server_is_noticed_in_time() -> None:
    assert SERVER_TIMING.round_trip_every + SERVER_TIMING.round_trip_timeout <= 10
    assert AGENT_TIMING.round_trip_every + AGENT_TIMING.round_trip_timeout <= 25


def test_a_host_that_sends_too_much_is_told_once_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("oms.bus.nats.meter.time.monotonic", lambda: now)
    told: list[str] = []
    meter = Meter(told.append, most_messages=3, most_bytes=100)
    assert [meter.allows(H1, 1) for _ in range(5)] == [True, True, True, False, False]
    assert [meter.allows(H2, 60), meter.allows(H2, 60)] == [True, False]
    assert told == [H1, H2]
    now += 1.5
    assert meter.allows(H1, 1)
    assert not meter.allows(H1, 200)
    assert told == [H1, H2, H1]
    meter.forget(H1)
    assert meter.allows(H1, 1)


async def test_a_full_lane_drops_the_newest_and_other_hosts_go_on() -> None:
    gate, handled = asyncio.Event(), list[tuple[str, bytes]]()

    async def handle(host: str, _topic: str, payload: bytes) -> None:
        if host == H1:
            await gate.wait()
        handled.append((host, payload))

    lanes = Lanes(handle, most_events=3, most_bytes=10)
    lanes.put(H1, "n", b"0")
    await asyncio.sleep(0)  # the first is in hand
    for number in range(1, 6):
        lanes.put(H1, "n", b"%d" % number)
    lanes.put(H2, "n", b"9")
    await eventually(lambda: handled == [(H2, b"9")])
    gate.set()
    await eventually(lambda: handled[1:] == [(H1, b"0"), (H1, b"1"), (H1, b"2"), (H1, b"3")])
    lanes.put(H1, "n", b"x" * 11)  # more than a lane holds
    lanes.put(H1, "n", b"after")
    await eventually(lambda: handled[-1] == (H1, b"after"))
    await lanes.close()


def test_the_newer_connection_is_known_by_time_and_number() -> None:
    from datetime import UTC, datetime, timedelta

    now = datetime(2026, 3, 1, tzinfo=UTC)
    old = Connection("A", 5, now, "", "")
    assert Connection("B", 1, now + timedelta(microseconds=1), "", "").is_newer_than(old)
    assert Connection("A", 6, now, "", "").is_newer_than(old)
    assert not old.is_newer_than(old)


async def test_stranding_nothing_keeps_nothing() -> None:
    requests = Requests()
    for _ in range(3):
        requests.strand(H1, "agent", 0.01)
        requests.rejoin(H1, "agent")
        requests.give_up_on(H1, "left")
    requests.close()
