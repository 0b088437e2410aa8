"""All hosts and guests at a glance: as the hosts tell of them, filtered, sorted, by pages; nobody is asked."""

import functools
from typing import Any

import msgspec
import pytest

from oms.contract.internal import Figures, FileSystemFigures, GuestNews, Roster
from oms.server.inventory import Inventory
from oms.server.metrics.figures import busy
from oms.server.rules import fleet as rules
from oms.server.rules.tags import Tagged
from oms.server.store import guests as store_guests
from oms.server.store import hosts
from tests.server.double import HostDouble
from tests.server.rig import Oms, Person
from tests.server.rosters import UUID, joined, line, tell
from tests.waiting import eventually


@pytest.fixture
async def fleet(oms: Oms) -> dict[str, HostDouble]:
    return {
        "h1": await joined(oms, "h1", line(1, "web"), line(2, "Mail", "shutdown"), line(101, "db", kind="openvz")),
        "h2": await joined(oms, "h2", line(3, "WEB two", "paused")),
    }


def names(oms: Oms, host: HostDouble) -> list[str]:
    """What OMS knows of a host's guests."""
    return [guest.name for guest in dict(inventory(oms).all())[host.id].values()]


def inventory(oms: Oms) -> Inventory:
    return oms.edge._pipeline._house.inventory


async def guests(viewer: Person, *params: Any, **more: Any) -> list[str]:
    page = await viewer.ask("fleetservices.list_guests", 0, *params, **more)
    assert page["total"] >= len(page["guests"])
    return [guest["name"] for guest in page["guests"]]


async def test_all_guests_of_all_hosts_are_listed_and_no_host_is_asked(
    oms: Oms, fleet: dict[str, HostDouble]
) -> None:
    viewer, before = await oms.as_viewer(), len(oms.sent)
    page = await viewer.ask("fleetservices.list_guests", 0)
    assert page["total"] == 4
    assert page["guests"][0] == {
        "kind": "openvz", "id": "101", "name": "db", "host": "h1", "state": "running", "vcpus": 2,
        "memory_mb": 12928, "tags": [],
    }  # fmt: skip
    assert [guest["name"] for guest in page["guests"]] == ["db", "Mail", "web", "WEB two"]
    assert len(oms.sent) == before


ASKED: list[tuple[list[Any], list[str]]] = [
    (["WEB"], ["web", "WEB two"]),
    (["web h2"], ["WEB two"]),
    (["0f0e0d0c-0000-4000-8000-000000000002"], ["Mail"]),
    (["nothing"], []),
    (["", "h2"], ["WEB two"]),
    (["", "h3"], []),
    (["", "", "openvz"], ["db"]),
    (["", "", "", "shutdown"], ["Mail"]),
    (["", "", "", "", "", "memory"], ["web", "Mail", "WEB two", "db"]),
    (["", "", "", "", "", "memory", True], ["db", "WEB two", "Mail", "web"]),
    (["", "", "", "", "", "host", True], ["WEB two", "db", "Mail", "web"]),
    (["", "", "", "", "", "name", False, 1, 2], ["Mail", "web"]),
    (["", "", "", "", "", "name", False, 9, 0], []),
    (["", "", "", "", "", "id", False, 0, 1], ["db"]),
]


async def test_they_are_filtered_sorted_and_given_by_pages(oms: Oms, fleet: dict[str, HostDouble]) -> None:
    viewer = await oms.as_viewer()
    for params, names in ASKED:
        assert await guests(viewer, *params) == names, params


