"""Consoles over the whole wire: WebSockets as a page opens them, OMS, a real sshd, a machine's screen, a shell."""

import contextlib
import json
import random
import signal
import socket as sockets
import struct
import subprocess
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import libvirt
import psutil
import pytest
from websockets.sync.client import ClientConnection

from tests.hosts import browser_socket
from tests.hosts.browser_socket import ask_ticket, closed, not_let_in, open_socket, said, ticket
from tests.hosts.guests import domain_xml
from tests.hosts.impostor import in_place_of, screen_socket
from tests.hosts.kvm_machines import emptied
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.raw_socket import PING, RawSocket
from tests.hosts.sshd import PrivateSshd
from tests.hosts.stack import NAME, Caller, CallFailed, Stack
from tests.waiting import until

pytestmark = pytest.mark.hosts
SCREEN = "<graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga'/></video>"
BY_PORT = "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/><video><model type='vga'/></video>"
RFB = b"RFB 003.008\n"
MIB = 1024 * 1024
QUESTIONS = 200_000
"""Pings: were each answered into memory, that would be 25 MiB."""


@pytest.fixture(scope="module")
def sshd(libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSshd]:
    with PrivateSshd(tmp_path_factory.mktemp("sshd"), libvirtd) as made:
        yield made


@pytest.fixture(scope="module")
def oms(libvirtd: PrivateLibvirtd, sshd: PrivateSshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("oms"), libvirtd.uri, **sshd.agent_settings) as stack:
        until(lambda: sshd.keys.exists() and "opennode-oms" in sshd.keys.read_text())
        yield stack


@pytest.fixture
def caller(oms: Stack) -> Iterator[Caller]:
    with session(oms) as made:
        yield made


@pytest.fixture(scope="module")
def screen(libvirtd: PrivateLibvirtd, oms: Stack) -> Iterator[libvirt.virDomain]:
    """A machine that idles in its firmware and shows that."""
    with emptied(libvirtd.uri) as virt:
        yield machine(virt, oms, "winxp2", SCREEN)


@contextlib.contextmanager
def session(oms: Stack) -> Iterator[Caller]:
    with contextlib.closing(oms.caller()) as made:
        yield made
        made.call("authservices", "deauthenticate", made.sessid)


def machine(virt: libvirt.virConnect, oms: Stack, name: str, devices: str) -> libvirt.virDomain:
    console = oms.directory / f"{name}.console"
    xml = domain_xml(name, memory_mb=64, vcpu=1, console=console, disk=None, image=None, devices=devices)
    made = virt.defineXML(xml)
    made.create()
    return made


def set_up(caller: Caller, name: str = "winxp2") -> int:
    answer = caller.call("kvmservices", "set_up_vnc_connection", caller.sessid, 0, NAME, name)
    assert isinstance(answer, str)
    return int(answer)


def terminal(caller: Caller) -> int:
    return int(caller.call("sshservices", "set_up_ssh_connection", caller.sessid, 0, NAME))


def vnc(caller: Caller, method: str, *params: object) -> object:
    return caller.call("kvmservices", method, caller.sessid, 0, *params)


def refused(name: str, call: Callable[[], object]) -> str:
    with pytest.raises(CallFailed) as failed:
        call()
    assert failed.value.name == name
    return str(failed.value.error["message"])


def framebuffer(socket: ClientConnection) -> tuple[int, int]:
    """The whole of RFB's handshake as a viewer does it; the screen's width and height."""
    stream = Bytes(socket)
    assert stream.take(12) == RFB
    socket.send(RFB)
    kinds = stream.take(stream.take(1)[0])
    assert 1 in kinds  # none: who gets here was let in by OMS
    socket.send(b"\x01")
    assert stream.take(4) == b"\0\0\0\0"
    socket.send(b"\x01")
    width, height = int.from_bytes(stream.take(2)), int.from_bytes(stream.take(2))
    stream.take(16)
    name = stream.take(int.from_bytes(stream.take(4)))
    assert b"winxp2" in name
    socket.send(b"\x03\x00" + bytes(4) + width.to_bytes(2) + height.to_bytes(2))
    assert stream.take(1) == b"\0"
    return width, height


