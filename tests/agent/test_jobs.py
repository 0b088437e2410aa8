"""A change happens at most once, in its turn, before its deadline; and what became of it can always be asked."""

import asyncio
import secrets
import time
from pathlib import Path

import msgspec
import pytest

from oms.agent import lanes
from oms.agent.jobs import MOST_QUEUED
from oms.agent.lanes import MOST_RUNNING, MOST_RUNS
from oms.bus.call import Caller, Request, encode
from oms.contract.errors import (
    FuncManError,
    HostBusy,
    HostUnavailable,
    HypervisorUnavailable,
    JobCancelled,
    JobExpired,
    JobInterrupted,
    NoSuchMachine,
    unpack,
)
from oms.contract.internal import CancelJob
from oms.contract.types import Secret
from tests.agent.rig import HOST, Look, SetPassword, Sweep, Work, Workshop, World, agent
from tests.waiting import eventually

ID = "a" * 32


def error(state: object) -> Exception:
    failure = getattr(state, "error", None)
    assert failure is not None
    return unpack(failure)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent" / "journal.db"


async def test_a_job_is_done_and_its_result_told(path: Path) -> None:
    async with agent(path) as it:
        state = await it.done(Work("a"))
        assert (state.state, state.progress) == ("done", 100)
        assert msgspec.json.decode(state.result) == "worked on a, knew None"
        assert 0 < state.started <= state.finished
        await eventually(lambda: it.told and it.told[-1][2].state == "done")
        assert it.told[-1][1:] == ("job", state)


