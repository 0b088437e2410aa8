"""What floods the real server costs it little memory, and nobody else his time."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.security.watched import Watched
from tests.security.wire import request, soon, written

pytestmark = pytest.mark.hosts
MB = 1024 * 1024
CHUNKED = request("POST", "/", b"", {"transfer-encoding": "chunked"})
PIECE = b"10000\r\n" + b" " * 65_536 + b"\r\n"
DISCOVER = [{"jsonrpc": "2.0", "id": number, "method": "rpc.discover"} for number in range(100)]
BATCH = request("POST", "/", json.dumps(DISCOVER).encode())


def serves_at_once(watched: Watched) -> bool:
    """Whether a new caller is answered within a second, by OMS and through it by its host."""

    def come() -> None:
        with watched.connect() as connection:
            assert connection.call("authservices.checksessid", watched.honest.sessid)["error"] is None

    return soon(come) and watched.serves_at_once()


def test_two_hundred_slow_callers_hold_up_nobody(watched: Watched) -> None:
    """Some say nothing, some not even within TLS, some half a request, some do not read what they asked for."""
    sent = [
        b"",
        b"GET /?id=1&service=",
        request("POST", "/", headers={"content-length": "1000"}) + b"{",
        CHUNKED + b"1\r\n",
        BATCH * 3,
    ]
    with contextlib.ExitStack() as ends:
        for _ in range(30):
            for data in sent:
                ends.enter_context(watched.connect()).send(data)
            for half in (b"", b"\x16\x03\x01\x02\x00\x01"):
                plain = ends.enter_context(
                    contextlib.closing(socket.create_connection(("127.0.0.1", watched.port)))
                )
                plain.sendall(half)
        for _ in range(10):
            assert serves_at_once(watched)
    assert serves_at_once(watched)


@contextlib.contextmanager
def at_most(pid: int, most_mb: float) -> Iterator[None]:
    """Fails where a process needs more memory than that above what it has now, at any time."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # its highest point is now
    before = _memory_mb(pid, "VmRSS")
    yield
    assert _memory_mb(pid, "VmHWM") - before < most_mb


def _memory_mb(pid: int, what: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{what}:")]
    return int(line.split()[1]) / 1024


POURED = {
    "a body": (request("POST", "/", headers={"content-length": str(1024 * MB)}), b" " * 65_536),
    "a body in pieces": (CHUNKED, PIECE),
    "a body for a page": (request("POST", "/enrol", headers={"content-length": str(1024 * MB)}), b" " * 65_536),
    "an address": (b"GET /?", b"a" * 65_536),
    "headers": (b"GET / HTTP/1.1\r\n", b"x: y\r\n" * 10_000),
    "a header": (b"GET / HTTP/1.1\r\nx: ", b"y" * 65_536),
    "trailers": (CHUNKED + b"0\r\n", b"x: y\r\n" * 10_000),
    "an extension": (CHUNKED + b"1;", b"y" * 65_536),
    "lists": (request("POST", "/", headers={"content-length": str(MB)}), b"[]," * 20_000),
    "blank lines": (b"", b"\r\n" * 30_000),
}


def test_what_is_poured_into_the_server_does_not_stay_there(watched: Watched) -> None:
    """Ten callers at once, each with something that does not end: 32 MiB of it."""

    def pour(begin: bytes, again: bytes) -> None:
        with watched.connect(seconds=30) as connection, contextlib.suppress(OSError):
            connection.send(begin).pour(again, 32 * MB)

    with at_most(watched.pid("server"), 50):
        _all_at_once([lambda begin=begin, again=again: pour(begin, again) for begin, again in POURED.values()])  # type: ignore[misc]
        assert serves_at_once(watched)
    assert serves_at_once(watched)


def test_the_largest_answers_to_anybody_need_little_memory(watched: Watched) -> None:
    """Ten callers without a session, who ask for all that may be asked for and do not read it."""
    with at_most(watched.pid("server"), 50), contextlib.ExitStack() as ends:
        callers = [ends.enter_context(watched.connect()) for _ in range(10)]
        for caller in callers:
            caller.send(BATCH * 5)
        assert serves_at_once(watched)
        assert [reply is not None and reply.status for reply in (caller.reply() for caller in callers)] == [
            200
        ] * 10


def test_the_largest_calls_at_once_need_little_memory(watched: Watched) -> None:
    body = written("authservices.authenticate", ["x", [[]] * 200_000])

    def call() -> None:
        with watched.connect(seconds=30) as connection:
            assert connection.ask("POST", "/", body).status == 200

    with at_most(watched.pid("server"), 150):
        _all_at_once([call] * 8)
    assert serves_at_once(watched)


def _all_at_once(acts: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=act) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