async def test_a_tag_chooses_and_shows(oms: Oms, fleet: dict[str, HostDouble]) -> None:
    ids = {"web": UUID.format(1), "db": f"{fleet['h1'].id}/101"}
    for name, kind in (("web", "kvm"), ("db", "openvz")):
        tagged = Tagged(ids[name], kind, fleet["h1"].id, name, 0, [])
        await oms.store.write(functools.partial(store_guests.add, guest=tagged, tag="blue"))
    viewer = await oms.as_viewer()
    page = await viewer.ask("fleetservices.list_guests", 0, "", "", "", "", "blue")
    assert [(guest["name"], guest["tags"]) for guest in page["guests"]] == [("db", ["blue"]), ("web", ["blue"])]
    assert await guests(viewer, "", "", "", "", "red") == []


async def test_changes_are_seen_as_they_are_told_and_a_missed_one_is_made_up_for(
    oms: Oms, fleet: dict[str, HostDouble]
) -> None:
    host, viewer = fleet["h1"], await oms.as_viewer()
    await tell(host, GuestNews("s", 2, "kvm", (line(1, "web", "shutdown"), line(4, "new")), (UUID.format(2),)))
    assert await guests(viewer, "", "h1") == ["db", "new", "web"]
    assert await guests(viewer, "", "", "", "shutdown") == ["web"]
    await tell(host, GuestNews("s", 2, "kvm", (line(9, "twice"),)))  # an echo
    assert await guests(viewer, "twice") == []
    asked = host.asked["agent.ask_guests"]
    host.roster = Roster("s", 4, ("kvm",), (line(5, "late"),))
    await tell(host, GuestNews("s", 4, "kvm", (line(5, "late"),)))
    await eventually(lambda: "late" in names(oms, host))
    assert host.asked["agent.ask_guests"] == asked + 1
    assert await guests(viewer, "", "h1") == ["db", "late"]  # of containers, that roster knew nothing


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[" * 9000,
        b'{"stamp":"s","number":2,"kind":"xen"}',
        b'{"stamp":"s","number":2' + b" " * 300_000,
    ],
)
async def test_what_is_no_news_changes_nothing(oms: Oms, fleet: dict[str, HostDouble], payload: bytes) -> None:
    await fleet["h1"].wire.publish("guests", payload)
    assert len(await guests(await oms.as_viewer())) == 4


async def test_guests_of_a_host_that_left_stay_listed_also_after_a_restart(
    oms: Oms, fleet: dict[str, HostDouble]
) -> None:
    oms.bus.disconnect(fleet["h1"].id)
    viewer = await oms.as_viewer()
    assert await guests(viewer, "", "", "", "unknown") == ["db", "Mail", "web"]
    await oms.store.write(lambda _tx: None)  # comes after what is being kept
    assert fleet["h1"].id in await oms.store.read(hosts.guests_kept)
    await oms.restart()
    assert await guests(viewer, "", "", "", "unknown") == ["db", "Mail", "web"]
    await (await oms.as_admin()).ask("funcservices.remove_signed", 0, ["h1"])
    assert await guests(viewer, "", "", "", "unknown") == []


