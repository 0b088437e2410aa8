"""Changes of hosts are jobs: written down first, done at most once, and told as what they are."""

import asyncio
from typing import Any

import msgspec
import pytest

from oms.contract.errors import FuncManError, HostBusy, NoSuchMachine, NotSupported, pack
from oms.contract.internal import JobState
from oms.contract.kvm import StartVm, StopVm, UpdateVmSettings
from oms.contract.netinterface import DeleteBridge
from oms.contract.operation import Operation
from oms.server import jobs as server_jobs
from oms.server.store import jobs, now
from oms.server.store.jobs import Job
from tests.server import clock as clocks
from tests.server.double import Does, HostDouble
from tests.server.rig import Oms, Person, answering
from tests.server.rosters import joined, line
from tests.waiting import eventually

STOP = "kvmservices.stop_vm"


def hurry(monkeypatch: pytest.MonkeyPatch, kind: type[Operation[Any]], seconds: float) -> None:
    """Callers of the operation wait no longer than that, and it is not begun later than that."""
    monkeypatch.setattr(kind, "facts", msgspec.structs.replace(kind.facts, timeout=seconds))


async def stored(oms: Oms) -> list[Job]:
    return await oms.store.read(lambda tx: jobs.newest(tx, "", "", 100))


async def state_of(oms: Oms, job: str) -> Job:
    found = await oms.store.read(lambda tx: jobs.by_id(tx, job))
    assert found is not None
    return found


async def until(oms: Oms, job: str, *states: str) -> Job:
    """The job once it is in one of the states."""
    async with asyncio.timeout(60):
        while (found := await state_of(oms, job)).state not in states:  # noqa: ASYNC110 - the database is asked
            await asyncio.sleep(0.005)
    return found


async def open_job(oms: Oms, person: Person, host: HostDouble, *, method: str = STOP, vm: str = "vm1") -> str:
    """A job that its host has written down and does not begin; nobody waits for it."""
    host.queue_open.clear()
    waiting = asyncio.create_task(person.ask(method, 0, host.name, vm))
    before = set(host.journal)
    await eventually(lambda: set(host.journal) - before)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    [job] = set(host.journal) - before
    return job


def stopping() -> Does:
    return {StopVm: answering(0), StartVm: answering(0), UpdateVmSettings: answering({})}


# --- the way of a job


async def test_a_change_is_a_job_with_an_owner_and_an_outcome(oms: Oms) -> None:
    await oms.sign_in_host("h1", stopping())
    operator = await oms.as_operator()
    before = now()
    assert await operator.ask(STOP, 0, "h1", "vm1") == {"client": "h1", "result": 0}
    [job] = await stored(oms)
    assert (job.method, job.host, job.target, job.owner, job.state) == (STOP, "h1", "vm1", "operator", "done")
    assert (job.result, job.error, job.progress) == ("0", "", 100)
    assert before - 1 <= job.created <= job.started <= job.finished <= now() + 1
    assert job.deadline == pytest.approx(job.created + StopVm.facts.timeout)
    assert job.op == ""  # it may have held a password


async def test_a_change_is_on_disk_before_anything_is_sent(oms: Oms) -> None:
    host = await oms.sign_in_host("h1", stopping())
    seen: list[list[str]] = []
    request = oms.bus.server.request

    async def looked_at(host_id: str, verb: str, payload: bytes, timeout: float, **more: bool) -> bytes:
        if verb == STOP:
            seen.append([f"{job.id} {job.state}" for job in await stored(oms)])
            assert msgspec.json.decode(payload)["id"] in seen[-1][0]
        return await request(host_id, verb, payload, timeout, **more)

    oms.bus.server.request = looked_at  # type: ignore[method-assign]
    await (await oms.as_operator()).ask(STOP, 0, "h1", "vm1")
    [[line]] = seen
    assert line.endswith(" queued")
    assert host.done == {"stop_vm": 1}


