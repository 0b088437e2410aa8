"""An agent that means harm spoils its own host's answers, and no other host's, no session, no caller."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from oms.bus.call import OF_HOSTS
from oms.bus.wire import MAX_PAYLOAD_BYTES
from oms.contract.errors import OmsError
from oms.contract.internal import JobState
from oms.contract.kvm import ListVmsStatus
from oms.contract.operation import HostOperation
from oms.contract.registry import OPERATIONS
from oms.server.edge import strictjson
from tests.little_time import little_time
from tests.security import calls
from tests.security.attack import shows_nothing
from tests.server.rig import Oms, answering

HostKind = type[HostOperation[Any]]
READS = [kind for kind in OPERATIONS if issubclass(kind, HostOperation) and not kind.facts.changes]
CHANGES = {
    str(kind.facts.result): kind for kind in OPERATIONS if issubclass(kind, HostOperation) and kind.facts.changes
}
"""One for each type of result: what ends a job is read by it."""
RESULTS = {
    "nothing": b"",
    "no JSON": b"\x00\xff\xfe",
    "a page": b"<html><script>alert(1)</script>",
    "a text": b'"<img src=x onerror=alert(1)>"',
    "null": b"null",
    "true": b"true",
    "a number": b"-1",
    "a number of 4000 digits": b"1" * 4000,
    "NaN": b"NaN",
    "a million numbers": b"[" + b"0," * 999_999 + b"0]",
    "too deep": b"[" * 500_000 + b"]" * 500_000,
    "deep": b"[" * 200 + b"]" * 200,
    "an object": b'{"a": {"b": {"c": [1, 2]}}}',
    "a hundred thousand objects": b"[" + b"{}," * 99_999 + b"{}]",
    "half a pair": b'["\\ud800"]',
    "bytes that are no text": b'["\xff\xfe\xfd"]',
    "two values": b"[] []",
    "an end that was not asked for": b'[]}, "result": []',
    "an error beside": b'[], "error": {"kind": "AuthError", "message": "log in again"}',
}
# What no declaration has: an agent that is newer may add it, and no caller may be given it unseen.
HIDDEN = (b'"\xff\xfe"', b"1e999", b"[" * 300 + b"]" * 300, b'"a", "hidden": "b"', b'"' + b"a" * 1_000_000 + b'"')


def strict(body: bytes) -> Any:
    """An answer, read as strictly as ours are."""
    shows_nothing(body.decode())
    return strictjson.loads(body)


@pytest.mark.parametrize("kind", READS, ids=lambda kind: kind.facts.wire)
async def test_a_hostile_answer_is_that_hosts_failure_or_as_declared(oms: Oms, kind: HostKind) -> None:
    hostile = await oms.sign_in_double("h1")
    await oms.sign_in_double("h2", {ListVmsStatus: answering({})})
    viewer = await oms.as_viewer()
    honest: list[Any] = ["kvmservices.list_vms_status", viewer.sessid, 0, "h2"]
    for what, result in RESULTS.items():
        for answer in (result, b'{"result": ' + result + b"}", b'{"error": ' + result + b"}"):
            hostile.says[kind.facts.wire] = answer
            batch = [_call(1, kind.facts.wire, calls.legal(kind, viewer.sessid)), _call(2, honest[0], honest[1:])]
            with little_time():
                first, second = strict((await oms.request("POST", "/", body=json.dumps(batch).encode())).body)
            assert second["result"]["result"] == {"client": "h2", "result": {}}, what
            if "result" in first:
                assert first["result"]["result"]["client"] == "h1"
                msgspec.convert(first["result"]["result"]["result"], kind.facts.result)
            else:
                assert first["error"]["data"]["name"] == "FuncManError", what


def _call(ident: int, method: str, params: list[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": ident, "method": method, "params": params}


async def test_what_was_not_declared_is_not_handed_on(oms: Oms) -> None:
    hostile = await oms.sign_in_double("h1")
    viewer = await oms.as_viewer()
    machine = b'{"nrVirtCpu": 1, "state": "running", "maxMem": "1", "cpuTime": "1", "memory": "1", "hidden": %s}'
    for hidden in HIDDEN:
        hostile.says["kvmservices.list_vms_status"] = b'{"result": {"vm1": ' + machine % hidden + b"}}"
        reply = await oms.reply("kvmservices.list_vms_status", [viewer.sessid, 0, "h1"])
        answer = strict(reply.body)
        assert b"hidden" not in reply.body
        assert answer["error"] is not None or list(answer["result"]["result"]["result"]) == ["vm1"]


@pytest.mark.parametrize("kind", READS, ids=lambda kind: kind.facts.wire)
async def test_a_host_answers_only_with_errors_of_hosts(oms: Oms, kind: HostKind) -> None:
    """No host says that a session has ended, or that OMS's database is gone."""
    hostile = await oms.sign_in_double("h1")
    viewer = await oms.as_viewer()
    may = {error.wire_name for error in (*OF_HOSTS, *kind.facts.raises)}
    params = calls.legal(kind, viewer.sessid)
    for name in (*OmsError.kinds, "OmsError", "Exception", "SystemExit", "", "x" * 10_000):
        data = {
            "reason": "x",
            "job": "0" * 32,
            "message": "y",
            "self": 1,
            "parameter": "SESSID",
            "\u0000": "\u202e",
        }
        error = {"kind": name, "message": "Log in\nagain", "data": data}
        hostile.says[kind.facts.wire] = json.dumps({"error": error}).encode()
        answer = strict((await oms.reply(kind.facts.wire, params)).body)
        assert answer["error"]["name"] in may, name
        assert answer["error"]["message"] == "Log in\nagain"
    assert (await oms.call("authservices.checksessid", viewer.sessid))["error"] is None