class Bytes:
    """A WebSocket's messages as one stream."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._left = socket, b""

    def take(self, count: int) -> bytes:
        while len(self._left) < count:
            data = self._socket.recv(timeout=60)
            assert isinstance(data, bytes)
            self._left += data
        taken, self._left = self._left[:count], self._left[count:]
        return taken


def test_a_screen_is_set_up_seen_listed_checked_and_removed(
    oms: Stack, caller: Caller, screen: libvirt.virDomain
) -> None:
    port = set_up(caller)
    assert 6800 <= port <= 6899
    assert vnc(caller, "list_session_vnc_connections") == [{"host": NAME, "port": port, "vm": "winxp2"}]
    assert vnc(caller, "check_session_vnc_connection", port) == "0"
    with open_socket(port, ticket(oms.pages_port, caller.sessid, port), pages=oms.pages_port) as socket:
        assert framebuffer(socket) == (720, 400)
        assert vnc(caller, "remove_vnc_connection", NAME, "winxp2") == str(port)
        assert closed(socket) == 4001
    assert vnc(caller, "list_session_vnc_connections") == []
    with pytest.raises(ConnectionRefusedError):
        sockets.create_connection(("127.0.0.1", port), 5).close()


def test_each_reason_why_a_screen_is_not_set_up_has_its_name(
    oms: Stack, caller: Caller, screen: libvirt.virDomain, libvirtd: PrivateLibvirtd
) -> None:
    assert "no machine" in refused("VNCRemoteSetUpError", lambda: set_up(caller, "nobody")).lower()
    port = set_up(caller)
    assert str(port) in refused("VNCAreadySetUpError", lambda: set_up(caller))
    assert str(port) in refused("VNCAreadySetUpError", lambda: set_up(caller, screen.UUIDString()))
    with session(oms) as other:
        assert "admin" in refused("VNCAreadySetUpAnotherSessionError", lambda: set_up(other))
        refused("VNCRemoveError", lambda: vnc(other, "remove_vnc_connection", NAME, "winxp2"))
        refused("VNCConnectionCheckError", lambda: vnc(other, "check_session_vnc_connection", port))
        assert vnc(other, "remove_session_vnc_connections") == 0
    assert vnc(caller, "check_session_vnc_connection", port) == "0"
    assert vnc(caller, "remove_session_vnc_connections") == 0
    refused("VNCRemoveError", lambda: vnc(caller, "remove_vnc_connection", NAME, "winxp2"))
    refused("VNCConnectionCheckError", lambda: vnc(caller, "check_session_vnc_connection", port))


def test_a_machine_that_is_off_or_has_no_screen_says_so(
    oms: Stack, caller: Caller, libvirtd: PrivateLibvirtd, screen: libvirt.virDomain
) -> None:
    with contextlib.closing(libvirtd.connect()) as virt:
        blind = machine(virt, oms, "blind", "")
        try:
            assert "no screen" in refused("VNCRemoteSetUpError", lambda: set_up(caller, "blind"))
            blind.destroy()
            assert "is off" in refused("VNCRemoteSetUpError", lambda: set_up(caller, "blind"))
        finally:
            blind.undefine()


def test_a_screen_on_a_port_of_the_host_is_shown_too(
    oms: Stack, caller: Caller, libvirtd: PrivateLibvirtd, screen: libvirt.virDomain
) -> None:
    with contextlib.closing(libvirtd.connect()) as virt:
        made = machine(virt, oms, "old", BY_PORT)
        try:
            port = set_up(caller, "old")
            with open_socket(port, ticket(oms.pages_port, caller.sessid, port), pages=oms.pages_port) as socket:
                assert socket.recv(timeout=60) == RFB
        finally:
            made.destroy()
            made.undefine()


def test_the_old_address_never_shows_another_machine(
    oms: Stack, caller: Caller, libvirtd: PrivateLibvirtd, screen: libvirt.virDomain
) -> None:
    """S-WS-2."""
    with contextlib.closing(libvirtd.connect()) as virt:
        first = machine(virt, oms, "again", SCREEN)
        port = set_up(caller, "again")
        paper = ticket(oms.pages_port, caller.sessid, port)
        first.destroy()
        first.undefine()
        second = machine(virt, oms, "again", SCREEN)  # the same name, another machine
        try:
            refused("VNCConnectionCheckError", lambda: vnc(caller, "check_session_vnc_connection", port))
            with open_socket(port, paper, pages=oms.pages_port) as socket:
                assert closed(socket) == 4003
        finally:
            second.destroy()
            second.undefine()


def test_only_a_page_of_ours_with_a_ticket_of_that_port_is_let_in(
    oms: Stack, caller: Caller, screen: libvirt.virDomain
) -> None:
    """S-WS-1."""
    pages = oms.pages_port
    port = set_up(caller)
    good = f"https://127.0.0.1:{pages}"
    for origin in (
        "https://evil.example",
        "null",
        f"http://127.0.0.1:{pages}",
        "https://127.0.0.1:1",
        good + ".evil",
    ):
        paper = ticket(pages, caller.sessid, port)
        assert not_let_in(port, paper, pages=pages, origin=origin) == 403
        with open_socket(port, paper, pages=pages):  # the ticket was not even looked at
            pass
    other = terminal(caller)  # only now: one that nobody looks at is closed after a minute
    for paper in ("", "x", ticket(pages, caller.sessid, other), caller.sessid):
        assert not_let_in(port, paper, pages=pages) == 403
    used = ticket(pages, caller.sessid, port)
    with open_socket(port, used, pages=pages):
        pass
    assert not_let_in(port, used, pages=pages) == 403


def test_a_ticket_is_for_the_session_that_set_the_console_up(
    oms: Stack, caller: Caller, screen: libvirt.virDomain
) -> None:
    """S-WS-3."""
    port = set_up(caller)
    with session(oms) as other:
        assert ask_ticket(oms.pages_port, other.sessid, port)[0] == 404
    assert ask_ticket(oms.pages_port, "0" * 40, port)[0] == 401
    assert ask_ticket(oms.pages_port, caller.sessid, port, origin="https://evil.example")[0] == 403
    assert (
        ask_ticket(oms.port, caller.sessid, port, path="/console/ticket", origin=f"https://127.0.0.1:{oms.port}")[
            0
        ]
        == 200
    )


def test_a_console_ends_with_its_session(oms: Stack, screen: libvirt.virDomain) -> None:
    """S-WS-3."""
    with contextlib.closing(oms.caller()) as mine:
        port, shell = set_up(mine), terminal(mine)
        with (
            open_socket(port, ticket(oms.pages_port, mine.sessid, port), pages=oms.pages_port) as seen,
            open_socket(shell, ticket(shell, mine.sessid, shell), pages=shell) as typed,
        ):
            framebuffer(seen)
            mine.call("authservices", "deauthenticate", mine.sessid)
            began = time.monotonic()
            assert (closed(seen), closed(typed)) == (4001, 4001)
            assert time.monotonic() - began < 10


def test_the_same_screen_through_the_one_port(oms: Stack, caller: Caller, screen: libvirt.virDomain) -> None:
    port = set_up(caller)
    status, given = ask_ticket(
        oms.port, caller.sessid, port, path="/console/ticket", origin=f"https://127.0.0.1:{oms.port}"
    )
    assert (status, given["kind"], given["title"]) == (200, "vnc", f"winxp2 on {NAME}")
    with open_socket(oms.port, given["ticket"], pages=oms.port, path="/console/ws") as socket:
        assert framebuffer(socket) == (720, 400)


def test_who_opens_a_screen_again_has_it_from_the_one_before(
    oms: Stack, caller: Caller, screen: libvirt.virDomain
) -> None:
    port, pages = set_up(caller), oms.pages_port
    with (
        open_socket(port, ticket(pages, caller.sessid, port), pages=pages) as first,
        open_socket(port, ticket(pages, caller.sessid, port), pages=pages) as second,
    ):
        assert closed(first) == 4002
        framebuffer(second)


def test_a_terminal_runs_commands_takes_its_size_and_comes_back(oms: Stack, caller: Caller) -> None:
    port = terminal(caller)
    assert 6900 <= port <= 6999
    assert caller.call("sshservices", "list_session_ssh_connections", caller.sessid, 0) == [
        {"host": NAME, "port": port}
    ]
    assert caller.call("sshservices", "check_session_ssh_connection", caller.sessid, 0, port) == "0"
    with open_socket(port, ticket(port, caller.sessid, port), pages=port) as socket:
        socket.send(json.dumps({"columns": 100, "rows": 30}))
        socket.send(b"stty size; echo $((6*7)) h\xc3\xa4h\n")
        text = said(socket, r"42 häh")
        assert "30 100" in text
    with open_socket(port, ticket(port, caller.sessid, port), pages=port) as socket:
        assert "42 häh" in said(socket, r"42 häh")  # what was said before
        socket.send(b"exit\n")
        assert closed(socket) == 1000
    with open_socket(port, ticket(port, caller.sessid, port), pages=port) as socket:
        socket.send(b"echo $((7*7))\n")  # another shell
        said(socket, r"49")
    message = refused("SSHAlreadySetUpError", lambda: terminal(caller))
    assert str(port) in message
    with session(oms) as other:
        refused("SSHAlreadySetUpAnotherSessionError", lambda: terminal(other))
    assert caller.call("sshservices", "remove_session_ssh_connections", caller.sessid, 0) == 0
    refused(
        "SSHConnectionCheckError",
        lambda: caller.call("sshservices", "check_session_ssh_connection", caller.sessid, 0, port),
    )


def test_a_server_that_shows_another_key_is_gone_to_once_that_was_said(
    oms: Stack, caller: Caller, sshd: PrivateSshd
) -> None:
    """S-SSH-1."""
    sshd.stop()
    try:
        assert "cannot be reached" in refused("SSHRemoteSetUpError", lambda: terminal(caller))
        sshd.new_key()
        sshd.start()
        assert "not known by the key" in refused("SSHRemoteSetUpError", lambda: terminal(caller))
        oms.kill("agent", signal.SIGTERM)
        oms.processes["agent"].wait(60)
        oms.start("agent")  # which looks at its host's keys when it starts
        oms.wait_for_host(caller)
        assert "not known by the key" in refused("SSHRemoteSetUpError", lambda: terminal(caller))
        (fingerprint,) = caller.call("sshservices", "trust_host_keys", caller.sessid, 0, NAME)
        assert fingerprint == sshd.fingerprint()
        assert terminal(caller)
    finally:
        if not sshd.runs:
            sshd.start()


def test_a_host_that_forbids_it_says_so(
    oms: Stack, sshd: PrivateSshd, screen: libvirt.virDomain, caller: Caller
) -> None:
    with sshd.started_with("PermitTTY no"):
        assert "PermitTTY" in refused("SSHTunnelSetUpError", lambda: terminal(caller))
    with sshd.started_with("PubkeyAuthentication no"):
        assert "authorized_keys" in refused("SSHRemoteSetUpError", lambda: terminal(caller))


def test_omss_key_opens_no_more_than_it_needs(oms: Stack, sshd: PrivateSshd) -> None:
    """S-SSH-1."""
    line = sshd.keys.read_text()
    assert line.startswith("restrict,pty,port-forwarding ssh-ed25519 ")


def test_what_pages_may_do_is_said_with_them(oms: Stack, caller: Caller, screen: libvirt.virDomain) -> None:
    status, headers, _ = browser_socket.get(oms.pages_port, "/vnc.html?SESSID=x&host=127.0.0.1&port=6801")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "connect-src 'self' wss://127.0.0.1:6801" in policy
    assert "script-src 'self';" in policy
    assert headers["referrer-policy"] == "no-referrer"
    _, headers, _ = browser_socket.get(oms.pages_port, "/vnc.html?port=6801", Host=f"[::1]:{oms.pages_port}")
    assert headers["content-security-policy"].endswith(
        "connect-src 'self' wss://*:6801"
    )  # Chromium takes no [::1]
    _, headers, _ = browser_socket.get(oms.pages_port, "/vnc.html?port=443&host=evil.example")
    assert "443" not in headers["content-security-policy"]
    assert browser_socket.get(oms.pages_port, "/../../etc/passwd")[0] == 404
    assert browser_socket.get(oms.pages_port, "/?id=1&service=funcservices&method=list_signed&params=[]")[0] == 404


# --- more than there may be, and worse


def raw(oms: Stack, caller: Caller, port: int, **more: bool) -> RawSocket:
    """A WebSocket that keeps to no rules."""
    pages = oms.pages_port
    return RawSocket(port, f"/?ticket={ticket(pages, caller.sessid, port)}", f"https://127.0.0.1:{pages}", **more)


def test_one_ticket_lets_one_in_however_many_come_with_it(
    oms: Stack, caller: Caller, screen: libvirt.virDomain
) -> None:
    """S-WS-5."""
    port, pages = set_up(caller), oms.pages_port
    path = f"/?ticket={ticket(pages, caller.sessid, port)}"

    def come(_: int) -> int:
        try:
            with contextlib.closing(RawSocket(port, path, f"https://127.0.0.1:{pages}")):
                return 101
        except ConnectionRefusedError as refusal:
            return int(str(refusal).split()[1])

    with ThreadPoolExecutor(8) as crowd:
        assert Counter(crowd.map(come, range(24))) == {101: 1, 403: 23}


def test_a_message_has_a_mebibyte_at_most_whatever_it_says_of_itself_and_is_never_unpacked(
    oms: Stack, caller: Caller, screen: libvirt.virDomain
) -> None:
    """S-WS-5."""
    port = set_up(caller)
    for size, kind in ((100 * MIB, 0x82), (2**62, 0x82), (MIB + 1, 0x81)):
        with contextlib.closing(raw(oms, caller, port)) as socket:
            socket.send(b"a", kind, size=size)  # refused for what it says, before it has come
            assert socket.close_code() == 1009
    with contextlib.closing(raw(oms, caller, port)) as socket:
        socket.send(bytes(MIB // 2), 0x02)
        socket.send(bytes(MIB // 2), 0x00)
        socket.send(b"a", 0x80)
        assert socket.close_code() == 1009
    with contextlib.closing(raw(oms, caller, port, compressed=True)) as socket:
        assert "sec-websocket-extensions" not in socket.answer
        socket.send(b"\x00", 0xC2)  # as if it had been agreed to
        assert socket.close_code() == 1002


def test_who_does_not_read_fills_nothing_and_holds_nobody_up(
    oms: Stack, libvirtd: PrivateLibvirtd, screen: libvirt.virDomain
) -> None:
    """S-WS-5, S-WS-3: a screen that never ends, a viewer that only ever asks, and another session's console."""
    server = psutil.Process(oms.pid("server"))
    with (
        in_place_of(screen_socket(libvirtd, screen), endless),
        contextlib.closing(oms.caller()) as stalled,
        contextlib.closing(oms.caller()) as other,
    ):
        shell = terminal(other)
        deaf = raw(oms, stalled, set_up(stalled))
        with (
            contextlib.closing(deaf),
            open_socket(shell, ticket(shell, other.sessid, shell), pages=shell) as typed,
        ):
            deaf.take(MIB)
            before = server.memory_info().rss
            deaf.sock.settimeout(1)
            with contextlib.suppress(TimeoutError):  # until its own questions are not read any more
                for _ in range(QUESTIONS):
                    deaf.send(bytes(125), PING)
            assert server.memory_info().rss - before < 16 * MIB
            for gone in (stalled, other):
                gone.call("authservices", "deauthenticate", gone.sessid)
            assert closed(typed, 3) == 4001
            deaf.sock.settimeout(20)
            assert deaf.close_code() in (0, 4001)