async def test_an_id_that_came_before_is_answered_and_not_run_again(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        first, again = await asyncio.gather(it.send(Work("a"), ID), it.send(Work("a"), ID))
        assert first.id == again.id == ID
        await eventually(lambda: it.workshop.begun == ["a"])
        assert (await it.send(Work("a"), ID)).state == "running"
        it.workshop.gate("a").set()
        done = await it.ended(ID)
        assert await it.send(Work("a"), ID) == done
        assert await it.send(Work("b"), ID) == done
        assert await it.send(Work("a"), ID, seconds=-3600) == done  # late, and still an answer
        assert it.workshop.begun == ["a"]


async def test_many_copies_of_one_command_at_once_run_once(path: Path) -> None:
    async with agent(path) as it:
        states = await asyncio.gather(*(it.send(Work("a"), ID) for _ in range(50)))
        assert {state.id for state in states} == {ID}
        await it.ended(ID)
        again = await asyncio.gather(*(it.send(Work("a"), ID) for _ in range(50)))
        assert {state.state for state in again} == {"done"}
        assert it.workshop.begun == ["a"]


async def test_one_thing_is_changed_by_one_job_at_a_time_in_order(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        jobs = [(await it.send(Work("a", str(number)))).id for number in range(5)]
        await asyncio.sleep(0.05)
        assert it.workshop.begun == ["0"]
        assert [(await it.state(job)).state for job in jobs] == ["running"] + ["queued"] * 4
        it.workshop.gate("a").set()
        await it.ended(jobs[-1])
        assert it.workshop.begun == it.workshop.ended == ["0", "1", "2", "3", "4"]
        assert it.workshop.most_at_once == 1


async def test_what_comes_at_once_is_done_in_the_order_it_came(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        states = await asyncio.gather(*(it.send(Work("a", str(number))) for number in range(5)))
        assert [state.state for state in states] == ["running"] + ["queued"] * 4
        it.workshop.gate("a").set()
        await it.ended(states[-1].id)
        assert it.workshop.begun == ["0", "1", "2", "3", "4"]


async def test_what_need_not_wait_is_written_down_as_begun_when_it_comes(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        first, second = [await it.send(Work("a")) for _ in range(2)]
        written = await it.journal.find([first.id, second.id])
        assert [(entry.state, entry.runs, entry.started > 0) for entry in written.values()] == [
            ("running", 1, True), ("queued", 0, False)
        ]  # fmt: skip
        assert (first.state, second.state) == ("running", "queued")


async def test_what_was_written_down_as_begun_and_not_begun_is_taken_up_by_the_next_start(path: Path) -> None:
    """The agent is told to end while a job is being written down."""
    world = World()
    async with agent(path, world=world) as it:
        sending = asyncio.create_task(it.send(Work("a")))
        while not it.jobs._lanes._arriving:  # noqa: ASYNC110 - as long as one sync of the disk
            await asyncio.sleep(0)
        await it.jobs.stop(0)
        job = (await sending).id
        assert it.workshop.begun == []
    async with agent(path, world=world) as it:
        assert (await it.ended(job)).state == "done"
        assert it.workshop.begun == it.workshop.resumed == ["a"]


async def test_two_things_are_changed_side_by_side(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        it.workshop.gate("sweep")
        await it.send(Work("a"))
        await it.send(Sweep())
        await it.send(Sweep())
        assert (await it.done(Work("b"))).state == "done"
        await eventually(lambda: it.workshop.begun == ["a", "sweep", "b"])  # the second sweep waits for the first


async def test_so_many_jobs_run_at_once_and_no_more(path: Path) -> None:
    async with agent(path) as it:
        things = [f"t{number}" for number in range(MOST_RUNNING + 3)]
        for thing in things:
            it.workshop.gate(thing)
        jobs = [state.id for state in await asyncio.gather(*(it.send(Work(thing)) for thing in things))]
        await eventually(lambda: len(it.workshop.begun) == MOST_RUNNING)
        await asyncio.sleep(0.05)
        assert len(it.workshop.begun) == MOST_RUNNING
        for gate in it.workshop.gates.values():
            gate.set()
        for job in jobs:
            assert (await it.ended(job)).state == "done"
        assert it.workshop.most_at_once == MOST_RUNNING


async def test_a_full_queue_says_so_and_keeps_what_it_has(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        running = await it.send(Work("a"))
        await eventually(lambda: it.workshop.begun)
        jobs = [(await it.send(Work("a"))).id for _ in range(MOST_QUEUED)]
        with pytest.raises(HostBusy, match="nothing was begun"):
            await it.send(Work("a"), ID)
        assert (await it.state(ID)).state == "unknown"
        assert (await it.send(Work("a"), jobs[7])).state == "queued"
        it.workshop.gate("a").set()
        await it.ended(running.id)
        assert (await it.send(Work("a"), ID)).id == ID


async def test_a_job_that_waits_beyond_its_deadline_is_not_begun(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        await it.send(Work("a"))
        job = (await it.send(Work("a", "late"), seconds=2)).id
        state = await it.ended(job)
        assert state.state == "failed"
        assert isinstance(error(state), JobExpired)
        assert isinstance(it.told[-1][2].error and error(it.told[-1][2]), JobExpired)
        it.workshop.gate("a").set()
        await asyncio.sleep(0.05)
        assert it.workshop.begun == ["a"]


async def test_a_command_that_arrives_late_is_refused(path: Path) -> None:
    async with agent(path) as it:
        with pytest.raises(JobExpired, match="nothing was done"):
            await it.send(Work("a"), ID, seconds=-0.5)
        assert (await it.state(ID)).state == "unknown"
        assert it.workshop.begun == []


async def test_an_agent_that_was_stopped_knows_that_commands_are_late(path: Path) -> None:
    """As after SIGSTOP or a laptop's lid: the commands lay in the socket while seconds went by."""
    world = World(server_ahead=-7200)  # and the host's clock is wrong by two hours
    async with agent(path, world=world) as it:
        it.workshop.gate("a")
        await it.send(Work("a"))
        waiting = (await it.send(Work("a", "waiting"), seconds=15)).id
        deadline = world.server_time() + 15
        world.asleep = 60
        with pytest.raises(JobExpired):
            await it.server.send_job(HOST, Work("b"), ID, deadline)
        request = Request("r", msgspec.Raw(encode(Look("c"))), deadline, "server-a", 7)
        late = await it.serve("testservices.look", encode(request))
        assert b"JobExpired" in late
        it.workshop.gate("a").set()
        assert isinstance(error(await it.ended(waiting)), JobExpired)
        assert it.workshop.begun == ["a"]
        assert it.workshop.looked == 0


async def test_a_wrong_host_clock_does_not_matter(path: Path) -> None:
    for ahead in (-86_400 * 365, 86_400 * 365):
        async with agent(path.with_name(f"{ahead}.db"), world=World(server_ahead=ahead)) as it:
            assert (await it.done(Work("a"))).state == "done"
            with pytest.raises(JobExpired):
                await it.send(Work("a"), seconds=-1)


async def test_a_greeting_that_lay_about_does_not_turn_the_clock_back(path: Path) -> None:
    async with agent(path) as it:
        await it.hello(late=60)
        with pytest.raises(JobExpired):
            await it.send(Work("a"), seconds=-30)


@pytest.fixture
def told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that has not been greeted is not asked again for long."""
    monkeypatch.setattr("oms.bus.call.GREETED_SECONDS", 0.2)


async def test_nothing_is_done_before_the_greeting(path: Path, told_soon: None) -> None:
    async with agent(path, greet=False) as it:
        with pytest.raises(HostUnavailable, match="greeted"):
            await it.send(Work("a"))
        with pytest.raises(HostUnavailable, match="greeted"):
            await it.server.ask(HOST, Look("a"))
        await it.hello()
        assert await it.server.ask(HOST, Look("a")) == "a"
        it.bus.disconnect(HOST)
        it.bus.reconnect(HOST)
        with pytest.raises(HostUnavailable, match="greeted"):
            await it.send(Work("a"))
        await it.hello()
        assert (await it.done(Work("a"))).state == "done"


async def test_commands_of_an_earlier_start_of_the_server_are_refused(path: Path, told_soon: None) -> None:
    async with agent(path) as it:
        await it.hello(epoch=8)
        it.server.epoch = 7
        with pytest.raises(JobExpired, match="earlier start"):
            await it.send(Work("a"))
        with pytest.raises(JobExpired, match="earlier start"):
            await it.server.ask(HOST, Look("a"))
        it.server.epoch = 9
        with pytest.raises(HostUnavailable, match="greeted"):
            await it.send(Work("a"))
        it.server.epoch = 8
        assert (await it.done(Work("a"))).state == "done"
        assert it.workshop.begun == ["a"]


async def test_an_overtaken_greeting_is_ignored_and_a_restored_server_is_believed(path: Path) -> None:
    async with agent(path) as it:
        await it.hello(epoch=8)
        with pytest.raises(JobExpired, match="earlier start"):
            await it.hello(epoch=7, late=5)
        await it.hello(epoch=3)  # its database was put back to last week's
        assert (await it.done(Work("a"))).state == "done"


async def test_servers_have_clocks_of_their_own(path: Path) -> None:
    async with agent(path) as it:
        other = Caller(it.bus.server, "server-b", 1)
        with pytest.raises(HostUnavailable, match="greeted"):
            await other.ask(HOST, Look("a"))


async def test_a_waiting_job_is_cancelled_and_a_running_one_goes_on(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        running = (await it.send(Work("a"))).id
        waiting = (await it.send(Work("a", "waiting"))).id
        await eventually(lambda: it.workshop.begun)
        assert (await it.server.ask(HOST, CancelJob(waiting))).state == "cancelled"
        assert (await it.server.ask(HOST, CancelJob(running))).state == "running"
        it.workshop.gate("a").set()
        assert (await it.ended(running)).state == "done"
        assert (await it.server.ask(HOST, CancelJob(running))).state == "done"
        assert (await it.send(Work("a", "waiting"), waiting)).state == "cancelled"
        assert it.workshop.begun == ["a"]


async def test_a_command_that_was_cancelled_before_it_came_is_not_begun(path: Path) -> None:
    async with agent(path) as it:
        assert (await it.server.ask(HOST, CancelJob(ID))).state == "cancelled"
        assert (await it.send(Work("a"), ID)).state == "cancelled"
        assert it.workshop.begun == []


async def test_named_errors_and_bugs_end_a_job_as_failed(path: Path) -> None:
    async with agent(path) as it:
        refused = error(await it.done(Work("a", "refuse")))
        assert str(refused) == "It cannot be done."
        assert isinstance(refused, FuncManError)
        assert refused.data == {"thing": "a"}
        bug = error(await it.done(Work("a", "bug")))
        assert isinstance(bug, FuncManError)
        assert "secret" not in str(bug)
        assert len(bug.data["reference"]) == 8
        assert (await it.done(Work("a"))).state == "done"


async def test_notes_and_progress_are_told_but_not_each_step(path: Path) -> None:
    async with agent(path) as it:
        state = await it.done(Work("a", "step"))
        assert state.notes == {"first": "said"}
        assert msgspec.json.decode(state.result) == "worked on a, knew [1, {'two': 2}]"
        await eventually(lambda: it.told and it.told[-1][2].state == "done")
        assert len(it.told) <= 4
        assert it.told[0][2].state == "running"


async def test_events_that_are_lost_do_not_matter(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        job = (await it.send(Work("a"))).id
        await eventually(lambda: it.workshop.begun)
        it.bus.disconnect(HOST)
        it.workshop.gate("a").set()
        await eventually(lambda: it.workshop.ended)
        await asyncio.sleep(0.3)
        it.bus.reconnect(HOST)
        welcome = await it.hello()
        assert [(state.id, state.state) for state in welcome.jobs] == [(job, "done")]


async def test_the_end_is_told_at_once(path: Path) -> None:
    async with agent(path) as it:
        await it.done(Work("warm"))
        times = []
        for _ in range(5):
            began = time.monotonic()
            job = (await it.send(Work("a"))).id
            await eventually(it.heard(job, "done"))
            times.append(time.monotonic() - began)
        assert min(times) < 0.1


async def test_a_job_without_a_deadline_or_with_an_odd_id_is_refused(path: Path) -> None:
    async with agent(path) as it:
        with pytest.raises(FuncManError, match="deadline"):
            await it.server.send_job(HOST, Work("a"), ID, 0)
        for odd in ("../../etc", ID[:-1], ID + "0", ID[:-1] + "G", ID + "\n", "a" * 1_000_000):
            with pytest.raises(FuncManError, match="32 hexadecimal digits"):
                await it.send(Work("a"), odd)
            with pytest.raises(FuncManError, match="32 hexadecimal digits"):
                await it.server.ask(HOST, CancelJob(odd))
            assert (await it.state(odd)).state == "unknown"
        assert it.workshop.begun == []


# --- restarts


async def left_running(path: Path, world: World) -> str:
    """An agent that ended abruptly in the middle of a job."""
    async with agent(path, world=world) as it:
        it.workshop.gate("a")
        job = (await it.send(Work("a", "step"))).id
        await eventually(lambda: it.workshop.begun)
        return job


async def test_what_was_running_is_run_again_with_what_it_recorded(path: Path) -> None:
    world = World()
    job = await left_running(path, world)
    world.asleep = 3600  # its deadline is long over, but it had begun
    async with agent(path, world=world, greet=False) as it:
        await eventually(lambda: it.workshop.ended)
        assert it.workshop.resumed == ["step"]
        await it.hello()
        state = await it.ended(job)
        assert msgspec.json.decode(state.result) == "worked on a, knew [1, {'two': 2}]"
        assert state.notes == {"first": "said"}


async def test_what_was_queued_goes_on_after_the_greeting_in_order(path: Path) -> None:
    async with agent(path) as first:
        first.workshop.gate("a")
        running = (await first.send(Work("a", "0"))).id
        jobs = [(await first.send(Work("a", str(number)))).id for number in (1, 2, 3)]
        await eventually(lambda: first.workshop.begun)
    async with agent(path, greet=False) as it:
        await eventually(lambda: it.workshop.ended == ["0"])
        await asyncio.sleep(0.1)
        assert it.workshop.begun == ["0"]  # whether the others are late is not known yet
        welcome = await it.hello()
        assert {state.id for state in welcome.jobs} == {running, *jobs}
        for job in jobs:
            assert (await it.ended(job)).state == "done"
        assert it.workshop.begun == ["0", "1", "2", "3"]
        assert it.workshop.resumed == ["0"]


async def test_what_was_queued_and_is_late_by_the_servers_clock_is_not_begun(path: Path) -> None:
    world = World(server_ahead=3600)
    async with agent(path, world=world) as first:
        first.workshop.gate("a")
        await first.send(Work("a"))
        job = (await first.send(Work("a", "late"), seconds=15)).id
    world.asleep = 60
    async with agent(path, world=world) as it:
        assert isinstance(error(await it.ended(job)), JobExpired)
        assert "late" not in it.workshop.begun


async def test_what_ended_is_remembered(path: Path) -> None:
    async with agent(path) as first:
        done = await first.done(Work("a"))
        failed = await first.done(Work("a", "refuse"))
    async with agent(path) as it:
        assert await it.state(done.id) == done
        assert await it.state(failed.id) == failed
        assert await it.send(Work("a"), done.id) == done
        assert it.workshop.begun == []


async def test_a_clean_stop_waits_a_little_and_leaves_the_rest_to_the_next_start(path: Path) -> None:
    async with agent(path) as first:
        for thing in ("quick", "slow"):
            first.workshop.gate(thing)
        quick, slow = (await first.send(Work("quick"))).id, (await first.send(Work("slow"))).id
        await eventually(lambda: len(first.workshop.begun) == 2)
        stopping = asyncio.create_task(first.jobs.stop(0.3))
        await asyncio.sleep(0.05)
        with pytest.raises(HostUnavailable, match="stopped"):
            await first.send(Work("b"))
        first.workshop.gate("quick").set()
        await stopping
        assert (await first.state(quick)).state == "done"
        assert (await first.state(slow)).state == "running"
    async with agent(path) as it:
        assert (await it.ended(slow)).state == "done"
        assert it.workshop.resumed == ["slow"]


async def test_a_job_in_which_the_agent_breaks_each_time_is_given_up(path: Path) -> None:
    async with agent(path, workshop=closed("a")) as it:
        job = (await it.send(Work("a"))).id
        await eventually(lambda: it.workshop.begun)
    for _ in range(MOST_RUNS - 1):
        async with agent(path, workshop=closed("a")) as again:
            await eventually(again.workshop.has_resumed)
    async with agent(path) as last:
        state = await last.ended(job)
        assert f"broke off {MOST_RUNS} times" in str(error(state))
        assert last.workshop.begun == []


def closed(thing: str) -> Workshop:
    workshop = Workshop()
    workshop.gate(thing)
    return workshop


async def test_a_job_that_the_new_agent_does_not_know_is_told_as_interrupted(path: Path) -> None:
    job = await left_running(path, World())
    async with agent(path, workshop=Workshop(knows_work=False)) as it:
        failure = error(await it.ended(job))
        assert isinstance(failure, JobInterrupted)
        assert "testservices.work" in str(failure)


# --- secrets


async def test_secrets_are_gone_from_the_disk_when_the_job_has_ended(path: Path) -> None:
    marker = "correct-horse-" + secrets.token_hex(8)

    def on_disk() -> bool:
        return any(marker.encode() in file.read_bytes() for file in path.parent.iterdir())

    async with agent(path) as it:
        it.workshop.gate("a")
        job = (await it.send(SetPassword("a", Secret(marker)))).id
        await eventually(lambda: it.workshop.begun)
        assert on_disk()  # a restart needs it
        it.workshop.gate("a").set()
        state = await it.ended(job)
        assert state.result == str(len(marker))
        await eventually(lambda: not on_disk())
        assert oct(path.stat().st_mode & 0o777) == "0o600"
        assert oct(path.parent.stat().st_mode & 0o777) == "0o700"
    assert not on_disk()


async def test_a_request_whose_connection_ends_is_still_done_once(path: Path) -> None:
    async with agent(path) as it:
        sending = asyncio.create_task(it.send(Work("a"), ID))
        await asyncio.sleep(0)
        for task in tuple(it.wire._tasks):
            task.cancel()
        it.bus.disconnect(HOST)
        await asyncio.gather(sending, return_exceptions=True)
        it.bus.reconnect(HOST)
        await it.hello()
        again = await it.send(Work("a"), ID)
        assert again.id == ID
        assert (await it.ended(ID)).state == "done"
        assert it.workshop.begun == ["a"]


async def test_a_running_job_that_can_be_undone_is_when_somebody_cancels_it(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        job = (await it.send(Work("a", "undo"))).id
        await eventually(lambda: it.workshop.begun == ["a"])
        assert (await it.server.ask(HOST, CancelJob(job))).state == "running"
        state = await it.ended(job)
        assert state.state == "cancelled"
        assert isinstance(failure := error(state), JobCancelled)
        assert "undone" in str(failure)
        assert it.workshop.undone == ["a"]
        assert "asked for" in state.notes["cancel"]


async def test_a_job_past_its_last_undo_goes_on_to_its_end(path: Path) -> None:
    async with agent(path) as it:
        job = (await it.send(Work("a", "undo"))).id
        await eventually(lambda: it.workshop.ended == ["a"])
        await it.server.ask(HOST, CancelJob(job))
        it.workshop.gate("a on").set()
        assert (await it.ended(job)).state == "done"
        assert it.workshop.undone == []


async def test_what_was_cancelled_before_a_crash_is_undone_after_it(path: Path) -> None:
    async with agent(path) as it:
        job = (await it.send(Work("a", "undo"))).id
        await eventually(lambda: it.workshop.ended == ["a"])
        await it.server.ask(HOST, CancelJob(job))
    async with agent(path) as it:
        state = await it.ended(job)
        assert (state.state, it.workshop.begun, it.workshop.undone) == ("cancelled", [], ["a"])


async def test_an_agent_that_is_told_to_end_undoes_nothing(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        job = (await it.send(Work("a", "undo"))).id
        await eventually(lambda: it.workshop.begun == ["a"])
    async with agent(path) as it:
        it.workshop.gate("a on").set()
        assert (await it.ended(job)).state == "done"


async def test_a_job_that_waits_aside_holds_up_nobody(path: Path) -> None:
    async with agent(path) as it:
        aside = [(await it.send(Work(f"t{number}", "aside"))).id for number in range(MOST_RUNNING + 1)]
        await eventually(lambda: len(it.workshop.aside) == MOST_RUNNING + 1)
        assert (await it.done(Work("t0"))).state == "done"  # its own thing's as well
        assert (await it.done(Work("b"))).state == "done"
        for number, job in enumerate(aside):
            it.workshop.gate(f"t{number} outside").set()
            assert (await it.ended(job)).state == "done"


async def test_a_job_that_comes_back_waits_for_its_turn_and_is_the_next(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        aside = (await it.send(Work("a", "aside"))).id
        await eventually(lambda: it.workshop.aside == ["a"])
        others = [(await it.send(Work("a", how))).id for how in ("second", "third")]
        await eventually(lambda: it.workshop.begun == ["second"])
        it.workshop.gate("a outside").set()
        await asyncio.sleep(0.05)
        assert it.workshop.begun == ["second"]
        it.workshop.gate("a").set()
        for job in (aside, *others):
            assert (await it.ended(job)).state == "done"
        assert it.workshop.begun == ["second", "aside", "third"]
        assert it.workshop.most_at_once == 1


async def test_a_job_that_is_cancelled_while_it_waits_aside_is_undone_in_its_turn(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        aside = (await it.send(Work("a", "aside"))).id
        await eventually(lambda: it.workshop.aside == ["a"])
        other = (await it.send(Work("a", "second"))).id
        await eventually(lambda: it.workshop.begun == ["second"])
        await it.server.ask(HOST, CancelJob(aside))
        await asyncio.sleep(0.05)
        assert it.workshop.undone == []
        it.workshop.gate("a").set()
        assert (await it.ended(other)).state == "done"
        assert (await it.ended(aside)).state == "cancelled"
        assert it.workshop.undone == ["a"]


async def test_a_job_that_waits_aside_outlives_its_agent(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        aside = (await it.send(Work("a", "aside"))).id
        await eventually(lambda: it.workshop.aside == ["a"])
        await it.send(Work("a", "second"))
        await eventually(lambda: it.workshop.begun == ["second"])
        it.workshop.gate("a outside").set()
        begun = time.monotonic()
        await it.jobs.stop(0)  # in the midst of coming back
        assert time.monotonic() - begun < 10
    async with agent(path) as it:
        it.workshop.gate("a outside").set()
        assert (await it.ended(aside)).state == "done"


async def test_a_job_may_answer_before_it_ends_and_a_crash_keeps_the_answer(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        job = (await it.send(Work("a", "answer"))).id
        await eventually(lambda: any(told.result for _, _, told in it.told))
        state = await it.state(job)
        assert (state.state, state.result) == ("running", '"already"')
    async with agent(path, workshop=Workshop(gates={"a": asyncio.Event()})) as it:
        assert (await it.state(job)).result == '"already"'
        it.workshop.gate("a").set()
        assert (await it.ended(job)).result == '"worked on a, knew None"'


async def test_when_a_job_should_end_is_told_from_its_pace(path: Path) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        job = (await it.send(Work("a", "step"))).id
        await eventually(lambda: it.workshop.begun == ["step"])
        state = await it.state(job)
        assert state.progress == 90
        assert 0 < state.left < 5
        it.workshop.gate("a").set()
        assert (await it.ended(job)).left == 0


# --- what a job needs goes away


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is tried again after a moment, so that tests need not."""
    monkeypatch.setattr(lanes, "AGAIN_SECONDS", 0.01)


def without_hypervisor() -> Workshop:
    return Workshop(hypervisor_is_away=True)


async def test_a_job_whose_hypervisor_is_away_before_it_acted_has_failed(path: Path, soon: None) -> None:
    async with agent(path, workshop=without_hypervisor()) as it:
        state = await it.done(Work("a", "hypervisor"))
        assert state.state == "failed"
        assert isinstance(error(state), HypervisorUnavailable)
        assert (it.workshop.tried, state.notes) == (1, {})


async def test_a_job_that_may_have_acted_waits_for_its_hypervisor_and_says_so(path: Path, soon: None) -> None:
    async with agent(path, workshop=without_hypervisor()) as it:
        job = (await it.send(Work("a", "recorded"))).id
        await eventually(lambda: it.workshop.tried > 3)
        state = await it.state(job)
        assert (state.state, state.error) == ("running", None)
        assert "goes on by itself" in state.notes["hypervisor"]
        await eventually(lambda: it.told and it.told[-1][2].notes == state.notes)  # told, without being asked
        it.workshop.hypervisor_is_away = False
        state = await it.ended(job)
        assert msgspec.json.decode(state.result) == "worked on a, knew recorded"
        assert "went on" in state.notes["hypervisor"]
        assert it.workshop.begun == it.workshop.resumed == ["recorded"]


async def test_what_may_have_happened_is_never_called_failed_for_its_hypervisor(path: Path, soon: None) -> None:
    async with agent(path, workshop=without_hypervisor()) as it:
        job = (await it.send(Work("a", "unknown"))).id
        await eventually(lambda: it.workshop.tried > 3)
        assert (await it.state(job)).state == "running"
        it.workshop.hypervisor_is_away = False
        failure = error(await it.ended(job))
        assert isinstance(failure, NoSuchMachine)  # what it found at last is its end


async def test_a_job_that_waits_for_its_hypervisor_keeps_its_lane_and_nobody_elses(path: Path, soon: None) -> None:
    async with agent(path, workshop=without_hypervisor()) as it:
        waiting = [(await it.send(Work(f"t{number}", "recorded"))).id for number in range(MOST_RUNNING)]
        await eventually(lambda: it.workshop.tried > MOST_RUNNING)
        behind = (await it.send(Work("t0", "behind"))).id
        assert (await it.done(Work("b"))).state == "done"  # all turns were taken, had they kept theirs
        assert (await it.state(behind)).state == "queued"
        it.workshop.hypervisor_is_away = False
        for job in (*waiting, behind):
            assert (await it.ended(job)).state == "done"
        assert it.workshop.begun[0] == "b"
        assert it.workshop.begun.index("recorded") < it.workshop.begun.index("behind")


async def test_when_the_hypervisor_is_back_no_more_jobs_run_at_once_than_may(path: Path, soon: None) -> None:
    async with agent(path, workshop=without_hypervisor()) as it:
        things = [f"t{number}" for number in range(MOST_RUNNING + 4)]
        jobs = [(await it.send(Work(thing, "recorded"))).id for thing in things]
        for thing in things:
            it.workshop.gate(thing)
        await eventually(lambda: it.workshop.tried > 2 * len(things))
        it.workshop.hypervisor_is_away = False
        await eventually(lambda: len(it.workshop.begun) == MOST_RUNNING)
        await asyncio.sleep(0.05)
        for gate in it.workshop.gates.values():
            gate.set()
        for job in jobs:
            assert (await it.ended(job)).state == "done"
        assert it.workshop.most_at_once == MOST_RUNNING


async def test_a_job_that_waits_for_its_hypervisor_outlives_its_agent(path: Path, soon: None) -> None:
    async with agent(path, workshop=without_hypervisor()) as first:
        job = (await first.send(Work("a", "recorded"))).id
        await eventually(lambda: first.workshop.tried)
        await first.jobs.stop(0.05)
        assert (await first.state(job)).state == "running"
    async with agent(path, workshop=without_hypervisor()) as second:  # and the hypervisor is still not back
        await eventually(lambda: second.workshop.tried > 1)
        assert "hypervisor" in (await second.state(job)).notes
    async with agent(path) as third:
        assert (await third.ended(job)).state == "done"
        assert third.workshop.resumed == ["recorded"]
    async with agent(path) as it:
        assert (await it.send(Work("a", "recorded"), job)).state == "done"  # as the journal has it
        assert it.workshop.begun == []


async def test_a_job_that_waits_for_its_hypervisor_can_be_asked_to_be_undone(path: Path, soon: None) -> None:
    async with agent(path, workshop=without_hypervisor()) as it:
        job = (await it.send(Work("a", "recorded"))).id
        await eventually(lambda: it.workshop.tried)
        state = await it.server.ask(HOST, CancelJob(job))
        assert (state.state, set(state.notes)) == ("running", {"hypervisor", "cancel"})
        it.workshop.hypervisor_is_away = False
        assert (await it.ended(job)).state == "done"  # this one cannot


async def test_a_job_that_may_have_acted_waits_for_room_in_the_journal(path: Path, soon: None) -> None:
    async with agent(path) as it:
        it.workshop.gate("a")
        job = (await it.send(Work("a", "records"))).id
        await eventually(lambda: it.workshop.begun)
        await it.room(enough=False)
        it.workshop.gate("a").set()
        await eventually(lambda: len(it.workshop.resumed) > 2)
        state = await it.state(job)
        assert (state.state, state.error) == ("running", None)
        assert "goes on by itself" in state.notes["journal"]
        assert (await it.done(Work("b"))).state == "done"
        await it.room(enough=True)
        state = await it.ended(job)
        assert (state.state, state.result) == ("done", '"both"')
        assert "went on" in state.notes["journal"]


async def test_a_job_that_cannot_write_down_what_it_will_do_has_failed(path: Path, soon: None) -> None:
    async with agent(path) as it:
        await it.room(enough=False)
        failure = error(await it.done(Work("a", "much")))
        assert isinstance(failure, FuncManError)
        assert failure.data == {"cause": "journal"}
        assert it.workshop.begun == []
