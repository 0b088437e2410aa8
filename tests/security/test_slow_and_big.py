"""Callers that send much, slowly, or read nothing are cut off in time, and hold up nobody meanwhile."""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms.server.edge import protocol
from tests.security.served import Served
from tests.security.wire import HOST, Connection, request, soon, written
from tests.server.carriers import CONTENT, begin, ends, uploading_host
from tests.server.rig import Seed
from tests.server.streams import Stream

KB, MB = 1024, 1024 * 1024
CHUNKED = request("POST", "/", b"", {"transfer-encoding": "chunked"})
HEAD = f"host: {HOST}\r\n".encode()


def serves_at_once(served: Served) -> None:
    """Whoever comes now, on a new connection, is answered at once."""

    def ask() -> None:
        with served.connect() as caller:
            assert caller.call("authservices.checksessid", "x")["error"]["name"] == "AuthError"

    assert soon(ask)


# --- big

TOO_BIG = {
    "an address of 64 KiB": (request("GET", "/?" + "a" * 64 * KB), 414),
    "an address of 1 MiB": (request("GET", "/?" + "a" * MB), 414),
    "an address a little too long": (request("GET", "/?" + "a" * (16 * KB)), 414),
    "a header of 1 MiB": (request("GET", "/", headers={"x": "a" * MB}), 431),
    "a header a little too long": (request("GET", "/", headers={"x": "a" * 8 * KB}), 431),
    "a header's name of 64 KiB": (request("GET", "/", headers={"x" * 64 * KB: "a"}), 431),
    "ten thousand headers": (request("GET", "/", headers={f"x{number}": "a" for number in range(10_000)}), 431),
    "a body one byte too long": (request("POST", "/", b" " * (MB + 1)), 413),
}
BEYOND_READING = {
    "an address that does not end": (b"GET /?" + b"a" * MB, 414),
    "a header that does not end": (b"GET / HTTP/1.1\r\nx: " + b"a" * MB, 431),
    "headers that do not end": (b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * (MB // 6), 431),
    "a body of 4 MiB": (request("POST", "/", b" " * 4 * MB), 413),
    "a body in pieces that does not end": (CHUNKED + (b"10000\r\n" + b" " * 64 * KB + b"\r\n") * 20, 413),
    "a piece with 1 MiB of extensions": (CHUNKED + b"5;" + b"a" * MB, 431),
    "1 MiB of trailers": (CHUNKED + b"0\r\n" + b"x: a\r\n" * (MB // 6), 431),
    "a trailer of 1 MiB": (CHUNKED + b"0\r\nx: " + b"a" * MB, 431),
    "a length of 20 digits": (request("POST", "/", headers={"content-length": "9" * 20}), 400),
    "a negative length": (request("POST", "/", headers={"content-length": "-1"}), 400),
    "two lengths": (b"POST / HTTP/1.1\r\n" + HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}", 400),
    "a length and pieces": (CHUNKED[:-2] + b"content-length: 2\r\n\r\n{}", 400),
    "a piece without a length": (CHUNKED + b"x\r\n", 400),
    "a verb of 64 KiB": (b"A" * 64 * KB, 400),
    "another protocol": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "random bytes": (bytes(range(256)), 400),
}


def test_what_is_too_big_is_refused_by_its_number(served: Served) -> None:
    for what, (data, status) in {**TOO_BIG, **BEYOND_READING}.items():
        with served.connect() as caller:
            with contextlib.suppress(OSError):  # it may hang up before it has all of that
                caller.send(data)
            reply = caller.reply()
            assert reply is not None, what
            assert (reply.status, len(reply.body) < 200) == (status, True), what
            if what in BEYOND_READING:
                assert caller.ended(), what
    serves_at_once(served)
    assert served.oms.audited()[:-1] == []


def test_what_just_fits_is_taken(served: Served) -> None:
    with served.connect() as caller:
        body = written("authservices.checksessid", ["x"])
        assert caller.ask("POST", "/", body + b" " * (MB - len(body))).status == 200
        assert caller.ask("GET", "/?" + "a" * (16 * KB - 1)).status == 400
        assert caller.ask("GET", "/?x", headers={"x": "a" * (8 * KB - 100)}).status == 400
        pieces = b"".join(b"1;some=thing\r\n%c\r\n" % byte for byte in body) + b"0\r\ntrailer: x\r\n\r\n"
        reply = caller.send(CHUNKED + pieces).reply()
        assert reply is not None
        assert reply.json["error"]["name"] == "AuthError"


def test_a_request_that_is_answered_before_it_was_read_is_the_last_on_its_connection(served: Served) -> None:
    """Else its body would be waited for without end, or be taken for the next request."""
    smuggled = request("POST", "/", written("authservices.checksessid", ["smuggled"]))
    for target, headers in (("/nothing", {}), ("/", {"host": "evil.example"}), ("/?" + "a" * 17_000, {})):
        for verb in ("POST", "GET", "PUT"):
            with served.connect() as caller:
                head = request(verb, target, headers={**headers, "content-length": str(len(smuggled) + 1)})
                reply = caller.send(head).reply()
                assert reply is not None
                assert reply.headers["connection"] == "close"
                with contextlib.suppress(OSError):
                    caller.send(smuggled)
                assert caller.ended()
    assert served.oms.audited() == []


def test_requests_in_a_row_are_answered_in_their_order(served: Served) -> None:
    """What comes in one piece with a long body, be it half a head, is counted for itself."""
    sessids = [f"{number}" for number in range(20)]
    first = request("POST", "/", b"[" + b" " * 200_000)
    more = b"".join(request("POST", "/", written("x.y", [sessid])) for sessid in sessids)
    with served.connect() as caller:
        caller.send(first + more[:-40])
        time.sleep(0.1)
        caller.send(more[-40:])
        statuses = [reply.status for _ in range(21) if (reply := caller.reply()) is not None]
    assert statuses == [400] + [200] * 20


BATCH = json.dumps([{"jsonrpc": "2.0", "id": number, "method": "rpc.discover"} for number in range(100)]).encode()


def test_a_batch_is_answered_up_to_a_length_and_calls_nothing_after_that(served: Served) -> None:
    with served.connect() as caller:
        reply = caller.ask("POST", "/", BATCH)
    assert len(reply.body) < 2 * MB
    refused = [answer for answer in reply.json if "error" in answer]
    assert [answer["id"] for answer in reply.json] == list(range(100))
    assert 50 < len(refused) < 100
    assert {answer["error"]["data"]["name"] for answer in refused} == {"PermissionDenied"}
    assert "make it by itself" in refused[0]["error"]["message"]


# --- slow


@pytest.fixture
def hasty(seed: Seed, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server that waits half a second where the real one waits as long as is written in `docs/operating.md`."""
    documented = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
    waits = re.search(
        r"headers within (\d+) s, its body within (\d+) s, and reads an answer within (\d+) s", documented
    )
    assert waits is not None
    real = protocol.HEAD_SECONDS, protocol.BODY_SECONDS, protocol.UNREAD_SECONDS
    assert tuple(int(wait) for wait in waits.groups()) == real == (10, 30, 60)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(protocol, "UNREAD_SECONDS", 0.5)
    with Served(seed, folder) as running:
        yield running


WHOLE = request("POST", "/", written("authservices.checksessid", ["x"]))
SLOW = {
    "nothing at all": (b"", b""),
    "the head a byte at a time": (b"GET /?", b"a"),
    "one header after the other": (b"GET / HTTP/1.1\r\n" + HEAD, b"x: y\r\n"),
    "blank lines before a head": (b"", b"\r\n"),
    "a body that never begins": (request("POST", "/", headers={"content-length": "9"}), b""),
    "a body a byte at a time": (request("POST", "/", headers={"content-length": "999"}), b" "),
    "a body in pieces that has no end": (CHUNKED, b"1\r\n \r\n"),
    "an extension a byte at a time": (CHUNKED + b"1;", b"a"),
    "trailers a byte at a time": (CHUNKED + b"0\r\nx: ", b"a"),
    "the body of a page": (request("POST", "/enrol", headers={"content-length": "99"}), b" "),
}


@pytest.mark.parametrize("before", [b"", WHOLE], ids=["at first", "after a whole call"])
def test_what_comes_too_slowly_is_cut_off(hasty: Served, before: bytes) -> None:
    """All of them at once, each sending something every 50 ms: that it moves at all buys nobody time."""
    with contextlib.ExitStack() as ends:
        slow: dict[str, Connection] = {}
        for what, (begin, _) in SLOW.items():
            slow[what] = ends.enter_context(hasty.connect())
            if before:
                slow[what].send(before)
                assert slow[what].reply() is not None
            slow[what].send(begin)
        for _ in range(20):
            time.sleep(0.05)
            serves_at_once(hasty)
            for what, (_, again) in SLOW.items():
                with contextlib.suppress(OSError):
                    slow[what].send(again)
        for what, caller in slow.items():
            if before and what == "nothing at all":
                continue  # between two calls a connection may rest: see the next test
            reply = caller.reply()
            assert reply is not None, what
            assert reply.status == 408, what
            assert caller.ended(2), what


def test_a_connection_rests_between_calls_but_not_for_ever(hasty: Served) -> None:
    with hasty.connect() as caller:
        for _ in range(2):
            assert caller.send(WHOLE).reply() is not None
            time.sleep(1)
    serves_at_once(hasty)


def test_a_caller_who_does_not_read_is_hung_up_on(hasty: Served) -> None:
    asked = (
        request("POST", "/", b'{"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}') * 400
    )  # 24 MB of answers
    with hasty.connect(seconds=20) as caller:
        caller.send(asked)
        for _ in range(15):
            time.sleep(0.1)
            serves_at_once(hasty)
        answered = 0
        while caller.reply() is not None:
            answered += 1
        assert answered < 400


def test_bulk_may_take_its_time_where_somebody_is_known_and_nowhere_else(hasty: Served) -> None:
    """An upload of hours is no attack; without a session, not one second of it is waited for."""
    host = hasty.do(uploading_host(hasty.oms))
    operator = hasty.do(hasty.oms.as_operator())
    job = hasty.do(begin(operator))
    head = {"authorization": f"Bearer {operator.sessid}", "content-length": str(len(CONTENT))}

    async def take() -> Stream:
        return host.takes(job)

    taking = hasty.do(take())
    with hasty.connect() as caller:
        caller.send(request("PUT", f"/transfers/{job}", headers=head))
        for piece in (CONTENT[:1000], CONTENT[1000:2000], CONTENT[2000:]):
            time.sleep(0.7)
            caller.send(piece)
        hasty.do(taking.done())
        assert taking.answer == CONTENT
        hasty.do(ends(host, job))
        reply = caller.reply()
        assert reply is not None
        assert reply.json["state"] == "done"
    with hasty.connect() as caller:
        reply = caller.send(request("PUT", f"/transfers/{job}", headers={"content-length": "300000"})).reply()
        assert reply is not None
        assert reply.status == 401
        assert caller.ended()