async def test_hosts_are_told_with_what_they_measure_and_what_needs_attention(
    oms: Oms, fleet: dict[str, HostDouble]
) -> None:
    full = FileSystemFigures("/", "/dev/sda1", 1024 * 1000, 1024 * 950, 1024 * 50)
    again = FileSystemFigures("/srv", "/dev/sda1", 1024 * 1000, 1024 * 950, 1024 * 50)
    for seconds in (100.0, 104.0):
        spent = Figures(
            4, {"user": seconds, "idle": 300 + (seconds - 100) * 3}, 1.5, 60, 1024 * 8192, 1024 * 2048,
            file_systems=(full, again),
        )  # fmt: skip
        await fleet["h2"].wire.publish("figures", msgspec.json.encode(spent))
    oms.bus.disconnect(fleet["h1"].id)
    viewer = await oms.as_viewer()
    page = await viewer.ask("fleetservices.list_hosts", 0, "", "", "", "load", True)
    two, one = page["hosts"]
    assert (page["total"], two["name"], two["state"], two["attention"]) == (2, "h2", "connected", ["disk"])
    assert (two["load"], two["cpu_percent"], two["memory_used_mb"]) == (1.5, 25.0, 6144)
    assert (two["disk_mb"], two["disk_used_mb"], two["guests"], two["guests_running"]) == (1000, 950, 1, 0)
    assert (one["state"], one["attention"], one["load"], one["guests"]) == ("away", ["away"], None, 3)
    assert one["certificate_not_after"].endswith("Z")
    for wanted, names in {"away": ["h1"], "connected": ["h2"], "attention": ["h1", "h2"]}.items():
        found = (await viewer.ask("fleetservices.list_hosts", 0, "", "", wanted))["hosts"]
        assert [host["name"] for host in found] == names
    assert (await viewer.ask("fleetservices.list_hosts", 0, "x86_64"))["total"] == 2
    for hypervisor in ("kvm", "openvz"):
        found = await viewer.ask("fleetservices.list_hosts", 0, "", "", "", "name", False, 0, 100, hypervisor)
        able = [host["name"] for host in page["hosts"] if hypervisor in host["hypervisors"]]
        assert sorted(host["name"] for host in found["hosts"]) == sorted(able)
    assert (await viewer.ask("fleetservices.list_hosts", 0, "", "nowhere"))["total"] == 0
    summary = await viewer.ask("fleetservices.summarize", 0)
    assert summary["hosts"] == {"signed": 2, "connected": 1, "waiting": 0}
    assert summary["guests"] == {"kvm": 3, "openvz": 1, "states": {"unknown": 3, "paused": 1}}
    assert (summary["capacity"]["cpu_percent"], summary["capacity"]["memory_used_mb"]) == (25.0, 6144)
    assert summary["needing_attention"] == 2


async def test_waiting_hosts_are_told_with_the_fingerprint_to_compare_and_rivals_are_named(
    oms: Oms, fleet: dict[str, HostDouble]
) -> None:
    await oms.enrol("new")
    await oms.enrol("h1")
    waiting = await (await oms.as_viewer()).ask("fleetservices.describe_requests", 0)
    assert [(host["name"], host["rival"], len(host["key_sha256"])) for host in waiting] == [
        ("new", False, 64),
        ("h1", True, 64),
    ]
    assert (waiting[0]["address"], waiting[0]["hypervisors"]) == ("192.0.2.20", ["kvm"])


async def test_differences_are_told_to_those_who_listen_but_not_what_was_so_before(
    oms: Oms, fleet: dict[str, HostDouble]
) -> None:
    heard: list[tuple[str | None, str | None]] = []
    inventory(oms).on_change(
        lambda it: heard.append((it.before.state if it.before else None, it.after.state if it.after else None))
    )
    host = fleet["h1"]
    await tell(host, GuestNews("s", 2, "kvm", (line(1, "web", "paused"), line(4, "new")), (UUID.format(2),)))
    assert sorted(heard, key=str) == [("running", "paused"), ("shutdown", None), (None, "running")]
    heard.clear()
    oms.bus.disconnect(host.id)
    host.roster = Roster("another run", 7, ("kvm", "openvz"), (line(1, "web"), line(4, "new")))
    oms.bus.reconnect(host.id)
    await eventually(lambda: len(heard) >= 2)
    assert sorted(heard, key=str) == [("paused", "running"), ("running", None)]


def test_busy_is_what_is_neither_idle_nor_waiting_and_a_counter_that_fell_counts_as_still() -> None:
    assert busy({"user": 1, "idle": 1, "iowait": 1}, {"user": 2, "system": 1, "idle": 2, "iowait": 2}) == 50
    assert busy({"user": 9}, {"user": 2}) == 0


def test_names_decide_between_equals_whatever_the_direction() -> None:
    rows = [("b", 1), ("a", 1), ("c", 2)]
    found = rules.ordered(rows, lambda row: row[1], lambda row: row[0], descending=True)
    assert found == [("c", 2), ("a", 1), ("b", 1)]