ENDS: list[dict[str, Any]] = [
    *({"state": "done", "result": result.decode("latin-1")[:1_000_000]} for result in RESULTS.values()),
    *({"state": "failed", "error": {"kind": name, "message": "x"}} for name in ("AuthError", "KeyError", "")),
    *({"state": "done", "result": 5}, {"state": "done", "result": None}, {"state": "failed", "error": "x"}),
    *({"state": "broken"}, {"state": "cancelled", "progress": -(10**18), "notes": {"a": "\x1b"}}),
]


@pytest.mark.parametrize("kind", CHANGES.values(), ids=lambda kind: kind.facts.wire)
async def test_a_hostile_end_of_a_job_is_a_failure_or_as_declared(oms: Oms, kind: HostKind) -> None:
    hostile = await oms.sign_in_double("h1")
    hostile.queue_open.clear()
    admin = await oms.as_admin()
    may = {error.wire_name for error in (*OF_HOSTS, *kind.facts.raises)}
    for number, end in enumerate(ENDS, 1):
        calling = asyncio.create_task(oms.reply(kind.facts.wire, calls.legal(kind, admin.sessid)))
        while len(hostile.requests) < number:  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)
        job = hostile.requests[-1].id
        await hostile.wire.publish("job", json.dumps({"id": job, **end}).encode())
        if (await oms.call("taskservices.get_task", admin.sessid, 0, job))["result"]["result"]["finished"] == "":
            await hostile.wire.publish(
                "job", msgspec.json.encode(JobState(job, "failed"))
            )  # that was no end at all
        answer = strict((await calling).body)
        if answer["error"] is None:
            msgspec.convert(answer["result"]["result"]["result"], kind.facts.result)
        else:
            assert answer["error"]["name"] in may
        strict((await oms.reply("taskservices.get_task", [admin.sessid, 0, job])).body)


async def test_an_answer_as_large_as_may_be_is_that_hosts_failure(oms: Oms) -> None:
    hostile = await oms.sign_in_double("h1")
    viewer = await oms.as_viewer()
    for size in (MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES + 1):
        hostile.says["kvmservices.list_vms_status"] = b'{"result": {}}' + b" " * (size - 14)
        answer = strict((await oms.reply("kvmservices.list_vms_status", [viewer.sessid, 0, "h1"])).body)
        assert (answer["error"] is None) == (size == MAX_PAYLOAD_BYTES)
        assert len(json.dumps(answer)) < 1000
