"""Text consoles of guests through the one address: opened, shared, taken over, recorded, closed."""

import contextlib
import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import libvirt
import pytest
from websockets.sync.client import ClientConnection

from oms.agent.guests.containers import ContainerSettings
from oms.server.consoles.consoles import LOOK_SECONDS
from tests.hosts.browser_socket import ask_ticket, closed, not_let_in, open_socket, said
from tests.hosts.containers import made
from tests.hosts.guest_image import TICKING, GuestImage
from tests.hosts.guests import domain_xml
from tests.hosts.kvm_machines import emptied
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.lxc_path import lxc_path
from tests.hosts.sshd import PrivateSshd
from tests.hosts.stack import NAME, Caller, CallFailed, Stack
from tests.small_disk import SmallDisk
from tests.waiting import until

pytestmark = pytest.mark.hosts
READS = "consoleservices.read_recording"
SERIAL = '<serial type="pty"/><console type="pty"><target type="serial" port="0"/></console>'


class Recorded(Stack):
    """One that keeps what consoles say."""

    server_settings: ClassVar = {"record_consoles": "true"}


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSshd]:
    with PrivateSshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with lxc_path() as it:
        yield it


@pytest.fixture(scope="module")
def oms(
    libvirtd: PrivateLibvirtd, sshd: PrivateSshd, path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    settings = {"containers": "lxc", "lxc_path": str(path), "container_stop_seconds": "1"} | sshd.agent_settings
    with Recorded(tmp_path_factory.mktemp("oms"), libvirtd.uri, **settings) as stack:
        yield stack


@pytest.fixture
def caller(oms: Stack) -> Iterator[Caller]:
    with contextlib.closing(oms.caller()) as it:
        yield it
        it.call("authservices", "deauthenticate", it.sessid)


@pytest.fixture(scope="module")
def machine(libvirtd: PrivateLibvirtd, oms: Stack, guest_image: GuestImage) -> Iterator[libvirt.virDomain]:
    """A machine whose guest counts aloud on its serial line."""
    with emptied(libvirtd.uri) as virt:
        file = oms.directory / "console"
        xml = domain_xml(
            "counts", memory_mb=96, vcpu=1, console=file, disk=None, image=guest_image, words=(TICKING,)
        )
        line = f'<serial type="file"><source path="{file}" /></serial>'
        assert line in xml
        it = virt.defineXML(xml.replace(line, SERIAL))
        it.create()
        yield it


def consoles(caller: Caller, method: str, *params: Any) -> Any:
    return caller.call("consoleservices", method, caller.sessid, 0, *params)


def opened(oms: Stack, caller: Caller, console: str) -> ClientConnection:
    return through(oms, caller.sessid, console=console)


def through(oms: Stack, sessid: str, **wanted: str) -> ClientConnection:
    return socket(oms, ticket(oms, sessid, **wanted))


def ticket(oms: Stack, sessid: str, **wanted: str) -> str:
    status, given = ask_ticket(oms.port, sessid, wanted, path="/console/ticket", origin=origin(oms))
    assert status == 200, given
    text: str = given["ticket"]
    return text


def socket(oms: Stack, ticket: str) -> ClientConnection:
    return open_socket(oms.port, ticket, pages=oms.port, path="/console/ws")


def origin(oms: Stack) -> str:
    return f"https://127.0.0.1:{oms.port}"


def refused(call: Callable[[], Any]) -> dict[str, Any]:
    with pytest.raises(CallFailed) as failed:
        call()
    return failed.value.error


@contextlib.contextmanager
def somebody(oms: Stack, name: str, role: str) -> Iterator[Caller]:
    """Another user, for as long."""
    oms.add_user(name, role)
    with contextlib.closing(Caller(oms.port).log_in(name, f"some words of {name}")) as it:
        yield it


def test_a_machines_console_says_what_its_guest_says_to_all_who_look_on(
    oms: Stack, caller: Caller, machine: libvirt.virDomain
) -> None:
    console = consoles(caller, "open_console", NAME, "text", "counts")
    assert console["title"] == f"counts on {NAME}"
    assert console["page"] == f"/console/terminal.html?console={console['id']}"
    assert consoles(caller, "open_console", NAME, "text", "counts") == console
    link = consoles(caller, "share_console", console["id"], 5)
    share = link["page"].partition("#share=")[2]
    with opened(oms, caller, console["id"]) as mine, through(oms, "", share=share) as theirs:
        said(mine, r"oms-guest tick \d+", 60)
        said(theirs, r"oms-guest tick \d+", 60)
        (listed,) = consoles(caller, "list_consoles")
        assert (listed["kind"], listed["guest"], listed["viewers"], listed["recorded"]) == (
            "text",
            "counts",
            2,
            True,
        )
        assert consoles(caller, "close_console", console["id"]) == 0
        assert (closed(mine), closed(theirs)) == (4001, 4001)
    assert consoles(caller, "list_consoles") == []
    assert ask_ticket(oms.port, "", {"share": share}, path="/console/ticket", origin=origin(oms))[0] == 404
    (recorded,) = recordings(caller, console["id"])
    text = read(caller, recorded["id"])
    header = json.loads(text.partition("\n")[0])
    assert (header["version"], header["title"]) == (2, f"counts on {NAME}")
    assert "oms-guest tick" in shown_in(text)
    assert consoles(caller, "delete_recording", recorded["id"]) == 0
    assert recordings(caller, console["id"]) == []


def recordings(caller: Caller, console: str) -> list[dict[str, Any]]:
    """The newest first."""
    page = consoles(caller, "list_recordings")
    return [recorded for recorded in page["recordings"] if recorded["console"] == console]


def read(caller: Caller, recording: str) -> str:
    """All of its file."""
    text, at, size = "", 0, 1
    while at < size:
        piece = consoles(caller, "read_recording", recording, at)
        text, at, size = text + piece["text"], piece["next"], piece["bytes"]
    return text


def shown_in(recording: str) -> str:
    """What a terminal showed: a busy machine says it letter by letter."""
    _, *events = map(json.loads, recording.splitlines())
    return "".join(text for _, kind, text in events if kind == "o")


def test_a_containers_console_takes_a_login(oms: Stack, caller: Caller, path: Path) -> None:
    made(path, "101", ContainerSettings(hostname="box", memory_kb=64 * 1024, vcpus=1))
    caller.call("ovzservices", "start_vm", caller.sessid, 0, NAME, 101)
    try:
        console = consoles(caller, "open_console", NAME, "text", "101", "openvz")
        with opened(oms, caller, console["id"]) as socket:
            assert "box login:" in said(socket, "login:")
            socket.send(b"root\n")
            said(socket, "assword:")
    finally:
        caller.call("ovzservices", "stop_vm", caller.sessid, 0, NAME, 101)


def test_only_an_administrator_takes_over_and_is_let_onto_hosts(
    oms: Stack, caller: Caller, machine: libvirt.virDomain
) -> None:
    with somebody(oms, "oscar", "operator") as oscar:
        assert refused(lambda: consoles(oscar, "open_console", NAME, "ssh"))["name"] == "AuthError"
        console = consoles(oscar, "open_console", NAME, "text", "counts")
        assert (
            "take_over_console"
            in refused(lambda: consoles(caller, "open_console", NAME, "text", "counts"))["message"]
        )
        with opened(oms, oscar, console["id"]) as his:
            said(his, r"tick \d+", 60)
            assert consoles(caller, "take_over_console", console["id"]) == console
            assert closed(his) == 4002
        with opened(oms, caller, console["id"]) as mine:
            said(mine, r"tick \d+", 60)
            assert [listed["user"] for listed in consoles(caller, "list_consoles")] == ["admin"]
            assert consoles(oscar, "list_consoles") == []
            for method in ("close_console", "take_over_console", "share_console"):
                not_his = refused(functools.partial(consoles, oscar, method, console["id"]))
                assert not_his["data"]["reason"] == "not_there"
            kept = {one["user"]: one for one in recordings(caller, console["id"])}  # they may begin in one moment
            after, before = kept["admin"], kept["oscar"]
            assert (after["written"], before["written"]) == (True, False)
            assert recordings(oscar, console["id"]) == [before]
            assert "tick" in shown_in(read(oscar, before["id"]))
            unread = refused(lambda: consoles(oscar, "read_recording", after["id"]))
            assert unread["data"]["reason"] == "not_there"
            assert refused(lambda: consoles(oscar, "delete_recording", before["id"]))["name"] == "AuthError"
            assert refused(lambda: consoles(caller, "delete_recording", after["id"]))["data"]["reason"] == "in_use"
    (row,) = caller.call("auditservices", "list_events", caller.sessid, 0, 0, 1, "oscar", READS, "", "ok")[
        "events"
    ]
    assert (row["target"], row["params"]["offset"]) == (before["id"], 0)


def test_what_was_given_for_a_console_is_worth_nothing_after_another_has_taken_it_over(
    oms: Stack, caller: Caller, machine: libvirt.virDomain
) -> None:
    with somebody(oms, "olaf", "operator") as olaf:
        console = consoles(olaf, "open_console", NAME, "text", "counts")["id"]
        share = consoles(olaf, "share_console", console, 5)["page"].partition("#share=")[2]
        to_type, to_look = ticket(oms, olaf.sessid, console=console), ticket(oms, "", share=share)
        with through(oms, "", share=share) as looks_on:
            said(looks_on, r"tick \d+", 60)
            consoles(caller, "take_over_console", console)
            assert closed(looks_on) == 4002
        with opened(oms, caller, console) as mine:
            said(mine, r"tick \d+", 60)
            for given in (to_type, to_look):
                with socket(oms, given) as late:
                    assert closed(late) == 4002
            assert ask_ticket(oms.port, "", {"share": share}, path="/console/ticket", origin=origin(oms))[0] == 404
            (listed,) = consoles(caller, "list_consoles")
            assert (listed["user"], listed["viewers"]) == ("admin", 1)
        consoles(caller, "close_console", console)


def test_a_token_that_may_less_than_its_owner_comes_to_none_of_his_terminals(oms: Stack, caller: Caller) -> None:
    made = caller.call("userservices", "create_token", caller.sessid, 0, "backup", "operator", 1)
    console = consoles(caller, "open_console", NAME, "ssh")["id"]
    with contextlib.closing(Caller(oms.port)) as program:
        program.sessid = made["token"]
        assert consoles(program, "list_consoles") == []
        for method in ("take_over_console", "share_console", "close_console"):
            not_his = refused(functools.partial(consoles, program, method, console))
            assert not_his["data"]["reason"] == "not_there"
    assert [listed["id"] for listed in consoles(caller, "list_consoles")] == [console]
    consoles(caller, "close_console", console)


def test_who_comes_back_with_a_new_session_has_the_console_that_nobody_looks_at(
    oms: Stack, caller: Caller
) -> None:
    with contextlib.closing(oms.caller()) as anew:
        console = consoles(caller, "open_console", NAME, "ssh")
        with opened(oms, caller, console["id"]) as socket:
            socket.send(b"kept=4; echo $((kept+38))\n")
            said(socket, "42")
            assert refused(lambda: consoles(anew, "open_console", NAME, "ssh"))["data"]["console"] == console["id"]
        until(lambda: consoles(anew, "list_consoles")[0]["viewers"] == 0)
        assert consoles(anew, "open_console", NAME, "ssh") == console
        with opened(oms, anew, console["id"]) as socket:
            socket.send(b"echo a$((kept+19))b\n")
            said(socket, "a23b")
        assert consoles(anew, "close_console", console["id"]) == 0


def test_a_console_that_goes_from_hand_to_hand_stays_open(oms: Stack, caller: Caller) -> None:
    """Also in the moment in which its session is looked at, once a second."""
    with contextlib.closing(oms.caller()) as other:
        console = consoles(caller, "open_console", NAME, "ssh")
        end = time.monotonic() + 4 * LOOK_SECONDS
        while time.monotonic() < end:
            assert consoles(other, "take_over_console", console["id"]) == console
            assert consoles(caller, "take_over_console", console["id"]) == console
        assert consoles(caller, "close_console", console["id"]) == 0


def test_a_console_that_cannot_be_recorded_is_not_opened_and_one_that_cannot_any_more_is_closed(
    oms: Stack, caller: Caller
) -> None:
    with SmallDisk(oms.directory / "server" / "recordings", 1) as disk:
        with disk.full():
            why = refused(lambda: consoles(caller, "open_console", NAME, "ssh"))
            assert (why["name"], why["data"]["reason"]) == ("FuncManError", "not_recorded")
            assert "disk is full. Make room" in why["message"]
            why = refused(lambda: caller.call("sshservices", "set_up_ssh_connection", caller.sessid, 0, NAME))
            assert why["data"]["reason"] == "not_recorded"
            assert consoles(caller, "list_consoles") == []
            assert consoles(caller, "list_recordings")["recordings"] == []
        console = consoles(caller, "open_console", NAME, "ssh")
        with opened(oms, caller, console["id"]) as socket, disk.full():
            socket.send(b"while :; do seq 5000; sleep 0.2; done\n")
            assert closed(socket, 10) in (1000, 4001)
            until(lambda: consoles(caller, "list_consoles") == [])


def test_what_has_no_console_says_so(oms: Stack, caller: Caller, machine: libvirt.virDomain) -> None:
    def words(*params: Any) -> str:
        return str(refused(lambda: consoles(caller, "open_console", NAME, *params))["message"])

    assert "no screen" in words("vnc", "counts")
    assert "no machine" in words("text", "nobody").lower()
    assert "container" in words("text", "999", "openvz").lower()
    assert "has no guest" in words("ssh", "counts")
    assert "has no guest" in words("text")
    assert refused(lambda: consoles(caller, "close_console", "0" * 32))["data"]["reason"] == "not_there"


def test_a_terminal_on_the_host_through_the_one_address(oms: Stack, caller: Caller) -> None:
    console = consoles(caller, "open_console", NAME, "ssh")
    with opened(oms, caller, console["id"]) as socket:
        socket.send(b"echo $((6*7))\n")
        said(socket, "42")
    assert not_let_in(oms.port, "x", pages=oms.port, path="/console/ws") == 403
    assert not_let_in(oms.port, "x", pages=oms.port, path="/") == 403