def endless(sock: sockets.socket) -> None:
    while True:
        sock.sendall(bytes(MIB))


def test_a_far_end_that_says_anything_at_all_is_passed_on_as_it_is(
    oms: Stack, caller: Caller, libvirtd: PrivateLibvirtd, screen: libvirt.virDomain
) -> None:
    """S-WS-6: the relay parses nothing, so there is nothing in it to break."""
    said = random.Random(5).randbytes(3 * MIB)

    def says(sock: sockets.socket) -> None:
        sock.sendall(said)

    with in_place_of(screen_socket(libvirtd, screen), says):
        port = set_up(caller)
        with open_socket(port, ticket(oms.pages_port, caller.sessid, port), pages=oms.pages_port) as socket:
            assert Bytes(socket).take(len(said)) == said
            assert closed(socket) == 1000


def test_who_is_removed_or_may_no_longer_loses_his_consoles(
    oms: Stack, caller: Caller, screen: libvirt.virDomain
) -> None:
    """S-AUTH-7."""
    oms.add_user("ada", "admin")
    pages = oms.pages_port
    with contextlib.closing(Caller(oms.port).log_in("ada", "some words of ada")) as ada:
        port, shell = set_up(ada), terminal(ada)
        with (
            open_socket(port, ticket(pages, ada.sessid, port), pages=pages) as seen,
            open_socket(shell, ticket(shell, ada.sessid, shell), pages=shell) as typed,
        ):
            caller.call("userservices", "set_role", caller.sessid, 0, "ada", "operator")
            assert (closed(seen, 3), closed(typed, 3)) == (4001, 4001)
        port = set_up(ada.log_in("ada", "some words of ada"))
        with open_socket(port, ticket(pages, ada.sessid, port), pages=pages) as seen:
            caller.call("userservices", "delete_user", caller.sessid, 0, "ada")
            assert closed(seen, 3) == 4001
        refused("AuthError", lambda: vnc(ada, "list_session_vnc_connections"))
    assert vnc(caller, "list_session_vnc_connections") == []
    assert consoles_of(oms, caller) == []


