"""What a page of another site can make a visitor's browser do here: it changes nothing, and reads nothing."""

import asyncio
import json
import threading
from typing import Any
from urllib.parse import quote

import pytest

from oms.contract.kvm import StopVm
from oms.contract.registry import OPERATIONS
from tests.contract.roles import CHANGES
from tests.security import calls
from tests.security.attack import Attack
from tests.security.calls import Kind
from tests.security.served import Served
from tests.security.wire import HOST, request, written
from tests.server.asgi import Reply
from tests.server.rig import Oms, answering

FROM_ELSEWHERE = {
    "an image or a link": {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    "a page beside us": {"sec-fetch-site": "same-site", "origin": "https://other.localhost"},
    "a form": {"origin": "https://evil.example", "content-type": "text/plain"},
    "a frame without an origin": {"origin": "null"},
    "a name that begins like ours": {"origin": "https://localhost:8000.evil.example"},
    "a name that ends like ours": {"origin": "https://evillocalhost:8000"},
    "another port of ours": {"origin": "https://localhost:8002"},
    "our own name without TLS": {"origin": "http://localhost:8000"},
    "our own name at another scheme": {"origin": "chrome-extension://localhost:8000"},
}
FROM_HERE: dict[str, dict[str, str]] = {
    "a program": {},
    "our own page": {"origin": "https://localhost:8000", "sec-fetch-site": "same-origin"},
    "a person's address bar": {"sec-fetch-site": "none"},
}
CHANGING = [kind for kind in OPERATIONS if kind.facts.wire in CHANGES]


async def test_no_other_sites_page_changes_anything_even_with_a_right_session_id(oms: Oms) -> None:
    await oms.sign_in_double("h1", {StopVm: answering(0)})
    admin = await oms.as_admin()
    async with Attack(oms, admin.sessid) as attack:
        for kind in CHANGING:
            await _come_from_elsewhere(oms, attack, kind, calls.legal(kind, admin.sessid))


async def _come_from_elsewhere(oms: Oms, attack: Attack, kind: Kind, params: list[Any]) -> None:
    for headers in FROM_ELSEWHERE.values():
        for by in ("GET", "POST"):
            error = await attack.refused(kind.facts.wire, params, by=by, headers=headers)
            assert error["name"] == "PermissionDenied", kind
        call = {"jsonrpc": "2.0", "method": kind.facts.wire, "params": params}
        reply = await oms.request("POST", "/", body=json.dumps(call).encode(), headers=headers)
        assert reply.status == 204, kind
        attack.unanswered()
        reply = await oms.request("POST", "/", body=json.dumps({**call, "id": 7}).encode(), headers=headers)
        assert attack.held(kind.facts.wire, reply)["name"] == "PermissionDenied", kind
    reply = await oms.request("HEAD", _address(kind, params), headers=FROM_ELSEWHERE["an image or a link"])
    attack.held(kind.facts.wire, reply)


def _address(kind: Kind, params: list[Any]) -> str:
    return f"/?id=7&service={kind.facts.service.name}&method={kind.facts.name}&params={quote(json.dumps(params))}"


@pytest.mark.parametrize("headers", FROM_HERE.values(), ids=FROM_HERE)
async def test_our_own_page_and_programs_may_change_things(oms: Oms, headers: dict[str, str]) -> None:
    host = await oms.sign_in_host("h1", {StopVm: answering(0)})
    operator = await oms.as_operator()
    await operator.ask("kvmservices.stop_vm", 0, "h1", "vm1", headers=headers)
    assert host.done == {"stop_vm": 1}


async def test_another_sites_page_may_ask_and_not_read(oms: Oms) -> None:
    """A browser lets that page read an answer only where the answer says so, and ours never does."""
    viewer = await oms.as_viewer()
    for headers in FROM_ELSEWHERE.values():
        for verb in ("GET", "POST", "OPTIONS"):
            preflight = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
            reply = await oms.request(
                verb,
                "/",
                body=written("authservices.checksessid", [viewer.sessid]),
                headers={**headers, **preflight},
            )
            _unreadable_elsewhere(reply)


def _unreadable_elsewhere(reply: Reply) -> None:
    assert [name for name in reply.headers if name.startswith("access-control-")] == []
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert not {"set-cookie", "server"} & set(reply.headers)
    assert reply.headers.get("location", "/ui/") == "/ui/", "it sends to our own pages, and nowhere else"


async def test_a_call_by_script_is_refused_and_answered_with_no_script(oms: Oms) -> None:
    """qooxdoo's script transport, and what other programs call JSONP."""
    viewer = await oms.as_viewer()
    async with Attack(oms, viewer.sessid) as attack:
        data = quote(written("funcservices.list_signed", [viewer.sessid, 0]).decode())
        reply = await oms.request("GET", f"/?_ScriptTransport_id=1&_ScriptTransport_data={data}")
        _unreadable_elsewhere(reply)
        assert reply.headers["content-type"] == "application/json"
        assert attack.held("", reply, calls=0)["name"] == "PermissionDenied"
    asked = _address(next(kind for kind in OPERATIONS if kind.facts.name == "list_signed"), [viewer.sessid, 0])
    for more in ("&callback=evil", "&jsonp=evil", "&_callback=evil"):
        reply = await oms.request("GET", asked + more)
        assert reply.headers["content-type"] == "application/json"
        assert reply.json["error"] is None
        assert b"evil" not in reply.body


# --- over the wire


def test_no_answer_sets_a_cookie_sends_elsewhere_or_can_be_framed(served: Served) -> None:
    sessid = served.session()
    asked = {
        "a result": request("POST", "/", written("authservices.checksessid", [sessid])),
        "an error": request("POST", "/", written("authservices.checksessid", ["x"])),
        "no call": request("GET", "/"),
        "no body": request("POST", "/"),
        "another verb": request("DELETE", "/"),
        "the CA": request("GET", "/ca.pem"),
        "enrolment": request("POST", "/enrol", b"{}"),
        "nothing": request("GET", "/nothing"),
        "a redirect that some servers give": request("GET", "//evil.example/%2f.."),
        "a folder": request("GET", "/enrol/"),
        "a long address": request("GET", "/?" + "a" * 20_000),
        "long headers": request("GET", "/", headers={"x": "a" * 9_000}),
        "longer headers": request("GET", "/", headers={"x": "a" * 200_000}),
        "a long body": request("POST", "/", b"x" * 2_000_000),
        "another name": request("GET", "/", headers={"host": "evil.example"}),
    }
    for what, data in asked.items():
        with served.connect() as caller:
            reply = caller.send(data).reply()
            assert reply is not None, what
            _unreadable_elsewhere(reply)


def test_a_cookie_is_no_session(served: Served) -> None:
    sessid = served.session("admin")
    with served.connect() as caller:
        for headers in (
            {"cookie": f"SESSID={sessid}"},
            {"authorization": f"Bearer {sessid}"},
            {"x-sessid": sessid},
        ):
            for params in ((), ("",), (None,)):
                answer = caller.call("authservices.checksessid", *params, headers=headers)
                assert answer["error"]["name"] == "AuthError"


NOT_OURS = (
    *("evil.example:8000", "evil.example", "localhost.evil.example", "evil.example#localhost", "localhost@evil"),
    *("", ":8000", "[evil.example]:8000", "[::1", "::1]", "127.0.0.1.evil.example", "127.0.0.1.1", "0x7f.1"),
    *("localhost.", "localhost:8000:evil", "*", "..", "local host"),
)
OURS = ("localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]", "192.0.2.1")


def test_a_name_that_is_not_ours_is_answered_by_nobody(served: Served) -> None:
    """DNS rebinding: a page of evil.example whose name was made to mean our address asks under its own name."""
    body = written("authservices.authenticate", ["admin", "wrong"])
    with served.connect() as caller:
        for host in NOT_OURS:
            reply = caller.ask("POST", "/", body, {"host": host})
            assert reply.status == 421, host
            assert b"evil" not in reply.body
        assert served.oms.audited() == []
        for host in OURS:
            assert (
                caller.call("authservices.checksessid", served.session(), headers={"host": host})["error"] is None
            )


def test_two_names_are_none(served: Served) -> None:
    for names in (("evil.example", HOST), (HOST, "evil.example"), (HOST, HOST)):
        lines = b"".join(b"host: %s\r\n" % name.encode() for name in names)
        with served.connect() as caller:
            reply = caller.send(b"GET / HTTP/1.1\r\n" + lines + b"\r\n").reply()
            assert reply is not None
            assert reply.status in (400, 421)


def test_a_change_that_is_sent_again_because_the_connection_broke_is_made_once(served: Served) -> None:
    """Browsers and proxies may repeat a GET whose answer they did not see, and do."""
    gate = threading.Event()

    async def stop(_op: StopVm) -> int:
        while not gate.is_set():  # noqa: ASYNC110 - it is opened from another thread
            await asyncio.sleep(0.01)
        return 0

    host = served.do(served.oms.sign_in_host("h1", {StopVm: stop}))
    sessid = served.session("operator")
    asked = request("GET", _address(StopVm, [sessid, 0, "h1", "vm1"]))
    for _ in range(5):
        with served.connect() as impatient:
            impatient.send(asked)
    with served.connect() as first, served.connect() as second:
        first.send(asked)
        second.send(asked)
        gate.set()
        answers = [connection.reply() for connection in (first, second)]
    assert [answer and answer.json["result"]["result"] for answer in answers] == [
        {"client": "h1", "result": 0}
    ] * 2
    with served.connect() as caller:
        tasks = caller.call("taskservices.list_tasks", sessid, 0)["result"]["result"]
    assert len(tasks) == 1
    assert host.done == {"stop_vm": 1}


def test_a_request_that_was_cut_off_is_no_call(served: Served) -> None:
    """A body that is whole JSON before it has ended by its own length."""
    served.do(served.oms.sign_in_double("h1", {StopVm: answering(0)}))
    body = written("kvmservices.stop_vm", [served.session("operator"), 0, "h1", "vm1"])
    longer = request("POST", "/", body, {"content-length": str(len(body) + 1)})
    chunked = request("POST", "/", b"", {"transfer-encoding": "chunked"}) + b"%x\r\n%s\r\n" % (len(body), body)
    for data in (longer, chunked):
        with served.connect() as caller:
            caller.send(data)
    served.do(asyncio.sleep(0.2))  # long enough for a call to be taken up
    assert "kvmservices.stop_vm" not in {line["method"] for line in served.oms.audited()}
    assert served.oms.changes_sent() == []
