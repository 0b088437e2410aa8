"""Three servers over one PostgreSQL and three nats-servers: any of them answers any call, and none is needed."""

import contextlib
import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from oms.bus import enrolment
from oms.client.sync import Client
from tests.hosts import uploads
from tests.hosts.history import Watcher
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.listening import head, listening
from tests.hosts.listening import until as heard
from tests.hosts.ordeal import Ordeal
from tests.hosts.several import NODES, SERVERS, Several, several
from tests.hosts.stack import NO_ANSWER, Caller, CallFailed
from tests.waiting import until

pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module")
def ordeal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ordeal]:
    root = tmp_path_factory.mktemp("several")
    with contextlib.ExitStack() as parts:
        libvirtd = parts.enter_context(PrivateLibvirtd(root / "virt", log_filters="1:remote"))
        watcher = parts.enter_context(Watcher(libvirtd))
        oms = parts.enter_context(several(root / "oms", libvirtd.uri))
        yield Ordeal(oms, libvirtd, watcher, {})


def oms_of(ordeal: Ordeal) -> Several:
    assert isinstance(ordeal.oms, Several)
    return ordeal.oms


def test_what_is_done_at_one_server_holds_at_the_others(ordeal: Ordeal) -> None:
    oms = oms_of(ordeal)
    assert uploads.request(oms, "GET", "/healthz", {}, []) == uploads.Brought(200, {"status": "ok"})
    with contextlib.closing(oms.at("s1")) as first, contextlib.closing(oms.at("s2")) as second:
        second.sessid = first.sessid  # a session is everybody's
        with ordeal.machine("shared") as name:
            assert second.kvm("list_vms_status")[name]["state"] == "shutdown"  # recorded there from now on
            assert first.kvm("start_vm", name) == 0
            until(lambda: _state(second, name) == "running", "what was recorded is not dropped", 2)
            (task,) = [task for task in second.task("list_tasks") if task["target"] == name]
            assert (task["method"], task["state"]) == ("kvmservices.start_vm", "done")
        first.tag("add_tag", "blue", "node1")
        assert [bearer["name"] for bearer in second.tag("list_tagged", "blue")] == ["node1"]
        first.call("userservices", "end_sessions", first.sessid, 0, "admin")
        until(lambda: not _in(second), "the session has not ended", 2)


def _state(caller: Caller, machine: str) -> str:
    state: str = caller.kvm("list_vms_status", cache_timeout=600)[machine]["state"]
    return state


def _in(caller: Caller) -> bool:
    answer = caller.raw("authservices", "checksessid", caller.sessid)
    return answer["error"] is None


