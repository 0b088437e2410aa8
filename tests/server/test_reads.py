"""Reads of hosts: shared between those who ask alike, recorded for those who accept it, dropped by changes."""

import asyncio
import itertools
from typing import Any

import pytest
from msgspec import Raw

from oms.contract.errors import FuncManError, HostBusy
from oms.contract.kvm import ListVms, ListVmsStatus, Machine, MachineStats, StopVm, UpdateVmSettings
from oms.server.reads import Key, Reads, Recorded
from tests.server import clock as clocks
from tests.server.double import Handler
from tests.server.rig import Oms, Person, answering
from tests.waiting import eventually

KEY: Key = ("1" * 32, "kvmservices.list_vms", b"[]")
OTHER: Key = ("2" * 32, "kvmservices.list_vms", b"[]")


class Host:
    """Answers 1, 2, 3 …; each answer waits until it is let go."""

    def __init__(self) -> None:
        self.asked = 0
        self.let = asyncio.Semaphore(0)

    async def ask(self) -> Raw:
        self.asked += 1
        mine = self.asked
        await self.let.acquire()
        return Raw(str(mine).encode())

    def answer(self, questions: int = 1) -> None:
        for _ in range(questions):
            self.let.release()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def asking(reads: Reads, host: Host, key: Key = KEY) -> asyncio.Task[int]:
    async def ask() -> int:
        return int(bytes((await reads.ask(key, host.ask)).answer))

    return asyncio.create_task(ask())


async def test_however_many_ask_the_same_at_most_two_questions_are_asked() -> None:
    reads, host = Reads(), Host()
    first = asking(reads, host)
    await settle()
    later = [asking(reads, host) for _ in range(100)]
    await settle()
    assert host.asked == 1
    host.answer(2)
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 100
    assert host.asked == 2


async def test_nobody_gets_the_answer_to_a_question_that_was_begun_before_he_asked() -> None:
    reads, host = Reads(), Host()
    tasks = [asking(reads, host)]
    await settle()
    tasks.append(asking(reads, host))  # while the first question runs: gets the second
    await settle()
    host.answer()
    await settle()
    assert host.asked == 2
    tasks.append(asking(reads, host))  # while the second runs: gets the third
    await settle()
    host.answer()
    await settle()
    assert host.asked == 3
    host.answer()
    assert await asyncio.gather(*tasks) == [1, 2, 3]
    host.answer()
    assert await asking(reads, host) == 4


async def test_who_asks_between_two_questions_shares_the_one_that_has_not_begun() -> None:
    reads, host = Reads(), Host()
    first, second = asking(reads, host), asking(reads, host)
    await settle()
    host.answer()
    await first  # has ended; the second question may not have begun yet
    third = asking(reads, host)
    await settle()
    host.answer(2)
    answers = await asyncio.gather(second, third)
    assert answers[0] == 2
    assert answers[1] in (2, 3)
    assert not reads._questions


async def test_an_asker_who_leaves_takes_the_answer_from_nobody() -> None:
    reads, host = Reads(), Host()
    first, second = asking(reads, host), asking(reads, host)
    await settle()
    leaving = asking(reads, host)
    await settle()
    leaving.cancel()
    first.cancel()
    await settle()
    host.answer(2)
    assert await second == 2