def consoles_of(oms: Stack, caller: Caller) -> list[str]:
    """The users of all consoles that are open."""
    return [one["user"] for one in caller.call("consoleservices", "list_consoles", caller.sessid, 0)]


def test_a_browser_that_dies_leaves_no_descriptor_and_no_process(
    oms: Stack, caller: Caller, sshd: PrivateSshd, screen: libvirt.virDomain
) -> None:
    """S-POOL-1: browsers are killed in the midst of it, consoles closed, and again."""

    def there_are() -> tuple[int, int]:
        server = psutil.Process(oms.pid("server"))
        return server.num_fds(), len(sshd.sessions())

    def once() -> None:
        with session(oms) as mine:
            port, shell = set_up(mine), terminal(mine)
            for number in (port, port, shell, shell):
                socket = raw(oms, mine, number)
                socket.take(1)
                socket.sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
                socket.close()
            vnc(mine, "remove_session_vnc_connections")

    once()
    until(lambda: consoles_of(oms, caller) == [])
    before = there_are()
    for _ in range(3):
        once()
    until(lambda: consoles_of(oms, caller) == [] and there_are() <= before)


def test_a_connection_to_the_host_that_breaks_is_said_and_made_anew(
    oms: Stack, caller: Caller, sshd: PrivateSshd, libvirtd: PrivateLibvirtd, screen: libvirt.virDomain
) -> None:
    """In the midst of what a screen says, and of a shell; no other part of OMS sees more of it."""
    pages, port, shell = oms.pages_port, set_up(caller), terminal(caller)
    with (
        in_place_of(screen_socket(libvirtd, screen), endless),
        open_socket(port, ticket(pages, caller.sessid, port), pages=pages) as seen,
        open_socket(shell, ticket(shell, caller.sessid, shell), pages=shell) as typed,
    ):
        Bytes(seen).take(MIB)
        said(typed, "#")
        cut_all(sshd)
        assert closed(seen) == 4004
        assert seen.close_reason == f"The connection to {NAME} broke."
        assert closed(typed) == 1000  # the shell is gone for good
    with open_socket(port, ticket(pages, caller.sessid, port), pages=pages) as seen:
        assert framebuffer(seen)[0] > 0
    with open_socket(shell, ticket(shell, caller.sessid, shell), pages=shell) as typed:
        typed.send(b"echo $((6*7))\n")
        said(typed, "42")
    assert "Exception" not in (oms.directory / "logs" / "server.log").read_text()