async def test_the_same_call_twice_is_one_job_with_one_effect(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    host.queue_open.clear()
    people = [await oms.as_operator(), await oms.as_admin()]
    calls = [
        asyncio.create_task(person.ask(STOP, 0, "h1", "vm1", by=by)) for person in people for by in ("GET", "POST")
    ]
    await eventually(lambda: host.requests)
    other = asyncio.create_task(people[0].ask(STOP, 0, "h1", "vm2"))
    await eventually(lambda: len(host.requests) == 2)
    host.queue_open.set()
    assert await asyncio.gather(*calls) == [{"client": "h1", "result": 0}] * 4
    await other
    assert sorted(host.begun.values()) == [1, 1]
    assert sorted(job.target for job in await stored(oms)) == ["vm1", "vm2"]


async def test_the_same_call_after_the_end_is_another_job(oms: Oms) -> None:
    host = await oms.sign_in_host("h1", stopping())
    operator = await oms.as_operator()
    for _ in range(2):
        await operator.ask(STOP, 0, "h1", "vm1")
    assert host.done == {"stop_vm": 2}
    assert len(await stored(oms)) == 2


async def test_other_settings_are_another_job(oms: Oms) -> None:
    host = await oms.sign_in_host("h1", stopping())
    operator = await oms.as_operator()
    method = "kvmservices.update_vm_settings"
    await asyncio.gather(*(operator.ask(method, 0, "h1", "vm1", {"vcpu": number}) for number in (1, 2)))
    assert host.done == {"update_vm_settings": 2}


@pytest.mark.parametrize("honest", [True, False])
async def test_a_named_failure_of_the_host_reaches_the_caller_and_the_record(oms: Oms, honest: bool) -> None:
    async def missing(_op: object) -> int:
        raise NoSuchMachine("There is no machine vm9.", name="vm9")

    does: Does = {StopVm: missing}
    await (oms.sign_in_host("h1", does) if honest else oms.sign_in_double("h1", does))
    error = await (await oms.as_operator()).error(STOP, 0, "h1", "vm9")
    assert (error.name, error.message) == ("FuncManError", "There is no machine vm9.")
    assert error.data == {"reason": "no_such_machine", "name": "vm9"}
    [task] = await (await oms.as_viewer()).ask("taskservices.list_tasks", 0)
    assert (task["state"], task["error"]["name"]) == ("failed", "FuncManError")
    assert task["error"]["message"] == "There is no machine vm9."


async def test_a_job_that_takes_longer_than_the_caller_waits_is_found_by_its_id(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch, StopVm, 2)  # in which the host has begun it
    gate = asyncio.Event()

    async def slowly(_op: object) -> int:
        await gate.wait()
        return 0

    host = await oms.sign_in_host("h1", {StopVm: slowly})
    operator = await oms.as_operator()
    error = await operator.error(STOP, 0, "h1", "vm1")
    assert error.name == "FuncMethodTimeoutError"
    job = error.data["job"]
    assert job in error.message
    assert (await operator.ask("taskservices.get_task", 0, job))["state"] == "running"
    again = asyncio.create_task(operator.ask(STOP, 0, "h1", "vm1"))
    waiting = asyncio.create_task(operator.ask("taskservices.wait_task", 0, job, 60))
    await asyncio.sleep(0.02)
    gate.set()
    assert await again == {"client": "h1", "result": 0}
    assert (await waiting)["state"] == "done"
    assert host.done == {"stop_vm": 1}
    assert [line.get("job") for line in oms.audited() if line["method"] == STOP] == [job, job]


async def test_waiting_for_a_task_ends_with_the_seconds(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    operator = await oms.as_operator()
    job = await open_job(oms, operator, host)
    assert (await operator.ask("taskservices.wait_task", 0, job, 0))["state"] in ("queued", "sent")


async def test_all_who_wait_for_a_job_hear_of_its_end(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    operator = await oms.as_operator()
    job = await open_job(oms, operator, host)
    waiting = [asyncio.create_task(operator.ask("taskservices.wait_task", 0, job, 60)) for _ in range(50)]
    await asyncio.sleep(0.05)
    host.queue_open.set()
    late = [asyncio.create_task(operator.ask("taskservices.wait_task", 0, job, 60)) for _ in range(50)]
    answers = await asyncio.wait_for(asyncio.gather(*waiting, *late), 30)
    assert {answer["state"] for answer in answers} == {"done"}


async def test_who_finds_the_end_written_down_wakes_who_began_to_wait_before(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    operator = await oms.as_operator()
    job = await open_job(oms, operator, host)
    first = asyncio.create_task(operator.ask("taskservices.wait_task", 0, job, 60))
    await asyncio.sleep(0.05)
    # The end stands in the database, and the word of it has not come round yet: the moment between the two.
    await oms.store.write(lambda tx: jobs.change(tx, job, state="done", result="0"))
    assert (await operator.ask("taskservices.wait_task", 0, job, 60))["state"] == "done"
    assert (await asyncio.wait_for(first, 30))["state"] == "done"


# --- what gets lost


async def test_an_end_whose_event_was_lost_is_asked_for(impatient: None, oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    host.tells = False
    answer = await (await oms.as_operator()).ask(STOP, 0, "h1", "vm1")
    assert answer == {"client": "h1", "result": 0}
    assert host.asked["agent.ask_jobs"] >= 1


async def test_a_delivery_whose_answer_was_lost_is_neither_failed_nor_repeated(impatient: None, oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    host.mute.add(STOP)
    assert await (await oms.as_operator()).ask(STOP, 0, "h1", "vm1") == {"client": "h1", "result": 0}
    assert list(host.begun.values()) == [1]


async def test_a_delivery_that_was_lost_on_its_way_is_sent_again_under_the_same_id(
    impatient: None, oms: Oms
) -> None:
    host = await oms.sign_in_double("h1", stopping())
    host.deaf.add(STOP)
    asking = asyncio.create_task((await oms.as_operator()).ask(STOP, 0, "h1", "vm1"))
    await eventually(lambda: host.asked[STOP])
    host.deaf.clear()
    assert await asking == {"client": "h1", "result": 0}
    [job] = await stored(oms)
    assert {request.id for request in host.requests} == {job.id}
    assert host.begun == {job.id: 1}


async def test_a_job_that_never_reached_its_host_expires_and_was_not_done(
    impatient: None, oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch, StopVm, 0.3)
    host = await oms.sign_in_double("h1", stopping())
    host.deaf.add(STOP)
    operator = await oms.as_operator()
    error = await operator.error(STOP, 0, "h1", "vm1")
    job = await until(oms, error.data.get("job") or (await stored(oms))[0].id, "failed")
    failure = job.failure()
    assert failure is not None
    assert failure.kind == "JobExpired"
    assert not host.begun
    asked = host.asked[STOP]
    await asyncio.sleep(0.1)
    assert host.asked[STOP] == asked  # and it is not sent any more


async def test_a_host_that_is_away_at_the_first_delivery_was_not_changed(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    operator = await oms.as_operator()
    request = oms.bus.server.request

    async def leaving(host_id: str, verb: str, payload: bytes, timeout: float, **more: bool) -> bytes:
        if verb == STOP:
            oms.bus.disconnect(host.id)
        return await request(host_id, verb, payload, timeout, **more)

    oms.bus.server.request = leaving  # type: ignore[method-assign]
    error = await operator.error(STOP, 0, "h1", "vm1")
    assert (error.name, error.data["reason"]) == ("FuncManError", "host_unavailable")
    [job] = await stored(oms)
    assert job.state == "failed"
    oms.bus.reconnect(host.id)
    await eventually(lambda: len(host.greetings) == 2)
    await asyncio.sleep(0.05)
    assert not host.requests


async def test_no_job_is_written_for_a_host_that_is_known_to_be_away(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    oms.bus.disconnect(host.id)
    error = await (await oms.as_operator()).error(STOP, 0, "h1", "vm1")
    assert error.data["reason"] == "host_unavailable"
    assert await stored(oms) == []


@pytest.mark.parametrize("refusal", [HostBusy("Too much."), NotSupported("Too old."), FuncManError("No disk.")])
async def test_what_the_host_refuses_at_once_has_failed_with_its_words(oms: Oms, refusal: FuncManError) -> None:
    host = await oms.sign_in_double("h1", stopping())
    host.refuses[STOP] = refusal
    error = await (await oms.as_operator()).error(STOP, 0, "h1", "vm1")
    assert error.message == refusal.message
    assert [job.state for job in await stored(oms)] == ["failed"]


async def test_a_refusal_after_an_attempt_that_was_not_answered_proves_nothing(impatient: None, oms: Oms) -> None:
    """The first copy is still on its way when the second is refused: it may be done yet."""
    host = await oms.sign_in_double("h1", stopping())
    host.deaf.add(STOP)
    asking = asyncio.create_task((await oms.as_operator()).ask(STOP, 0, "h1", "vm1"))
    await eventually(lambda: host.asked[STOP])
    host.refuses[STOP] = HostBusy("Too much.")
    host.deaf.clear()
    await eventually(lambda: host.asked[STOP] > 3)
    assert [job.state for job in await stored(oms)] == ["queued"]
    host.refuses.clear()
    assert await asking == {"client": "h1", "result": 0}


@pytest.mark.parametrize("nonsense", [b"", b"null", b'{"result": 7}', b'{"result":{"id":"\xff"}}'])
async def test_an_answer_that_is_not_understood_is_no_proof_that_nothing_happened(
    impatient: None, oms: Oms, nonsense: bytes
) -> None:
    host = await oms.sign_in_double("h1", stopping())
    host.journal_first = True
    host.says[STOP] = nonsense
    assert await (await oms.as_operator()).ask(STOP, 0, "h1", "vm1") == {"client": "h1", "result": 0}
    assert [job.state for job in await stored(oms)] == ["done"]


async def test_an_answer_that_is_not_understood_to_what_was_not_begun_is_a_failure(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    host.says[STOP] = b"null"
    error = await (await oms.as_operator()).error(STOP, 0, "h1", "vm1")
    assert "not understood" in error.message
    assert not host.begun


@pytest.mark.parametrize("written", [True, False])
async def test_a_host_that_lost_its_journal_is_not_made_to_do_a_thing_twice(
    impatient: None, oms: Oms, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    monkeypatch.setattr(server_jobs, "NEWS_SECONDS", 0 if written else 60)
    host = await oms.sign_in_double("h1", stopping())
    job = await open_job(oms, await oms.as_operator(), host)
    if written:
        await until(oms, job, "sent")
    host.journal.clear()
    ended = await until(oms, job, "failed")
    failure = ended.failure()
    assert failure is not None
    assert failure.kind == "JobInterrupted"
    assert len(host.requests) == 1


# --- restarts


@pytest.mark.parametrize("honest", [True, False])
async def test_a_restarted_server_learns_how_its_open_jobs_ended(oms: Oms, honest: bool) -> None:
    gate = asyncio.Event()

    async def slowly(_op: object) -> int:
        await gate.wait()
        return 0

    does: Does = {StopVm: slowly}
    host = await (oms.sign_in_host("h1", does) if honest else oms.sign_in_double("h1", does))
    asking = asyncio.create_task((await oms.as_operator()).ask(STOP, 0, "h1", "vm1"))
    await eventually(oms.changes_sent)
    job = (await stored(oms))[0].id
    await until(oms, job, "running")
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await oms.stop()
    gate.set()
    await asyncio.sleep(0.05)  # it ends while nobody listens
    await oms.start()
    ended = await until(oms, job, "done")
    assert ended.result == "0"
    viewer = await oms.as_viewer()
    assert (await viewer.ask("taskservices.get_task", 0, job))["state"] == "done"
    assert len([verb for _, verb in oms.changes_sent() if verb == STOP]) == 1
    assert host.name == "h1"


def written(host: HostDouble, created: float) -> Job:
    """A job as it stands in the database before it is sent."""
    return Job(
        id="a" * 32,
        method=STOP,
        host_id=host.id,
        host=host.name,
        target="vm1",
        owner="operator",
        same="s",
        op='{"kvm_vm_name":"vm1"}',
        state="queued",
        created=created,
        deadline=created + 60,
    )


async def test_a_job_that_was_written_and_not_sent_before_a_crash_is_sent_by_the_next_start(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    job = written(host, now())
    await oms.store.write(lambda tx: jobs.begin(tx, job, 10))
    await oms.restart()
    assert (await until(oms, job.id, "done")).result == "0"
    assert host.begun == {job.id: 1}


async def test_a_job_that_was_written_long_ago_and_not_sent_expires_at_the_greeting(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    job = written(host, now() - 3600)
    await oms.store.write(lambda tx: jobs.begin(tx, job, 10))
    await oms.restart()
    failure = (await until(oms, job.id, "failed")).failure()
    assert failure is not None
    assert failure.kind == "JobExpired"
    assert not host.requests


async def test_a_host_that_comes_back_tells_what_it_did_while_it_was_away(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    operator = await oms.as_operator()
    job = await open_job(oms, operator, host)
    oms.bus.disconnect(host.id)
    host.queue_open.set()
    await eventually(lambda: host.journal[job].state == "done")
    assert (await state_of(oms, job)).state != "done"
    oms.bus.reconnect(host.id)
    await until(oms, job, "done")


async def test_open_jobs_are_asked_for_though_the_servers_clock_was_set_back(
    impatient: None, oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await oms.sign_in_double("h1", stopping())
    job = await open_job(oms, await oms.as_operator(), host)
    clocks.put(monkeypatch, "oms.server.store.moments").set_back(86_400)
    host.tells = False
    host.queue_open.set()
    await until(oms, job, "done")


# --- cancelling, and hosts that go


@pytest.mark.parametrize("by", ["GET", "POST"])
async def test_a_job_that_has_not_begun_can_be_cancelled(oms: Oms, by: str) -> None:
    host = await oms.sign_in_double("h1", stopping())
    operator = await oms.as_operator()
    job = await open_job(oms, operator, host)
    waiting = asyncio.create_task(operator.error(STOP, 0, "h1", "vm1"))  # the same call: the same job
    await asyncio.sleep(0.02)
    task = await operator.ask("taskservices.cancel_task", 0, job, by=by)
    assert task["state"] == "cancelled"
    assert (await waiting).data["reason"] == "cancelled"
    host.queue_open.set()
    await asyncio.sleep(0.02)
    assert not host.begun


async def test_what_only_an_administrator_may_change_only_he_cancels(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", {DeleteBridge: answering(0)})
    admin, operator = await oms.as_admin(), await oms.as_operator()
    job = await open_job(oms, admin, host, method="netinterfaceservices.delete_bridge", vm="vmbr1")
    assert (await operator.error("taskservices.cancel_task", 0, job)).name == "AuthError"
    assert (await admin.ask("taskservices.cancel_task", 0, job))["state"] == "cancelled"


async def test_a_job_that_has_begun_goes_on_to_its_end(oms: Oms) -> None:
    gate = asyncio.Event()

    async def slowly(_op: object) -> int:
        await gate.wait()
        return 0

    await oms.sign_in_host("h1", {StopVm: slowly})
    operator = await oms.as_operator()
    asking = asyncio.create_task(operator.ask(STOP, 0, "h1", "vm1"))
    await eventually(oms.changes_sent)
    job = (await stored(oms))[0].id
    await until(oms, job, "running")
    assert (await operator.ask("taskservices.cancel_task", 0, job))["state"] == "running"
    gate.set()
    assert await asking == {"client": "h1", "result": 0}
    assert (await operator.ask("taskservices.cancel_task", 0, job))["state"] == "done"


async def test_a_job_may_answer_its_caller_before_it_ends(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    operator = await oms.as_operator()
    job = await open_job(oms, operator, host)
    asking = asyncio.create_task(operator.ask(STOP, 0, "h1", "vm1"))  # the same call: the same job
    await asyncio.sleep(0.02)
    await host.tell(JobState(job, "running", progress=40, result="0", notes={"step": "copying"}, left=60))
    assert await asyncio.wait_for(asking, 30) == {"client": "h1", "result": 0}
    assert await operator.ask(STOP, 0, "h1", "vm1") == {"client": "h1", "result": 0}
    task = await operator.ask("taskservices.wait_task", 0, job, 1)
    assert (task["state"], task["progress"], task["notes"]) == ("running", 40, {"step": "copying"})
    assert task["started"] < task["eta"]
    await host.tell(JobState(job, "failed", error=pack(FuncManError("It broke later."))))
    task = await operator.ask("taskservices.wait_task", 0, job, 60)
    assert (task["state"], task["result"], task["eta"]) == ("failed", None, "")


async def test_an_early_answer_that_is_none_is_not_given(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    operator = await oms.as_operator()
    job = await open_job(oms, operator, host)
    await host.tell(JobState(job, "running", result='"no number"'))
    assert (await operator.ask("taskservices.wait_task", 0, job, 0))["result"] is None


async def test_cancelling_on_a_host_that_is_away_says_so_and_changes_nothing(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    operator = await oms.as_operator()
    job = await open_job(oms, operator, host)
    oms.bus.disconnect(host.id)
    error = await operator.error("taskservices.cancel_task", 0, job)
    assert error.data["reason"] == "host_unavailable"
    assert (await state_of(oms, job)).state in ("queued", "sent")


async def test_the_jobs_of_a_removed_host_end_and_say_that_nothing_is_known(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    admin = await oms.as_admin()
    job = await open_job(oms, admin, host)
    waiting = asyncio.create_task(admin.error(STOP, 0, "h1", "vm1"))
    await asyncio.sleep(0.02)
    await admin.ask("funcservices.remove_signed", 0, ["h1"])
    assert (await waiting).data["reason"] == "interrupted"
    assert (await state_of(oms, job)).state == "failed"


# --- hosts that lie


async def test_a_host_is_believed_about_its_own_jobs_alone(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    liar = await oms.sign_in_double("h2", stopping())
    job = await open_job(oms, await oms.as_operator(), host)
    await liar.tell(JobState(job, "done", result="0"))
    assert (await state_of(oms, job)).state != "done"


async def test_an_end_is_for_ever(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    await (await oms.as_operator()).ask(STOP, 0, "h1", "vm1")
    [job] = await stored(oms)
    for state in ("running", "failed", "done"):
        await host.tell(JobState(job.id, state, result="1", error=pack(FuncManError("No."))))
    assert await stored(oms) == [job]


@pytest.mark.parametrize(
    "result", ["", "null", '"x"', "0} , {", '0, "error": {}', "[" * 5000, '{"a": 1}', "0 0"], ids=repr
)
async def test_a_result_that_is_none_does_not_get_into_an_answer(oms: Oms, result: str) -> None:
    host = await oms.sign_in_double("h1", stopping())
    job = await open_job(oms, await oms.as_operator(), host)
    await host.tell(JobState(job, "done", result=result))
    ended = await state_of(oms, job)
    assert (ended.state, ended.result) == ("failed", "")
    viewer = await oms.as_viewer()
    assert "not understood" in (await viewer.ask("taskservices.get_task", 0, job))["error"]["message"]
    assert len(await viewer.ask("taskservices.list_tasks", 0)) == 1


@pytest.mark.parametrize("progress", [-(10**30), -1, 101, 2**63, 10**30])
async def test_progress_is_a_percentage_whatever_a_host_says(oms: Oms, progress: int) -> None:
    host = await oms.sign_in_double("h1", stopping())
    job = await open_job(oms, await oms.as_operator(), host)
    await host.tell(JobState(job, "running", progress=progress))
    running = await state_of(oms, job)
    assert running.state == "running"
    assert 0 <= running.progress <= 100


async def test_a_job_does_not_go_back_from_running_to_waiting(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    job = await open_job(oms, await oms.as_operator(), host)
    await host.tell(JobState(job, "running", progress=50))
    await host.tell(JobState(job, "queued"))
    assert (await state_of(oms, job)).state == "running"


async def test_a_failure_without_words_is_a_failure(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    job = await open_job(oms, await oms.as_operator(), host)
    await host.tell(JobState(job, "failed"))
    failure = (await state_of(oms, job)).failure()
    assert failure is not None
    assert (failure.kind, "not why" in failure.message) == ("FuncManError", True)


# --- how many


async def test_a_host_has_so_many_jobs_waiting_and_then_is_busy(oms: Oms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.server.jobs.MOST_UNFINISHED", 3)
    host = await oms.sign_in_double("h1", stopping())
    operator = await oms.as_operator()
    for number in range(3):
        await open_job(oms, operator, host, vm=f"vm{number}")
    error = await operator.error(STOP, 0, "h1", "vm9")
    assert error.data["reason"] == "host_busy"
    assert len(await stored(oms)) == len(host.journal) == 3
    waiting = asyncio.create_task(operator.ask(STOP, 0, "h1", "vm0"))  # one that runs already is no further one
    await asyncio.sleep(0.02)
    host.queue_open.set()
    assert await waiting == {"client": "h1", "result": 0}
    assert await operator.ask(STOP, 0, "h1", "vm9")


async def test_jobs_are_listed_the_newest_first_by_state_and_host(oms: Oms) -> None:
    first = await oms.sign_in_double("h1", stopping())
    second = await oms.sign_in_double("h2", stopping())
    operator, viewer = await oms.as_operator(), await oms.as_viewer()
    await operator.ask(STOP, 0, "h1", "vm1")
    await operator.ask("kvmservices.start_vm", 0, "h2", "vm2")
    waits = await open_job(oms, operator, second, vm="vm3")
    first.refuses[STOP] = HostBusy("No.")
    await operator.error(STOP, 0, "h1", "vm4")

    async def targets(*params: str) -> list[str]:
        return [task["target"] for task in await viewer.ask("taskservices.list_tasks", 0, *params)]

    assert await targets() == ["vm4", "vm3", "vm2", "vm1"]
    assert await targets("done") == ["vm2", "vm1"]
    assert await targets("unfinished") == ["vm3"]
    assert await targets("", "h2") == ["vm3", "vm2"]
    assert await targets("failed", "h2") == []
    assert (await viewer.ask("taskservices.get_task", 0, waits))["owner"] == "operator"


async def test_a_job_tells_what_people_call_its_guest(oms: Oms) -> None:
    web = line(26, "web")
    host = await joined(oms, "h1", web, line(101, "db", kind="openvz"))
    inventory = oms.edge._pipeline._house.inventory
    await eventually(lambda: len(dict(inventory.all())[host.id]) == 2)
    operator, viewer = await oms.as_operator(), await oms.as_viewer()
    for method, target in ((STOP, web.id.upper()), (STOP, "web"), ("ovzservices.stop_vm", "101")):
        host.refuses[method] = HostBusy("No.")
        await operator.error(method, 0, "h1", target)
    inventory.forget(host.id)
    listed = await viewer.ask("taskservices.list_tasks", 0)
    assert [(task["target"], task["name"]) for task in listed] == [
        ("101", "db"), ("web", ""), (web.id.upper(), "web"),
    ]  # fmt: skip


async def test_there_is_no_job_that_never_was(oms: Oms) -> None:
    operator = await oms.as_operator()
    for method in ("get_task", "wait_task", "cancel_task"):
        error = await operator.error(f"taskservices.{method}", 0, "f" * 32)
        assert (error.name, error.data["reason"]) == ("FuncManError", "no_such_task")


async def test_jobs_that_ended_long_ago_are_forgotten_and_open_ones_are_not(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", stopping())
    operator = await oms.as_operator()
    await operator.ask(STOP, 0, "h1", "vm1")
    waits = await open_job(oms, operator, host, vm="vm2")
    assert await oms.store.write(lambda tx: jobs.forget(tx, now() - 10)) == 0
    assert await oms.store.write(lambda tx: jobs.forget(tx, now() + 10)) == 1
    assert [job.id for job in await stored(oms)] == [waits]
