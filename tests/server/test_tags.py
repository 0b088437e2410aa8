"""Tags: OMS's own knowledge, put into what hosts answer; given, taken, renamed, and gone with what bore them."""

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from oms.contract import kvm, kvmplusovz, ovz
from oms.contract.errors import HypervisorUnavailable
from oms.contract.internal import JobState
from oms.contract.kvm import Machine, MachineStats
from oms.contract.kvmplusovz import Guest
from oms.contract.operation import Operation
from oms.contract.ovz import ContainerStats, ListedContainer
from oms.contract.partly import Missing, Partly
from oms.server.rules import tags as rules
from oms.server.store import guests, hosts, now, tables
from oms.server.store.jobs import Job
from tests.server import double, postgresql
from tests.server.double import FACTS, Does, HostDouble
from tests.server.rig import Oms, Person, answering
from tests.waiting import eventually

DATABASES = postgresql.BOTH

LIST, LIST_CTS = "kvmservices.list_vms", "ovzservices.list_vms"
ADD, REMOVE, RENAME = "tagservices.add_tag", "tagservices.remove_tag", "tagservices.edit_freeform_tag_name"
TAGGED = "tagservices.list_tagged"
BOTH = msgspec.structs.replace(FACTS, hypervisors=("kvm", "openvz"))


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


class Guests:
    """What a host has, as it may be changed while a test runs. Each answers with tags of its own invention."""

    def __init__(self, machines: dict[str, int], containers: dict[str, str] | None = None) -> None:
        self.machines, self.containers = machines, containers or {}
        self.asked = 0

    async def list_vms(self, _op: Operation[Any]) -> list[Machine]:
        self.asked += 1
        return [
            Machine(1, ["host's own"], MachineStats(), name, name, uuid(number))
            for name, number in self.machines.items()
        ]

    async def list_both(self, _op: Operation[Any]) -> Partly[list[Guest]]:
        machines = [Guest(1, [], MachineStats(), name, name, "kvm", uuid(n)) for name, n in self.machines.items()]
        others = [Guest(1, [], MachineStats(), name, ctid, "openvz") for ctid, name in self.containers.items()]
        return Partly([*machines, *others], (Missing("openvz", "FuncManError", "", "Half of it."),))

    async def list_containers(self, _op: Operation[Any]) -> list[ListedContainer]:
        self.asked += 1
        return [ListedContainer(1, [], ContainerStats(), name, ctid) for ctid, name in self.containers.items()]