def cut_all(sshd: PrivateSshd) -> None:
    """Kill what serves its connections, also those that were made before it was last started."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            ends = process.net_connections() if process.name().startswith("sshd") else []
            if any(end.laddr and end.laddr.port == sshd.port and end.raddr for end in ends):
                process.kill()


def test_consoles_go_on_while_their_hosts_agent_is_away(
    oms: Stack, caller: Caller, screen: libvirt.virDomain
) -> None:
    pages, port, shell = oms.pages_port, set_up(caller), terminal(caller)
    with (
        open_socket(port, ticket(pages, caller.sessid, port), pages=pages) as seen,
        open_socket(shell, ticket(shell, caller.sessid, shell), pages=shell) as typed,
    ):
        width, height = framebuffer(seen)
        oms.kill("agent")
        seen.send(b"\x03\x00" + bytes(4) + width.to_bytes(2) + height.to_bytes(2))
        assert seen.recv(timeout=60)
        typed.send(b"echo $((6*7))\n")
        said(typed, "42")
        oms.start("agent")
        typed.send(b"echo $((7*7))\n")
        said(typed, "49")
    until(lambda: answers(caller))
    with open_socket(port, ticket(pages, caller.sessid, port), pages=pages) as seen:
        assert framebuffer(seen) == (width, height)


def answers(caller: Caller) -> bool:
    with contextlib.suppress(CallFailed):
        caller.kvm("list_vms")
        return True
    return False


def test_no_other_account_comes_to_a_screen_past_oms(
    oms: Stack, caller: Caller, libvirtd: PrivateLibvirtd, screen: libvirt.virDomain
) -> None:
    """S-VNC-1: on the host its socket is closed to others; at OMS there is nothing but what asks for a ticket."""
    place = ET.fromstring(screen.XMLDesc()).find("./devices/graphics/listen")
    assert place is not None
    come = "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", come)
    tried = subprocess.run(
        libvirtd.inside(*nobody, place.attrib["socket"]), check=False, capture_output=True, text=True
    )
    assert "PermissionError" in tried.stderr
    port = set_up(caller)
    with open_socket(port, ticket(oms.pages_port, caller.sessid, port), pages=oms.pages_port):
        there = psutil.Process(oms.pid("server")).net_connections("inet")
        listening = {connection.laddr.port for connection in there if connection.status == psutil.CONN_LISTEN}
        assert listening == {oms.port, oms.pages_port, port}
    assert not_let_in(port, "", pages=oms.pages_port) == 403


def test_a_host_that_is_removed_takes_its_consoles_and_omss_key_with_it(
    oms: Stack, caller: Caller, sshd: PrivateSshd
) -> None:
    """S-SSH-1. The last one here: nothing leads to the host afterwards."""
    port = terminal(caller)
    with open_socket(port, ticket(port, caller.sessid, port), pages=port) as typed:
        caller.func("remove_signed", [NAME])
        assert closed(typed) == 4001
    until(lambda: "opennode-oms" not in sshd.keys.read_text())
