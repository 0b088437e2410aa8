"""What changes is told in one order, once it is on the disk, to those who may know; who was away reads on."""

import asyncio
import contextlib
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection

from oms.contract.event.accounts import UserChanged
from oms.contract.event.fleet import TagData, TagGiven
from oms.contract.event.kinds import KINDS
from oms.contract.event.shape import Event
from oms.contract.internal import Figures, GuestNews
from oms.contract.kvm import StopVm, UpdateVmSettings
from oms.contract.operation import Permission
from oms.server.consoles.console import Console
from oms.server.consoles.consoles import Change
from oms.server.events.log import AT_A_TIME, Listener, Page
from oms.server.rules.events import View, whole
from oms.server.store import events, hosts, now
from tests.server.double import FACTS
from tests.server.listening import Listening
from tests.server.rig import ROLES, Oms, Person, answering
from tests.server.rosters import joined, line, tell
from tests.waiting import eventually

LIST = "eventservices.list_events"


async def head(person: Person) -> int:
    number: int = (await person.ask(LIST, 0))["next"]
    return number


async def told(person: Person, after: int, *more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await person.ask(LIST, 0, after, *more))["events"]
    return found


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [event["kind"] for event in found]


async def until(person: Person, begin: int, kind: str, *wanted: str) -> list[dict[str, Any]]:
    """What is told after a number, up to the first event of a kind."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while True:
            page = await person.ask(LIST, 0, begin, 100, 10, list(wanted or (kind,)))
            found, begin = [*found, *page["events"]], page["next"]
            if kind in kinds(found):
                return found


def give(number: int) -> Any:
    return lambda tx: events.tell(tx, TagGiven, TagData(f"t{number}"), host="h1")


async def test_to_begin_is_to_learn_the_newest_number_and_then_the_changes_come_in_order(oms: Oms) -> None:
    admin = await oms.as_admin()
    begin = await admin.ask(LIST, 0)
    assert (begin["events"], begin["gap"], begin["more"]) == ([], False, False)
    await oms.signed("h1")
    await admin.ask("tagservices.add_tag", 0, "web", "h1")
    await admin.ask("tagservices.edit_freeform_tag_name", 0, "web", "www")
    await admin.ask("tagservices.remove_tag", 0, "www", "h1")
    await admin.ask("tagservices.change_host_type", 0, [{"name": "h1", "type": "physical"}])
    await admin.ask("funcservices.remove_signed", 0, ["h1"])
    found = [event for event in await told(admin, begin["next"]) if event["kind"] != "session.begun"]
    expected = ["host.asked", "host.signed", "tag.given", "tag.renamed", "tag.taken", "host.changed"]
    assert kinds(found) == [*expected, "host.removed"]
    assert [event["sequence"] for event in found] == sorted(event["sequence"] for event in found)
    assert {event["host"] for event in found} == {"h1", ""}
    assert found[3]["data"] == {"old": "web", "new": "www"}


async def test_a_job_is_told_from_its_beginning_to_its_end_and_what_it_changed(oms: Oms) -> None:
    await oms.sign_in_double("h1", {UpdateVmSettings: answering({})})
    operator = await oms.as_operator()
    begin = await head(operator)
    await operator.ask("kvmservices.update_vm_settings", 0, "h1", "m1", {"memory": "64"})
    found = [event for event in await told(operator, begin) if event["job"]]
    assert kinds(found) == ["job.begun", "job.ended", "guest.changed"]
    assert {(event["host"], event["user"], event["job"]) for event in found} == {
        ("h1", "operator", found[0]["job"])
    }
    assert found[1]["data"] == {
        "method": "kvmservices.update_vm_settings", "target": "m1", "state": "done", "error": None,
    }  # fmt: skip
    assert found[2]["guest"] == {"type": "kvm", "id": "", "name": "m1"}
    assert kinds(await told(operator, begin, 100, 0, ["job.ended", "guest"])) == ["job.ended", "guest.changed"]
    assert kinds(await told(operator, begin, 100, 0, [], "h2")) == []
    assert len(await told(operator, begin, 100, 0, [], "", "m1")) == 3
    assert len(await told(operator, begin, 100, 0, [], "", "", found[0]["job"])) == len(found)


async def test_a_job_that_takes_its_time_tells_how_far_it_is(oms: Oms) -> None:
    free = asyncio.Event()

    async def stop(_op: StopVm) -> int:
        await free.wait()
        return 0

    host = await oms.sign_in_double("h1", {StopVm: stop})
    operator = await oms.as_operator()
    begin = await head(operator)
    stopping = asyncio.create_task(operator.ask("kvmservices.stop_vm", 0, "h1", "m1"))
    await eventually(lambda: any(state.state == "running" for state in host.journal.values()))
    [state] = host.journal.values()
    for progress in range(30, 60):
        await host.tell(msgspec.structs.replace(state, progress=progress))
    progressed = await told(operator, begin, 100, 10, ["job.progressed"])
    free.set()
    await stopping
    every = [event["data"] for event in await told(operator, begin, 100, 0, ["job.progressed"])]
    assert progressed[0]["data"]["state"] == "running"
    assert len(every) <= 2, "one a second at most"
    assert kinds(await told(operator, begin, 100, 0, ["job"]))[-1] == "job.ended"


async def test_who_waits_is_answered_when_something_comes_and_when_nothing_does(oms: Oms) -> None:
    viewer = await oms.as_viewer()
    begin = await head(viewer)
    waiting = asyncio.create_task(told(viewer, begin, 10, 30, ["tag"]))
    await asyncio.sleep(0.02)
    await (await oms.as_admin()).ask(LIST, 0)  # a session.begun, which is neither his nor asked for
    assert not waiting.done()
    await oms.store.write(give(1))
    [event] = await asyncio.wait_for(waiting, 60)
    assert event["data"] == {"tag": "t1"}
    nothing = await viewer.ask(LIST, 0, event["sequence"], 10, 1)
    assert (nothing["events"], nothing["gap"]) == ([], False)


async def test_numbers_go_on_after_a_start_and_who_was_away_reads_on(oms: Oms) -> None:
    admin = await oms.as_admin()
    begin = await head(admin)
    await oms.store.write(give(1))
    await oms.restart()
    await oms.store.write(give(2))
    found = await told(admin, begin)
    assert kinds(found) == ["tag.given", "server.started", "tag.given"]
    assert [event["sequence"] for event in found] == [begin + 1, begin + 2, begin + 3]


async def test_a_gap_is_said_and_the_newest_number_with_it(oms: Oms) -> None:
    viewer = await oms.as_viewer()
    begin = await head(viewer)
    for number in range(10):
        await oms.store.write(give(number))
    await oms.store.write(lambda tx: events.trim(tx, 0, 4))
    lost = await viewer.ask(LIST, 0, begin)
    assert lost == {"events": [], "next": begin + 10, "gap": True, "more": False}
    assert (await viewer.ask(LIST, 0, begin + 1000))["gap"], "a number that never was"
    page = await viewer.ask(LIST, 0, 0, 3)
    assert [event["data"]["tag"] for event in page["events"]] == ["t6", "t7", "t8"]
    assert (page["gap"], page["more"]) == (False, True)
    assert len(await told(viewer, begin + 6)) == 4
    await oms.store.write(lambda tx: events.trim(tx, now() + 1, 1000))
    await oms.store.write(give(11))
    assert [event["sequence"] for event in await told(viewer, 0)] == [begin + 11]


async def test_what_is_regretted_is_not_told_and_numbers_have_no_holes(oms: Oms) -> None:
    viewer = await oms.as_viewer()
    begin = await head(viewer)

    def write(number: int) -> Any:
        def work(tx: Connection) -> None:
            give(number)(tx)
            if number % 3 == 0:
                raise KeyError(number)

        return oms.store.write(work)

    await asyncio.gather(*map(write, range(30)), return_exceptions=True)
    found = await told(viewer, begin)
    assert sorted(int(event["data"]["tag"][1:]) for event in found) == [n for n in range(30) if n % 3]
    assert [event["sequence"] for event in found] == list(range(begin + 1, begin + 21))


async def test_what_another_process_writes_is_heard_within_seconds(oms: Oms, monkeypatch: Any) -> None:
    monkeypatch.setattr("oms.server.events.log.LOOK_SECONDS", 0.05)
    viewer = await oms.as_viewer()
    begin = await head(viewer)
    waiting = asyncio.create_task(told(viewer, begin, 10, 30))
    await asyncio.sleep(0.05)
    other = type(oms.store)(oms.config.database_url)
    await other.write(give(1))
    other.close()
    await oms.store.write(give(2))
    [event, *_] = await asyncio.wait_for(waiting, 60)
    assert event["data"] == {"tag": "t1"}
    assert [event["data"]["tag"] for event in await told(viewer, begin)] == ["t1", "t2"]


# --- who hears what


def sample(event: type[Event]) -> msgspec.Struct:
    """Data of an event, made by its declared type."""
    kind = typing.get_type_hints(event)["data"]
    made: msgspec.Struct = msgspec.convert(_example(kind), kind)
    return made


def _example(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {field.name: _example(field.type) for field in msgspec.structs.fields(kind)}
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)[0]
    args = typing.get_args(kind)
    if type(None) in args:
        return None
    simple: dict[Any, Any] = {str: "x", int: 1, float: 1.0}
    return [] if typing.get_origin(kind) is list else simple[kind] if kind in simple else _example(args[0])


def hearers(event: type[Event], whose: str) -> Iterator[str]:
    for name, role in ROLES.items():
        if role >= event.seen_by or (event.ones_own and whose == name):
            yield name


async def test_each_kind_is_heard_by_whom_it_is_for_and_by_nobody_else(oms: Oms) -> None:
    people = {name: await oms.as_user(name) for name in ROLES}
    begin = await head(people["admin"])
    cases = [(kind, whose) for kind in KINDS for whose in ("operator", "somebody")]

    def tell(tx: Connection) -> None:
        for kind, whose in cases:
            events.tell(tx, KINDS[kind], sample(KINDS[kind]), host="h1", user=whose)

    await oms.store.write(tell)
    for name, person in people.items():
        heard = {(event["kind"], event["user"]) for event in await told(person, begin)}
        assert heard == {(kind, whose) for kind, whose in cases if name in hearers(KINDS[kind], whose)}


def test_what_accounts_do_is_for_administrators() -> None:
    private = {kind for kind, event in KINDS.items() if event.seen_by > Permission.VIEWER}
    assert {kind.partition(".")[0] for kind in private} == {"user", "session", "token", "console"}
    assert UserChanged.ones_own


# --- streams


async def test_a_stream_tells_what_comes_with_numbers_to_go_on_from(oms: Oms) -> None:
    viewer = await oms.as_viewer()
    begin = await head(viewer)
    stream = Listening(oms.edge, viewer.sessid)
    first = await stream.until("head")
    assert (stream.status, first.id, first.data) == (200, begin, {"sequence": begin})
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["x-accel-buffering"] == "no"
    await oms.store.write(give(1))
    event = await stream.until("tag.given")
    assert event.id == event.data["sequence"] == begin + 1
    stream.leave()
    await stream.done()
    await oms.store.write(give(2))
    back = Listening(oms.edge, viewer.sessid, "after=1", last_event_id=str(begin + 1))
    assert (await back.until("tag.given")).data["data"] == {"tag": "t2"}
    assert back.kinds == ["tag.given"]
    back.leave()
    await back.done()
    lost = Listening(oms.edge, viewer.sessid, f"after={begin + 1000}")
    assert (await lost.until("gap")).data == {"sequence": begin + 2}
    lost.leave()
    await lost.done()


async def test_an_idle_stream_lives_and_its_number_goes_on(oms: Oms, monkeypatch: Any) -> None:
    monkeypatch.setattr("oms.server.edge.events.KEEP_ALIVE_SECONDS", 0.02)
    viewer = await oms.as_viewer()
    begin = await head(viewer)
    stream = Listening(oms.edge, viewer.sessid, "kinds=host.asked,job")
    await oms.store.write(give(1))
    await eventually(lambda: f":\nid: {begin + 1}\n\n".encode() in stream.answer)
    assert stream.kinds == []
    stream.leave()
    await stream.done()


async def test_a_stream_ends_with_its_session_and_when_its_user_may_do_less(oms: Oms) -> None:
    admin, operator, gone = await oms.as_admin(), await oms.as_operator(), await oms.as_operator()
    streams = [Listening(oms.edge, person.sessid) for person in (operator, gone)]
    for stream in streams:
        await stream.until("head")
    waiting = asyncio.create_task(gone.error(LIST, 0, await head(gone), 10, 30, ["tag"]))
    await gone.oms.call("authservices.deauthenticate", gone.sessid)
    assert "session has ended" in (await streams[1].until("end")).data["reason"]
    assert (await asyncio.wait_for(waiting, 60)).name == "AuthError"
    await admin.ask("userservices.set_role", 0, "operator", "viewer")
    await streams[0].until("end")
    for stream in streams:
        await stream.done()


async def test_to_listen_is_no_use_of_a_session_which_ends_in_its_time(
    seed: Any, folder: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("oms.server.sessions.LOOK_SECONDS", 0.05)
    async with Oms(seed, folder, session_idle=3.0) as oms:
        viewer = await oms.as_viewer()
        stream = Listening(oms.edge, viewer.sessid)
        await stream.until("head")
        async with asyncio.timeout(60):
            by_itself, method = {"oms-unattended": "1"}, "funcservices.list_signed"
            while (await oms.call(method, viewer.sessid, 0, headers=by_itself))["error"] is None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await stream.until("end")
        await stream.done()


@pytest.mark.parametrize(
    ("query", "headers", "status", "word"),
    [
        ("SESSID=8BA9DAE5D36E46B5E13DD035D4BBEE763ADB2801", {}, 400, "never in the address"),
        ("kinds=job.gone", {}, 400, "job"),
        ("after=-1", {}, 400, "after"),
        ("wait_seconds=3", {}, 400, "after, guest, job, kinds, server_hostname"),
        ("", {"authorization": "Bearer nobody"}, 401, "log in"),
        ("", {"origin": "https://evil.example"}, 403, "Another site"),
    ],
)
async def test_a_stream_is_refused(oms: Oms, query: str, headers: dict[str, str], status: int, word: str) -> None:
    stream = Listening(oms.edge, (await oms.as_viewer()).sessid, query, **headers)
    await stream.done()
    assert stream.status == status
    assert word in stream.json["error"]["message"]


async def test_so_many_may_listen_and_no_more(seed: Any, folder: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("oms.server.events.places.OF_A_SESSION", 2)
    async with Oms(seed, folder, event_listeners=3) as oms:
        viewer, admin = await oms.as_viewer(), await oms.as_admin()
        streams = [Listening(oms.edge, person.sessid) for person in (viewer, viewer, admin)]
        for stream in streams:
            await stream.until("head")
        for person in (viewer, admin):
            refused = await Listening(oms.edge, person.sessid).done()
            assert (refused.status, refused.json["error"]["name"]) == (429, "FuncManError")
        streams[2].leave()
        await streams[2].done()
        error = await viewer.error(LIST, 0, await head(viewer), 10, 30)
        assert error.data["reason"] == "too_many_listeners"
        oms.edge.ending()
        for stream in streams[:2]:
            assert "being stopped" in (await stream.until("end")).data["reason"]
            await stream.done()


async def test_five_hundred_listeners_hear_the_same_and_it_is_written_once(
    seed: Any, folder: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("oms.server.events.places.OF_A_SESSION", 1000)
    async with Oms(seed, folder) as oms:
        viewer = await oms.as_viewer()
        streams = [Listening(oms.edge, viewer.sessid, "kinds=tag") for _ in range(500)]
        for stream in streams:
            await stream.until("head")
        for number in range(20):
            await oms.store.write(give(number))
        await eventually(lambda: all(len(stream.kinds) == 20 for stream in streams))
        assert len({bytes(stream.answer) for stream in streams}) == 1
        for stream in streams:
            stream.leave()
            await stream.done()


async def test_however_many_listen_others_have_their_turn_between(oms: Oms) -> None:
    log, heard = oms.edge._pipeline._house.events.log, 0

    async def listen(listener: Listener) -> Page:
        nonlocal heard
        await listener.wait(300)
        heard += 1
        return await listener.read(10)

    async with contextlib.AsyncExitStack() as open_, asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        view = View(Permission.VIEWER, "viewer", whole(["tag"]))
        listeners = [await open_.enter_async_context(log.listening(view, None)) for _ in range(5 * AT_A_TIME)]
        hearing = [tasks.create_task(listen(listener)) for listener in listeners]
        await oms.store.write(give(1))
        at_once = before = 0
        while heard < len(listeners):
            await asyncio.sleep(0)
            at_once, before = max(at_once, heard - before), heard
        assert at_once == AT_A_TIME
    assert {len(task.result().events) for task in hearing} == {1}


# --- hosts, guests, consoles


async def test_hosts_come_and_go_and_say_what_is_another(oms: Oms) -> None:
    host = await oms.sign_in_double("h1")
    viewer = await oms.as_viewer()
    [connected, changed] = (await told(viewer, 0, 10, 10, ["host.connected", "host.changed"]))[:2]
    assert (connected["kind"], changed["kind"], changed["host"]) == ("host.connected", "host.changed", "h1")
    begin = await head(viewer)
    await host.tell_facts(msgspec.structs.replace(FACTS, cpus=8, vmcount=4))
    await host.tell_facts(msgspec.structs.replace(FACTS, cpus=8, vmcount=4))  # the same again is a sign of life
    oms.bus.disconnect(host.id)
    [changed, gone] = await until(viewer, begin, "host.gone", "host")
    assert changed["data"] == {"what": ["cpus", "vmcount"]}
    oms.bus.reconnect(host.id)
    await until(viewer, gone["sequence"], "host.connected", "host")


async def test_guests_are_told_by_what_has_become_of_them(oms: Oms) -> None:
    host = await joined(oms, "h1", line(1, "web"), line(101, "db", kind="openvz"))
    viewer = await oms.as_viewer()
    await until(viewer, 0, "guests.changed")
    house = oms.edge._pipeline._house
    await eventually(lambda: len(dict(house.inventory.all())[host.id]) == 2)
    begin = await head(viewer)
    house.events.gathering.say(give(1))  # told with all that is to be told before it
    await until(viewer, begin, "tag.given")
    begin = await head(viewer)
    new, off = line(2, "new"), line(1, "web", "shutdown")
    await tell(host, GuestNews("s", 2, "kvm", (new, off)))
    await tell(host, GuestNews("s", 3, "kvm", (msgspec.structs.replace(off, revision=1, name="www"),)))
    await tell(host, GuestNews("s", 4, "openvz", gone=("101",)))
    await until(viewer, begin, "guest.gone")
    found = {event["guest"]["id"]: event for event in await told(viewer, begin, 100, 0, ["guest"])}
    assert found[new.id]["kind"] == "guest.appeared"
    assert found[new.id]["guest"] == {"type": "kvm", "id": new.id, "name": "new"}
    assert found["101"]["kind"] == "guest.gone"
    changed = found[off.id]
    assert (changed["kind"], changed["data"]["state"], changed["guest"]["name"]) == (
        "guest.changed", "shutdown", "www",
    )  # fmt: skip
    assert {"name", "definition"} <= set(changed["data"]["what"])
    begin = await head(viewer)
    await tell(host, GuestNews("s", 5, "kvm", tuple(line(number, f"m{number}") for number in range(3, 103))))
    [event] = await until(viewer, begin, "guests.changed")
    assert event["host"] == "h1", "more than anybody wants to hear of one by one"


async def test_how_busy_a_host_is_is_told_when_it_is_notably_another(oms: Oms) -> None:
    host = await oms.sign_in_double("h1")
    viewer = await oms.as_viewer()
    await until(viewer, 0, "host.connected")
    for used, idle in ((0, 0), (50, 50), (101, 99), (200, 100)):
        figures = Figures(4, {"user": used, "idle": idle}, 1.0, memory_kb=1000, memory_available_kb=500)
        await host.wire.publish("figures", msgspec.json.encode(figures))
    found = await until(viewer, 0, "host.measured", "host.measured")
    assert found[-1]["data"]["cpu_percent"] in (50.0, 99.0)
    assert found[-1]["data"]["memory_available_kb"] == 500


async def test_consoles_are_told_to_who_has_them_and_to_administrators(oms: Oms) -> None:
    await oms.sign_in_double("h1")
    operator, other = await oms.as_operator(), await oms.as_viewer()
    house = oms.edge._pipeline._house
    host = await oms.store.read(lambda tx: hosts.by_name(tx, "h1"))
    session = await house.sessions.check(operator.sessid)
    assert host is not None
    begin = await head(operator)
    console = Console("c" * 32, "vnc", session, host, "m1", "kvm")
    changes: tuple[Change, ...] = ("opened", "closed")
    for change in changes:
        house.events.console(console, "operator", change)
    found = await until(operator, begin, "console.closed", "console")
    assert kinds(found) == ["console.opened", "console.closed"]
    assert found[0]["data"] == {"console": "c" * 32, "kind": "vnc", "of": "m1"}
    assert await told(other, begin, 10, 0, ["console"]) == []