async def test_a_failure_is_told_to_all_who_shared_the_question_and_to_nobody_later() -> None:
    reads, host = Reads(), Host()

    async def broken() -> Raw:
        raise FuncManError("It broke.")

    results = await asyncio.gather(*(reads.ask(KEY, broken) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [FuncManError] * 5
    host.answer()
    assert await asking(reads, host) == 1
    assert reads.recorded(KEY, 60) is not None


async def test_a_failure_is_not_recorded() -> None:
    reads = Reads()

    async def broken() -> Raw:
        raise FuncManError("It broke.")

    with pytest.raises(FuncManError):
        await reads.ask(KEY, broken)
    assert reads.recorded(KEY, 60) is None


async def test_an_answer_is_recorded_for_as_long_as_each_caller_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = clocks.put(monkeypatch, "oms.server.reads")
    reads, host = Reads(), Host()
    host.answer()
    await asking(reads, host)
    clock.pass_(10)
    assert reads.recorded(KEY, 9) is None
    recorded = reads.recorded(KEY, 10)
    assert recorded is not None
    assert bytes(recorded.answer) == b"1"
    assert reads.recorded(KEY, 0) is None
    assert reads.recorded(OTHER, 10) is None


async def test_a_change_drops_what_is_recorded_of_its_host_and_of_no_other() -> None:
    reads, host = Reads(), Host()
    host.answer(2)
    await asking(reads, host)
    await asking(reads, host, OTHER)
    reads.changed(KEY[0])
    assert reads.recorded(KEY, 60) is None
    assert reads.recorded(OTHER, 60) is not None


async def test_an_answer_that_was_on_its_way_while_something_changed_is_given_but_not_recorded() -> None:
    reads, host = Reads(), Host()
    task = asking(reads, host)
    await settle()
    reads.changed(KEY[0])
    host.answer()
    assert await task == 1
    assert reads.recorded(KEY, 60) is None


async def test_what_is_recorded_is_bounded_and_the_oldest_goes_first() -> None:
    reads, host = Reads(most_bytes=5 * 450), Host()
    host.answer(100)
    keys: list[Key] = [(KEY[0], KEY[1], str(number).encode()) for number in range(20)]
    for key in keys:
        await asking(reads, host, key)
    kept = [key for key in keys if reads.recorded(key, 60)]
    assert kept == keys[-5:]
    assert reads._bytes <= 5 * 450


async def test_an_answer_larger_than_all_the_room_is_given_and_not_kept() -> None:
    reads = Reads(most_bytes=1000)

    async def large() -> Raw:
        return Raw(b'"' + b"x" * 2000 + b'"')

    assert len(bytes((await reads.ask(KEY, large)).answer)) == 2002
    assert reads.recorded(KEY, 60) is None
    assert reads._bytes == 0


async def test_a_host_is_asked_so_many_questions_at_once_and_the_rest_wait_their_turn() -> None:
    reads, host = Reads(lane=2), Host()
    tasks = [asking(reads, host, (KEY[0], KEY[1], bytes([number]))) for number in range(5)]
    await settle()
    assert host.asked == 2
    host.answer()
    await settle()
    assert host.asked == 3
    host.answer(4)
    assert sorted(await asyncio.gather(*tasks)) == [1, 2, 3, 4, 5]


async def test_a_hung_host_is_busy_once_enough_wait_and_holds_up_no_other() -> None:
    reads, hung, good = Reads(lane=2, waiting=4), Host(), Host()
    tasks = [asking(reads, hung, (KEY[0], KEY[1], bytes([number]))) for number in range(4)]
    await settle()
    with pytest.raises(HostBusy):
        await asking(reads, hung, (KEY[0], KEY[1], b"one more"))
    good.answer()
    assert await asyncio.wait_for(asking(reads, good, OTHER), 30) == 1
    hung.answer(4)
    await asyncio.gather(*tasks)
    hung.answer()
    assert await asking(reads, hung)  # and it is not busy for ever


# --- over the wire


def machine(name: str) -> Machine:
    return Machine(1, [], MachineStats(), name, name)


async def names(person: Person, cache_timeout: int, host: str = "h1") -> tuple[str, list[str]]:
    answer = await person.answer("kvmservices.list_vms", cache_timeout, host)
    return answer["type"], [vm["name"] for vm in answer["result"]["result"]]


def counting() -> Handler:
    asked = 0

    async def answer(_op: object) -> list[Machine]:
        nonlocal asked
        asked += 1
        return [machine(f"vm{asked}")]

    return answer


async def test_a_recorded_answer_says_so_and_of_when_it_is(oms: Oms) -> None:
    host = await oms.sign_in_host("h1", {ListVms: counting()})
    viewer = await oms.as_viewer()
    first = await viewer.answer("kvmservices.list_vms", 60, "h1")
    second = await viewer.answer("kvmservices.list_vms", 60, "h1", by="GET")
    assert (first["type"], second["type"]) == ("func", "tmp_cache")
    assert second["result"] == first["result"]
    assert second["as_of"] == first["as_of"]
    third = await viewer.answer("kvmservices.list_vms", 0, "h1")
    assert (third["type"], third["result"]["result"][0]["name"]) == ("func", "vm2")
    assert third["as_of"] >= second["as_of"]
    assert host.done == {"list_vms": 2}


async def test_what_is_recorded_is_told_apart_by_host_and_parameters(oms: Oms) -> None:
    for name in ("h1", "h2"):
        await oms.sign_in_host(name, {ListVms: counting()})
    viewer = await oms.as_viewer()
    for cached in ("func", "tmp_cache"):
        for call in (("h1",), ("h2",), ("h1", "cpu"), ("h1", "memory")):
            assert (await viewer.answer("kvmservices.list_vms", 60, *call))["type"] == cached


async def test_a_change_through_oms_drops_what_was_recorded_of_that_host(oms: Oms) -> None:
    for name in ("h1", "h2"):
        await oms.sign_in_host(name, {ListVms: counting(), StopVm: answering(0)})
    operator = await oms.as_operator()
    for name in ("h1", "h2"):
        await names(operator, 60, name)
    await operator.ask("kvmservices.stop_vm", 0, "h1", "vm1")
    assert await names(operator, 60, "h1") == ("func", ["vm2"])
    assert await names(operator, 60, "h2") == ("tmp_cache", ["vm1"])


async def test_nothing_that_was_read_during_a_change_outlives_it(oms: Oms) -> None:
    gate = asyncio.Event()

    async def slowly(_op: object) -> int:
        await gate.wait()
        return 0

    await oms.sign_in_host("h1", {ListVms: counting(), StopVm: slowly})
    operator = await oms.as_operator()
    stopping = asyncio.create_task(operator.ask("kvmservices.stop_vm", 0, "h1", "vm1"))
    await eventually(oms.changes_sent)
    await names(operator, 60)  # recorded while the machine is being stopped
    gate.set()
    await stopping
    assert (await names(operator, 60))[0] == "func"


async def test_a_host_that_comes_back_is_asked_anew(oms: Oms) -> None:
    host = await oms.sign_in_host("h1", {ListVms: counting()})
    viewer = await oms.as_viewer()
    await names(viewer, 60)
    oms.bus.disconnect(host.id)
    oms.bus.reconnect(host.id)
    assert (await names(viewer, 60))[0] == "func"


async def test_a_recorded_answer_is_given_to_nobody_whose_role_does_not_allow_the_call(oms: Oms) -> None:
    await oms.sign_in_host("h1", {ListVms: counting()})
    await names(await oms.as_admin(), 60)
    answer = await oms.call("kvmservices.list_vms", "A" * 40, 60, "h1")
    assert answer["error"]["name"] == "AuthError"


async def test_a_change_is_never_answered_from_what_was_recorded(oms: Oms) -> None:
    host = await oms.sign_in_host("h1", {UpdateVmSettings: answering({})})
    operator = await oms.as_operator()
    for _ in range(2):
        await operator.ask("kvmservices.update_vm_settings", 10_000, "h1", "vm1", {"vcpu": 2})
    assert host.done == {"update_vm_settings": 2}


async def test_a_hundred_who_list_at_once_cost_the_host_two_questions(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, ask, came = asyncio.Event(), Reads.ask, itertools.count(1)
    hundredth = asyncio.Event()

    async def counted(reads: Reads, *about: Any) -> Recorded:
        if next(came) == 100:
            hundredth.set()
        return await ask(reads, *about)

    monkeypatch.setattr(Reads, "ask", counted)

    async def slowly(_op: object) -> list[Machine]:
        await gate.wait()
        return [machine("vm1")]

    host = await oms.sign_in_host("h1", {ListVms: slowly})
    viewer = await oms.as_viewer()
    asking_ = [asyncio.create_task(names(viewer, 0)) for _ in range(100)]
    await hundredth.wait()
    gate.set()
    assert await asyncio.gather(*asking_) == [("func", ["vm1"])] * 100
    assert host.done == {"list_vms": 2}


async def test_a_host_that_hangs_holds_up_neither_another_nor_the_changes_of_its_own(oms: Oms) -> None:
    hung = await oms.sign_in_double("h1", {StopVm: answering(0)})
    hung.deaf.add("kvmservices.list_vms")
    await oms.sign_in_host("h2", {ListVms: counting()})
    viewer, operator = await oms.as_viewer(), await oms.as_operator()
    waiting = [asyncio.create_task(names(viewer, 0, "h1")) for _ in range(50)]
    await eventually(lambda: hung.asked["kvmservices.list_vms"])
    assert await asyncio.wait_for(names(viewer, 0, "h2"), 30) == ("func", ["vm1"])
    assert await asyncio.wait_for(operator.ask("kvmservices.stop_vm", 0, "h1", "vm1"), 30)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_an_answer_of_another_shape_is_the_hosts_failure_and_not_ours(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", {ListVmsStatus: answering({})})
    viewer = await oms.as_viewer()
    deep, broken = b'{"result":' + b"[" * 5000, b'{"result":"\xff"}'
    for nonsense in (b"", b"null", b"[]", b'{"result": 7}', b"\xff", b"{}", deep, broken):
        host.says["kvmservices.list_vms"] = nonsense
        error = await viewer.error("kvmservices.list_vms", 60, "h1")
        assert error.name == "FuncManError"
        assert "not understood" in error.message
    assert await viewer.ask("kvmservices.list_vms_status", 0, "h1") == {"client": "h1", "result": {}}