def test_a_change_at_one_server_is_heard_of_at_the_others_and_read_on_from_anywhere(ordeal: Ordeal) -> None:
    """What comes after a number is the same whoever is asked."""
    oms = oms_of(ordeal)
    with (
        ordeal.machine("heard") as name,
        contextlib.closing(oms.at("s1")) as first,
        contextlib.closing(oms.at("s2")) as second,
    ):
        begin = head(first)
        with listening(oms.ports["s1"], first, begin) as events:
            second.tag("add_tag", "loud", "node1")
            assert second.kvm("start_vm", name) == 0
            found = heard(events, "tag.given", "job.begun", "job.ended", "guest.changed")
        middle = found[len(found) // 2]["sequence"]
        for server in ("s2", "s3"):
            with listening(oms.ports[server], first, middle) as events:
                later = [event for event in found if event["sequence"] > middle]
                assert [next(events) for _ in later] == later
        assert [event["sequence"] for event in found] == list(range(begin + 1, begin + 1 + len(found)))


def test_a_listener_whose_server_dies_reads_on_at_another_and_misses_nothing(ordeal: Ordeal) -> None:
    oms = oms_of(ordeal)
    ca = (oms.homes[0] / "tls" / "pinned-ca.crt").read_text()
    known = enrolment.fingerprint(enrolment.read_certificate(ca))
    begun = threading.Event()
    told: list[str] = []

    def listen(client: Client, after: int) -> None:
        for event in client.events(after=after, kinds=["tag.given"]):
            told.append(event.data.tag)  # type: ignore[union-attr]
            begun.set()
            if told[-1] == "t19":
                return

    addresses = [f"https://127.0.0.1:{oms.ports[server]}" for server in ("s1", "s3")]
    with (
        contextlib.closing(oms.at("s2")) as other,
        Client(addresses, ca_sha256=known, sessid=other.sessid) as client,
    ):
        listener = threading.Thread(target=listen, args=(client, head(other)))
        listener.start()
        for number in range(20):
            other.tag("add_tag", f"t{number}", "node1")
            if number == 5:
                assert begun.wait(60)
                oms.kill("s1")
        listener.join(60)
        assert told == [f"t{number}" for number in range(20)]
        assert client.url == addresses[1]
    oms.start("s1")
    oms.wait_for_server("s1")


def test_nothing_is_lost_or_done_twice_when_each_part_is_killed_in_turn(ordeal: Ordeal) -> None:
    """Servers, nodes of the bus, and the database after each of the servers."""
    oms = oms_of(ordeal)

    def trouble() -> None:
        for server, node in zip(SERVERS, NODES, strict=True):
            for killed in (server, node, "the database"):
                oms.kill_database() if killed == "the database" else oms.again(killed, signal.SIGKILL)
                ordeal.works(jobs=2)

    evidence = ordeal.during(trouble)
    evidence.killed["server"] = len(SERVERS)
    assert len(evidence.told("done")) > 10
    ordeal.judge(evidence)


def test_what_a_server_leaves_for_good_is_taken_up_by_another(ordeal: Ordeal) -> None:
    """Its host hangs while it dies; how the job ended is had from another one."""
    oms = oms_of(ordeal)
    with (
        ordeal.machine("orphan") as name,
        contextlib.closing(oms.at("s1")) as dying,
        contextlib.closing(oms.at("s2")) as other,
    ):
        with oms.hung("agent"):
            asked = threading.Thread(target=_silent, args=(lambda: dying.kvm("start_vm", name),))
            asked.start()
            until(lambda: other.task("list_tasks", "unfinished"), "there is no job")
            (task,) = other.task("list_tasks", "unfinished")
            oms.kill("s1")
            asked.join()
        ended = other.task("wait_task", task["id"], 40)
        assert ended["state"] in ("done", "failed"), ended  # one that never reached the host was over in time
        runs = other.kvm("list_vms_status")[name]["state"] == "running"
        assert runs == (ended["state"] == "done")
    oms.start("s1")
    oms.wait_for_server("s1")


def _silent(call: Callable[[], object]) -> None:
    with contextlib.suppress(*NO_ANSWER):
        call()


def test_no_call_fails_when_all_servers_are_restarted_one_by_one(ordeal: Ordeal) -> None:
    def upgrade() -> None:
        for name in SERVERS:
            oms_of(ordeal).again(name, signal.SIGTERM)

    evidence = ordeal.during(upgrade)
    assert not [str(call) for call in evidence.calls if call.told in ("silence", "unknown")]
    assert not [str(call) for call in evidence.told("error") if call.error["name"] == "HostUnavailable"]
    assert len(evidence.told("done")) > 10
    ordeal.judge(evidence)


def test_no_call_fails_when_the_nodes_of_the_bus_are_restarted_one_by_one(ordeal: Ordeal) -> None:
    """Their clients are let go in turns, as the unit does it; those of the last are cut off."""
    oms = oms_of(ordeal)

    def upgrade() -> None:
        for name, how in zip(NODES, (signal.SIGUSR2, signal.SIGUSR2, signal.SIGTERM), strict=True):
            oms.again(name, how)
            for server in SERVERS:
                until(lambda server=server: _answers(oms, server), f"{server} does not reach the host", 60)  # type: ignore[misc]

    evidence = ordeal.during(upgrade)
    assert not [str(call) for call in evidence.calls if call.told in ("silence", "unknown")]
    away = ("host_unavailable", "HostUnavailable")
    assert not [str(call) for call in evidence.told("error") if any(word in str(call.error) for word in away)]
    assert len(evidence.told("done")) > 10
    ordeal.judge(evidence)


def test_bytes_are_brought_at_one_server_and_taken_at_another(ordeal: Ordeal) -> None:
    """The agent knows s1."""
    oms, content = oms_of(ordeal), os.urandom(1_500_000)
    with contextlib.closing(oms.at("s2")) as caller, facing(oms, "s2"):
        begun = caller.iso("upload_image", "far.iso", len(content), hashlib.sha256(content).hexdigest())
        brought = uploads.bring(oms, caller, begun["address"], content)
        assert (brought.status, brought.body["state"]) == (200, "done"), brought
        assert (oms.iso / "far.iso").read_bytes() == content
        assert caller.iso("delete_image", "far.iso") == 0


@contextlib.contextmanager
def facing(oms: Several, server: str) -> Iterator[None]:
    """`oms.port` is that server's meanwhile."""
    before, oms.port = oms.port, oms.ports[server]
    try:
        yield
    finally:
        oms.port = before


def test_a_bus_that_loses_one_of_its_servers_carries_on(ordeal: Ordeal) -> None:
    oms = oms_of(ordeal)
    for name in NODES:
        oms.again(name, signal.SIGKILL)
        with contextlib.closing(oms.caller()) as caller:
            oms.wait_for_host(caller)
            for server in SERVERS:
                until(lambda server=server: _answers(oms, server), f"{server} does not reach the host", 20)  # type: ignore[misc]


def _answers(oms: Several, server: str) -> bool:
    with contextlib.closing(oms.at(server)) as caller:
        try:
            caller.kvm("list_vms_status")
        except CallFailed:
            return False
        return True
