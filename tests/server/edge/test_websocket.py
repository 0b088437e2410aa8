"""Browsers that go at any moment, and what is no browser: no bug is logged, and nothing of them stays."""

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oms.server.consoles.relay import GONE, Socket, both, inward, outward
from oms.server.edge.consoles import ConsoleDoor
from tests.hosts.raw_socket import CLOSE, RawSocket
from tests.security.served import Served
from tests.server.rig import Seed
from tests.waiting import until

PAUSES = (0.0, 0.0005, 0.002, 0.005)
MIB = 1024 * 1024


class Screen:
    """A far end that never ends, and takes whatever it is sent."""

    async def read(self, n: int) -> bytes:
        await asyncio.sleep(0)
        return bytes(min(n, 4096))

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...


class Shown:
    """Lets all WebSockets in to a screen, as consoles are shown. `slow`: the handshake is not answered at once."""

    def __init__(self) -> None:
        self.sockets: set[Socket] = set()
        self.slow = 0.0

    async def socket(self, _scope: Any, receive: Any, send: Any, _ours: Any) -> None:
        await receive()
        await asyncio.sleep(self.slow)
        await send({"type": "websocket.accept"})
        shown, screen = Socket(receive, send), Screen()
        self.sockets.add(shown)
        try:
            await both(outward(screen, shown), inward(shown, screen, lambda: None, view_only=False))
            await shown.close(1000, "The other side has ended.")
        finally:
            self.sockets.discard(shown)

    async def send_off(self) -> None:
        """As when a console is closed, or taken over."""
        for one in list(self.sockets):
            with contextlib.suppress(OSError):
                await one.close(GONE, "The console was removed.")


@pytest.fixture(scope="module")
def shown() -> Iterator[Shown]:
    made = Shown()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConsoleDoor, "socket", lambda _self, *asgi: made.socket(*asgi))
        yield made


@pytest.fixture(scope="module")
def served(seed: Seed, shown: Shown) -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="oms-") as folder, Served(seed, Path(folder)) as running:
        yield running


@pytest.fixture(autouse=True)
def no_bugs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [one.getMessage() for one in caplog.get_records("call") if one.levelno >= logging.WARNING] == []


def opened(served: Served) -> RawSocket:
    return RawSocket(served.port, "/console/ws", f"https://127.0.0.1:{served.port}")


def nobody_is_left(served: Served) -> bool:
    state = served.server.server_state
    return not state.tasks and not state.connections


def hangs_up(client: RawSocket) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def says_so_and_hangs_up(client: RawSocket) -> None:
    client.send(b"\x03\xe8", CLOSE)
    client.close()


def says_so_and_goes_on(client: RawSocket) -> None:
    client.send(b"\x03\xe8", CLOSE)
    client.send(b"and another thing")
    reads_to_the_end(client)


def says_too_much(client: RawSocket) -> None:
    client.send(b"a", size=2 * MIB)
    reads_to_the_end(client)


def reads_to_the_end(client: RawSocket) -> None:
    while client.sock.recv(MIB):
        pass


def stops_in_the_middle(client: RawSocket) -> None:
    client.send(b"a", size=100)
    client.close()


@pytest.mark.parametrize("sent_off", [False, True])
@pytest.mark.parametrize(
    "leave", [hangs_up, says_so_and_hangs_up, says_so_and_goes_on, says_too_much, stops_in_the_middle]
)
def test_who_goes_in_the_midst_of_it_leaves_nothing_behind(
    served: Served, shown: Shown, leave: Callable[[RawSocket], None], sent_off: bool
) -> None:
    """S-WS-5, also when the server ends it at the same moment."""
    for pause in PAUSES:
        client = opened(served)
        with contextlib.closing(client), contextlib.suppress(OSError):  # refused while it still writes
            client.take(1)
            leaving = threading.Thread(target=leave, args=(client,))
            time.sleep(pause)  # how far the two are apart, not something waited for
            if sent_off:
                leaving.start()
                served.do(shown.send_off())
                leaving.join()
            else:
                leave(client)
        until(lambda: nobody_is_left(served))


def test_who_is_sent_off_in_the_midst_of_it_is_told_why(served: Served, shown: Shown) -> None:
    with contextlib.closing(opened(served)) as client:
        client.take(MIB)
        served.do(shown.send_off())
        served.do(shown.send_off())  # twice: by its session's end and by its host's removal, say
        assert client.close_code() == GONE
    until(lambda: nobody_is_left(served))


def head(served: Served, path: bytes, *more: bytes) -> bytes:
    name = b"127.0.0.1:%d" % served.port
    lines = (
        b"GET %s HTTP/1.1" % path,
        b"Host: " + name,
        b"Origin: https://" + name,
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *more,
    )
    return b"\r\n".join(lines) + b"\r\n\r\n"


@pytest.mark.parametrize("then", [b"", b"\x82\x80\0\0\0\0", b"\x88\x80\0\0\0\0", b"\x8f\x80\0\0\0\0", b"no frame"])
def test_who_does_not_wait_for_the_handshakes_answer_breaks_nothing(
    served: Served, shown: Shown, then: bytes
) -> None:
    shown.slow = 0.05
    for pause in PAUSES:
        with served.connect() as client:
            client.send(head(served, b"/console/ws"))
            time.sleep(pause)  # in one piece with the handshake, or after it
            client.send(then)
        until(lambda: nobody_is_left(served))
    shown.slow = 0.0


@pytest.mark.parametrize("name", ["long path", "letters", "long header", "many headers", "no key", "old version"])
def test_a_handshake_that_cannot_be_read_is_the_last_of_its_connection(served: Served, name: str) -> None:
    heads = {
        "long path": head(served, b"/console/ws?ticket=" + b"a" * 10_000),
        "letters": head(served, "/console/ws?ticket=häh".encode()),
        "long header": head(served, b"/console/ws", b"X-Long: " + b"a" * 10_000),
        "many headers": head(served, b"/console/ws", *(b"X-%d: a" % number for number in range(300))),
        "no key": head(served, b"/console/ws").replace(b"Sec-WebSocket-Key", b"X-Key"),
        "old version": head(served, b"/console/ws").replace(b"Version: 13", b"Version: 8"),
    }
    with served.connect() as client, contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        client.send(heads[name])
        client.send(b"\x82\x80\0\0\0\0")
        assert b" 4" in client.tls.recv(100)
        while client.tls.recv(65_536):
            pass
    until(lambda: nobody_is_left(served))


def test_a_server_that_ends_waits_for_nobody_who_is_leaving(seed: Seed, folder: Path, shown: Shown) -> None:
    with contextlib.ExitStack() as clients, Served(seed, folder) as ending:
        leaves = clients.enter_context(contextlib.closing(opened(ending)))
        leaves.take(1)
        leaves.send(b"\x03\xe8", CLOSE)