@pytest.fixture(autouse=True)
def both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts say at their greeting that they have machines and containers."""
    monkeypatch.setattr(double, "FACTS", BOTH)


async def joined(oms: Oms, name: str, has: Guests) -> HostDouble:
    lists: Does = {kvm.ListVms: has.list_vms, ovz.ListVms: has.list_containers, kvmplusovz.ListVms: has.list_both}
    host = await oms.sign_in_double(name, lists)

    async def known() -> bool:
        found = await oms.store.read(lambda tx: hosts.by_id(tx, host.id))
        return found is not None and "openvz" in found.facts

    await eventually(known)
    return host


async def listed(
    who: Person, host: str = "h1", method: str = LIST, *words: str, age: int = 0
) -> dict[str, list[str]]:
    answer = (await who.ask(method, age, host, *words))["result"]
    return {guest["name"]: guest["tags"] for guest in answer}


async def bearers(who: Person, tag: str) -> list[tuple[str, str, str]]:
    return [(found["type"], found["host"], found["name"]) for found in await who.ask(TAGGED, 0, tag)]


async def test_tags_stand_at_hosts_machines_and_containers(oms: Oms) -> None:
    host = await joined(oms, "h1", Guests({"a": 1, "b": 2}, {"101": "ct.example"}))
    who = await oms.as_operator()
    for place in (("h1",), ("h1", "a"), ("h1", "101")):
        assert await who.ask(ADD, 0, "web", *place) == 0
    assert await who.ask(ADD, 0, "db", "h1", uuid(1)) == 0
    assert await listed(who) == {"a": ["db", "web"], "b": []}
    assert await listed(who, method=LIST_CTS) == {"ct.example": ["web"]}
    assert await who.ask(TAGGED, 0, "web") == [
        {"type": "host", "host": "h1", "name": "h1", "id": host.id},
        {"type": "kvm", "host": "h1", "name": "a", "id": uuid(1)},
        {"type": "openvz", "host": "h1", "name": "ct.example", "id": "101"},
    ]
    tags = {(tag["tag"], tag["level"]) for tag in await who.ask("tagservices.list_tags", 0)}
    assert tags == {
        ("KVM", 1), ("debian 12", 2), ("kvm", 2), ("openvz", 2), ("x86_64", 2), ("db", 3), ("web", 3),
    }  # fmt: skip
    (signed,) = await who.ask("funcservices.list_signed", 0, "web")
    assert {"tag": "web", "level": 3} in signed["tags"]
    assert await who.ask("funcservices.list_signed", 0, "db") == []
    both = await who.ask("kvmplusovzservices.list_vms", 0, "h1", "tag:web")
    assert {guest["name"]: guest["tags"] for guest in both["result"]} == {
        "a": ["db", "web"],
        "ct.example": ["web"],
    }
    assert both["missing"][0]["message"] == "Half of it."
    for place in (("h1",), ("h1", "a"), ("h1", "101")):
        assert await who.ask(REMOVE, 0, "web", *place) == 0
        assert (await who.error(REMOVE, 0, "web", *place)).data["reason"] == "not_there"
    assert await who.ask(TAGGED, 0, "web") == []
    assert await listed(who) == {"a": ["db"], "b": []}


async def test_a_recorded_list_shows_new_tags_at_once_and_asks_nobody(oms: Oms) -> None:
    has = Guests({"a": 1, "b": 2})
    await joined(oms, "h1", has)
    who = await oms.as_operator()
    first = await who.answer(LIST, 60, "h1")
    await who.ask(ADD, 0, "web", "h1", "a")
    asked = has.asked
    again = await who.answer(LIST, 60, "h1")
    assert (again["type"], again["as_of"], has.asked) == ("tmp_cache", first["as_of"], asked)
    assert [guest["tags"] for guest in again["result"]["result"]] == [["web"], []]
    await who.ask(REMOVE, 0, "web", "h1", "a")
    assert has.asked == asked  # by OMS's own records
    assert await listed(who, age=60) == {"a": [], "b": []}


async def test_a_list_is_filtered_by_tags_and_the_host_does_not_hear_of_them(oms: Oms) -> None:
    has = Guests({"a": 1, "b": 2, "c": 3}, {"101": "ct"})
    heard: list[tuple[str, ...]] = []

    async def list_vms(op: kvm.ListVms) -> list[Machine]:
        heard.append(op.stats_argument)
        return await has.list_vms(op)

    host = await joined(oms, "h1", has)
    host.does[kvm.ListVms] = list_vms
    who = await oms.as_operator()
    for name, tag in (("a", "web"), ("b", "web"), ("b", "v m"), ("101", "v m")):
        await who.ask(ADD, 0, tag, "h1", name)
    heard.clear()
    assert await listed(who, "h1", LIST, "cpu", "tag:web") == {"a": ["web"], "b": ["v m", "web"]}
    assert await listed(who, "h1", LIST, "tag:web", "cpu", "tag:v m", age=60) == {"b": ["v m", "web"]}
    assert await listed(who, "h1", LIST, "tag:none", "cpu", age=60) == {}
    assert await listed(who, "h1", LIST_CTS, "tag:v m") == {"ct": ["v m"]}
    assert heard == [("cpu",)]
    for wrong in ("tag:", "tag:-x", "tag: x", f"tag:{'x' * 64}", "web"):
        assert (await who.error(LIST, 0, "h1", wrong)).data == {"parameter": "stats_argument"}


async def test_a_tag_is_renamed_everywhere_at_once(oms: Oms) -> None:
    await joined(oms, "h1", Guests({"a": 1}))
    await joined(oms, "h2", Guests({"b": 2}))
    who = await oms.as_operator()
    for place in (("h1",), ("h1", "a"), ("h2", "b")):
        await who.ask(ADD, 0, "old", *place)
    await who.ask(ADD, 0, "other", "h2")
    before = await bearers(who, "old")
    taken = await who.error(RENAME, 0, "old", "other")
    assert (taken.data, await bearers(who, "old")) == ({"reason": "tag_taken", "tag": "other"}, before)
    assert await who.ask(RENAME, 0, "old", "old") == 0
    assert await who.ask(RENAME, 0, "old", "new") == 0
    assert (await bearers(who, "old"), await bearers(who, "new")) == ([], before)
    assert await listed(who) == {"a": ["new"]}
    gone = await who.error(RENAME, 0, "old", "newer")
    assert gone.message == "There is no freeform tag 'old': tagservices.list_tags lists those there are"


@pytest.mark.parametrize("tag", ["KVM", "opennode", "physical", "x86_64", "debian 12", "kvm"])
async def test_what_oms_sets_nobody_gives_takes_or_renames(oms: Oms, tag: str) -> None:
    await joined(oms, "h1", Guests({"a": 1}))
    who = await oms.as_operator()
    await who.ask(ADD, 0, "mine", "h1")
    before = await who.ask("funcservices.list_signed", 0)
    for call in ((ADD, 0, tag, "h1"), (ADD, 0, tag, "h1", "a"), (REMOVE, 0, tag, "h1"), (RENAME, 0, "mine", tag),
                 (RENAME, 0, tag, "theirs")):  # fmt: skip
        assert (await who.error(*call)).data == {"reason": "reserved_tag", "tag": tag}, call
    assert await who.ask("funcservices.list_signed", 0) == before


async def test_the_type_of_hosts_is_changed_for_all_or_none(oms: Oms) -> None:
    for name in ("h1", "h2"):
        await oms.signed(name)
    admin = await oms.as_admin()

    async def types() -> list[str]:
        return [tag["tag"] for host in await admin.ask("funcservices.list_signed", 0) for tag in host["tags"][:1]]

    assert await types() == ["KVM", "KVM"]
    change = "tagservices.change_host_type"
    assert (
        await admin.ask(change, 0, [{"name": "h1", "type": "OpenNode"}, {"name": "h2", "type": "physical"}]) == 0
    )
    assert await types() == ["OpenNode", "physical"]
    assert (await admin.ask("funcservices.describe_host", 0, "h1"))["type"] == "OpenNode"
    wrong = await admin.error(change, 0, [{"name": "h1", "type": "KVM"}, {"name": "h2", "type": "kvm"}])
    assert (wrong.name, wrong.data) == ("UnknownHostException", {"unknown": ["kvm"]})
    assert "OpenNode, KVM, OpenVZ, physical" in wrong.message
    wrong = await admin.error(change, 0, [{"name": "h1", "type": "KVM"}, {"name": "h9", "type": "KVM"}])
    assert (wrong.name, wrong.data) == ("UnknownHostException", {"unknown": ["h9"]})
    assert await types() == ["OpenNode", "physical"]
    for value in ([], [{"name": "h1"}], [{"name": "h1", "type": "KVM", "more": 1}], {"name": "h1", "type": "KVM"}):
        assert (await admin.error(change, 0, value)).data == {"parameter": "hosts"}


async def test_who_may_what(oms: Oms) -> None:
    await oms.signed("h1")
    viewer, operator = await oms.as_viewer(), await oms.as_operator()
    for call in ((ADD, 0, "web", "h1"), (REMOVE, 0, "web", "h1"), (RENAME, 0, "web", "net")):
        assert (await viewer.error(*call)).name == "AuthError"
    refused = await operator.error("tagservices.change_host_type", 0, [{"name": "h1", "type": "KVM"}])
    assert refused.name == "AuthError"
    assert await operator.ask(ADD, 0, "web", "h1") == 0
    assert await bearers(viewer, "web") == [("host", "h1", "h1")]


async def test_a_tag_stays_with_a_machine_that_is_renamed_or_moved(oms: Oms) -> None:
    first, second = Guests({"a": 1, "stays": 2}), Guests({})
    await joined(oms, "h1", first)
    await joined(oms, "h2", second)
    who = await oms.as_operator()
    await who.ask(ADD, 0, "web", "h1", "a")
    first.machines = {"renamed": 1, "stays": 2}
    assert await listed(who) == {"renamed": ["web"], "stays": []}
    assert await bearers(who, "web") == [("kvm", "h1", "renamed")]
    second.machines = {"renamed": 1}
    assert await listed(who, "h2") == {"renamed": ["web"]}
    assert await bearers(who, "web") == [("kvm", "h1", "renamed")]  # a host cannot take what another still has
    first.machines = {"stays": 2}
    await listed(who, "h1")
    assert await bearers(who, "web") == []
    assert await listed(who, "h2") == {"renamed": ["web"]}
    assert await bearers(who, "web") == [("kvm", "h2", "renamed")]


async def test_a_machine_that_was_not_listed_for_a_week_is_forgotten(oms: Oms) -> None:
    has = Guests({"a": 1})
    await joined(oms, "h1", has)
    who = await oms.as_operator()
    await who.ask(ADD, 0, "web", "h1", "a")
    has.machines = {}
    assert await listed(who) == {}
    assert ("web", 3) not in {(t["tag"], t["level"]) for t in await who.ask("tagservices.list_tags", 0)}
    assert await oms.store.write(lambda tx: guests.forget_missing(tx, now() - 86_400)) == 0
    has.machines = {"a": 1}
    assert await listed(who) == {"a": ["web"]}
    has.machines = {}
    await listed(who)
    assert await oms.store.write(lambda tx: guests.forget_missing(tx, now() + 1)) == 1
    has.machines = {"a": 1}
    assert await listed(who) == {"a": []}


async def test_tags_are_gone_with_a_machine_that_was_deleted_and_no_others(oms: Oms) -> None:
    has = Guests({"a": 1, "b": 2}, {"101": "ct", "102": "a"})
    host = await joined(oms, "h1", has)
    host.does |= {kvm.DeleteVm: answering(0), ovz.DeleteVm: answering(0)}
    who = await oms.as_operator()
    for name, kind in (("a", "kvm"), ("b", ""), ("101", ""), ("102", "openvz")):
        await who.ask(ADD, 0, "web", "h1", name, kind)
    await who.ask("ovzservices.delete_vm", 0, "h1", "101")
    assert await bearers(who, "web") == [("kvm", "h1", "a"), ("openvz", "h1", "a"), ("kvm", "h1", "b")]
    await who.ask("kvmservices.delete_vm", 0, "h1", "a")
    assert await bearers(who, "web") == [("openvz", "h1", "a"), ("kvm", "h1", "b")]
    host.refuses["kvmservices.delete_vm"] = HypervisorUnavailable("It is away.")
    await who.error("kvmservices.delete_vm", 0, "h1", "b")
    assert ("kvm", "h1", "b") in await bearers(who, "web")


async def test_what_a_host_says_was_deleted_counts_by_its_uuid_and_for_its_own_machines_alone(oms: Oms) -> None:
    first = await joined(oms, "h1", Guests({"a": 1, "b": 2}))
    second = await joined(oms, "h2", Guests({"c": 3}))
    who = await oms.as_operator()
    for host, name in (("h1", "a"), ("h1", "b"), ("h2", "c")):
        await who.ask(ADD, 0, "web", host, name)

    async def deleting(host: HostDouble, name: str, number: int) -> None:
        """The answer comes from the records, so the job has ended by then."""

        async def delete(_op: Operation[Any]) -> int:
            (job,) = (key for key, state in host.journal.items() if state.state == "running")
            await host.tell(JobState(job, "done", result="0", notes={"uuid": uuid(number)}))
            return 0

        host.does[kvm.DeleteVm] = delete
        await who.ask("kvmservices.delete_vm", 0, host.name, name)

    await deleting(first, "a", 2)  # renamed meanwhile: what it was called counts nothing
    assert await bearers(who, "web") == [("kvm", "h1", "a"), ("kvm", "h2", "c")]
    await deleting(second, "x", 1)
    assert await bearers(who, "web") == [("kvm", "h1", "a"), ("kvm", "h2", "c")]


async def test_tags_are_gone_with_a_host(oms: Oms) -> None:
    host = await joined(oms, "h1", Guests({"a": 1}, {"101": "ct"}))
    who = await oms.as_admin()
    for place in (("h1",), ("h1", "a"), ("h1", "101")):
        await who.ask(ADD, 0, "web", *place)
    await who.ask("funcservices.remove_signed", 0, ["h1"])
    assert await who.ask("tagservices.list_tags", 0) == []

    def left(tx: sa.Connection) -> list[int]:
        return [
            tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (tables.tags, tables.guests, tables.guest_tags)
        ]

    assert await oms.store.read(left) == [0, 0, 0]
    assert host.id


async def test_what_moves_by_a_job_takes_its_tags_along(oms: Oms) -> None:
    first = await joined(oms, "h1", Guests({"a": 1}, {"101": "ct"}))
    second = await joined(oms, "h2", Guests({}, {}))
    who = await oms.as_operator()
    await who.ask(ADD, 0, "web", "h1", "a")
    await who.ask(ADD, 0, "web", "h1", "101")
    for method, target in (("kvmservices.migrate_vm", "a"), ("ovzservices.migrate_vm", "101")):
        job = Job(
            id="0" * 32, method=method, host_id=first.id, host="h1", target=target, owner="", same="",
            state="running", op='{"vm": "x", "server2_hostname": "h2"}', created=0, deadline=0,
        )  # fmt: skip
        await oms.store.write(lambda tx, job=job: guests.follow(tx, job, {}))  # type: ignore[misc]
    assert await bearers(who, "web") == [("kvm", "h2", "a"), ("openvz", "h2", "ct")]
    second.does |= {ovz.ListVms: Guests({}, {"101": "ct"}).list_containers}
    assert await listed(who, "h2", LIST_CTS) == {"ct": ["web"]}


async def test_a_container_that_is_made_anew_does_not_inherit_tags(oms: Oms) -> None:
    has = Guests({}, {"101": "ct"})
    host = await joined(oms, "h1", has)
    who = await oms.as_operator()
    await who.ask(ADD, 0, "web", "h1", "101")
    made = Job(
        id="0" * 32, method="ovzservices.deploy_template_for_vm", host_id=host.id, host="h1", target="ct",
        owner="", same="", state="running", op="{}", created=0, deadline=0,
    )  # fmt: skip
    await oms.store.write(lambda tx: guests.follow(tx, made, {"vm_id": "102"}))
    assert await listed(who, method=LIST_CTS) == {"ct": ["web"]}
    await oms.store.write(lambda tx: guests.follow(tx, made, {"vm_id": "101"}))
    assert await listed(who, method=LIST_CTS) == {"ct": []}


async def test_a_name_that_two_guests_have_is_asked_about(oms: Oms) -> None:
    await joined(oms, "h1", Guests({"101": 1}, {"101": "ct"}))
    who = await oms.as_operator()
    both = await who.error(ADD, 0, "web", "h1", "101")
    assert "Several guests on h1 are called '101'" in both.message
    assert await who.ask(ADD, 0, "web", "h1", "101", "openvz") == 0
    assert await bearers(who, "web") == [("openvz", "h1", "ct")]
    assert (await who.error(ADD, 0, "web", "h1", "nobody")).data["reason"] == "not_there"
    assert (await who.error(ADD, 0, "web", "h9")).data["reason"] == "host_unavailable"
    assert (await who.error(ADD, 0, "web", "h1", "101", "vmware")).data == {"parameter": "vm_type"}


async def test_an_id_comes_before_a_name_that_looks_like_it(oms: Oms) -> None:
    await joined(oms, "h1", Guests({uuid(2): 1, "b": 2}, {"101": "102", "102": "ct"}))
    who = await oms.as_operator()
    for name in (uuid(2), "102"):
        await who.ask(ADD, 0, "web", "h1", name)
    assert await bearers(who, "web") == [("kvm", "h1", "b"), ("openvz", "h1", "ct")]


async def test_a_host_does_not_get_anothers_machine_by_saying_that_it_has_it(oms: Oms) -> None:
    await joined(oms, "h1", Guests({"a": 1}))
    await joined(oms, "h2", Guests({"mine": 1}))
    who = await oms.as_operator()
    await who.ask(ADD, 0, "web", "h1", "a")
    await who.ask(ADD, 0, "db", "h2", "mine")
    assert await bearers(who, "db") == await bearers(who, "web") == [("kvm", "h1", "a")]


async def test_there_is_an_end_to_tags(oms: Oms, monkeypatch: pytest.MonkeyPatch) -> None:
    await joined(oms, "h1", Guests({"a": 1}))
    who = await oms.as_operator()
    for number in range(rules.MOST_OF_ONE):
        await who.ask(ADD, 0, f"t{number}", "h1")
    assert (await who.error(ADD, 0, "more", "h1")).data["reason"] == "too_many_tags"
    assert await who.ask(ADD, 0, "t1", "h1") == 0
    monkeypatch.setattr(rules, "MOST_IN_ALL", rules.MOST_OF_ONE)
    assert (await who.error(ADD, 0, "more", "h1", "a")).data["reason"] == "too_many_tags"
    assert await who.ask(ADD, 0, "t1", "h1", "a") == 0


async def test_a_tag_that_oms_finds_later_does_not_take_peoples_away(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await joined(oms, "h1", Guests({}))
    who = await oms.as_operator()
    await who.ask(ADD, 0, "arch linux", "h1")
    await host.tell_facts(msgspec.structs.replace(BOTH, distribution="arch linux"))

    async def changed() -> bool:
        (found,) = await who.ask("funcservices.list_signed", 0)
        return "debian 12" not in {tag["tag"] for tag in found["tags"]}

    await eventually(changed)
    (found,) = await who.ask("funcservices.list_signed", 0, "arch linux")
    assert {"tag": "arch linux", "level": 3} in found["tags"]
    monkeypatch.setattr(double, "FACTS", msgspec.structs.replace(BOTH, distribution="arch linux"))
    await joined(oms, "h2", Guests({}))
    assert (await who.error(ADD, 0, "arch linux", "h2")).data["reason"] == "reserved_tag"
    assert await who.ask(REMOVE, 0, "arch linux", "h1") == 0
    assert (await who.error(REMOVE, 0, "arch linux", "h2")).data["reason"] == "reserved_tag"


async def test_ten_thousand_guests_are_joined_with_their_tags_by_one_question(oms: Oms) -> None:
    """Beside one that looks whether anything is tagged at all."""
    count = 10_000
    has = Guests({f"vm{number}": number for number in range(count)})
    host = await joined(oms, "h1", has)
    who = await oms.as_operator()

    def tag_all(tx: sa.Connection) -> None:
        rows = [
            {"id": uuid(n), "kind": "kvm", "host_id": host.id, "name": f"vm{n}", "missing": 0}
            for n in range(count)
        ]
        tx.execute(sa.insert(tables.guests), rows)
        tx.execute(sa.insert(tables.guest_tags), [{"guest": row["id"], "tag": "web"} for row in rows])

    await oms.store.write(tag_all)
    asked: list[str] = []
    sa.event.listen(oms.store._engine, "before_cursor_execute", lambda *event: asked.append(event[2]))
    found = await listed(who)
    assert len(found) == count
    assert set(map(tuple, found.values())) == {("web",)}
    assert len([question for question in asked if "guest_tags" in question]) == 1
