"""How answers leave: in one write each, at once, over connections that are cheap to make again."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms.bus import pinning
from oms.server.edge import protocol
from tests.security.served import Served
from tests.security.wire import request, written
from tests.server.rig import Seed

RECORD_BYTES = 16 * 1024  # the most that TLS puts into one
APPLICATION_DATA = 23
CHECK = request("POST", "/", written("authservices.checksessid", ["x"]))
DISCOVER = request("POST", "/", b'{"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}')


@pytest.fixture
def served(seed: Seed, folder: Path) -> Iterator[Served]:
    with Served(seed, folder) as running:
        yield running


class Wire:
    """A connection whose encrypted bytes are looked at as they come."""

    def __init__(self, port: int) -> None:
        self._plain = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = pinning.unverified()
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # in which nothing but answers is application data
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")

    def __enter__(self) -> "Wire":
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._plain.sendall(self._out.read())
                self._in.write(self._plain.recv(65_536))
            else:
                self._plain.sendall(self._out.read())
                return self

    def __exit__(self, *_: object) -> None:
        self._plain.close()

    def ask(self, data: bytes) -> tuple[list[int], int]:
        """The lengths of the records of the answer, and in how many pieces they came."""
        self._tls.write(data)
        self._plain.sendall(self._out.read())
        came, pieces = b"", 0
        while not came or not (lengths := whole_records(came)):
            came += self._plain.recv(1024 * 1024)
            pieces += 1
        return lengths, pieces


def whole_records(came: bytes) -> list[int]:
    """The lengths of the records that the bytes are, the last of which is not full; none where some is missing."""
    lengths = []
    while came:
        length = int.from_bytes(came[3:5])
        if len(came) < 5 + length:
            return []
        assert came[0] == APPLICATION_DATA
        lengths.append(length)
        came = came[5 + length :]
    return lengths if lengths[-1] < RECORD_BYTES else []


def test_an_answer_is_one_record_in_one_packet(served: Served) -> None:
    """Head and body apart would be two of each, and the second may wait for the first one's acknowledgement."""
    with Wire(served.port) as wire:
        for _ in range(20):
            [_length], pieces = wire.ask(CHECK)
            assert pieces == 1


def test_a_long_answer_has_no_more_records_than_it_needs(served: Served) -> None:
    with Wire(served.port) as wire:
        *full, _last = wire.ask(DISCOVER)[0]
    assert len(full) > 2
    assert all(length >= RECORD_BYTES for length in full)


def test_no_answer_waits_for_the_acknowledgement_of_another(served: Served) -> None:
    async def delays() -> list[bool]:
        sockets = [each.transport.get_extra_info("socket") for each in served.server.server_state.connections]
        return [not each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in sockets]

    with served.connect() as caller:
        assert caller.send(CHECK).reply() is not None
        assert served.do(delays()) == [False]


def test_a_caller_that_comes_again_need_not_be_shown_the_certificate_again(served: Served) -> None:
    context = pinning.unverified()
    with served.connect(context=context) as caller:
        assert caller.send(CHECK).reply() is not None
        session = caller.tls.session
    plain = socket.create_connection(("127.0.0.1", served.port), timeout=60)
    with context.wrap_socket(plain, server_hostname="localhost", session=session) as again:
        again.sendall(CHECK)
        assert again.recv(65_536).startswith(b"HTTP/1.1 200 OK")
        assert again.version() == "TLSv1.3"
        assert again.session_reused


def test_a_head_that_came_in_time_is_answered_however_long_the_server_was_held_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held up where it hears of what came: it would look at its timers before it hears of anything else."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 1.0)
    held, go_on = threading.Event(), threading.Event()
    bell, wire = socket.socketpair()

    def hold_up() -> None:
        loop.remove_reader(wire)
        held.set()
        go_on.wait(60)

    async def listen() -> asyncio.AbstractEventLoop:
        asyncio.get_running_loop().add_reader(wire, hold_up)
        return asyncio.get_running_loop()

    loop = served.do(listen())
    with bell, wire, served.connect() as caller:
        while not served.server.server_state.connections:  # the timer runs from here on
            time.sleep(0.01)
        bell.send(b"!")
        assert held.wait(60)
        caller.send(CHECK)
        time.sleep(1.5)  # by the clock the head is late now
        go_on.set()
        reply = caller.reply()
    assert reply is not None
    assert reply.status == 200
