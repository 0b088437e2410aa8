"""Nobody without a session calls anything, nobody more than his role allows, and nothing unpublished is called."""

import asyncio
import hashlib
import itertools
import json
from typing import Any

import pytest

from oms.contract.internal import INTERNAL
from oms.contract.kvm import StopVm
from oms.contract.operation import Permission
from oms.contract.registry import BY_WIRE, OPERATIONS
from oms.server import admin
from oms.server.sessions import NOT_VALID
from tests.contract.roles import MAY_CALL
from tests.security import calls
from tests.security.attack import Attack
from tests.security.calls import Kind
from tests.server import clock as clocks
from tests.server.rig import Oms, answering
from tests.waiting import eventually

TOO_MANY: list[Any] = [{}] * 20
"""Parameters that no method takes."""
REFUSALS = ("DeathError", "ParameterMismatch")


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
async def test_a_role_calls_what_the_table_says_and_nothing_else(oms: Oms, role: str) -> None:
    await oms.sign_in_double("h1")
    caller = await oms.as_user(role)
    may = {kind for kind in OPERATIONS if Permission[role.upper()] >= MAY_CALL[kind.facts.wire]}
    for kind in may:
        answer = await oms.call(kind.facts.wire, *calls.legal(kind, caller.sessid), *TOO_MANY)
        assert answer["error"]["name"] == "ParameterMismatch", kind
    async with Attack(oms, caller.sessid) as attack:
        for kind in set(OPERATIONS) - may:
            needed = MAY_CALL[kind.facts.wire].name.lower()
            params = calls.legal(kind, caller.sessid)
            for written in (params, [*params, *TOO_MANY], [caller.sessid], {"SESSID": caller.sessid}):
                error = await attack.refused(kind.facts.wire, written)
                assert error["name"] == "AuthError", kind
                assert f"needs the role {needed}; {role} is {role}." in error["message"], kind


async def bad_sessids(oms: Oms, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What callers may have in the place of a SESSID, none of it good."""
    clock = clocks.put(monkeypatch, "oms.server.sessions", "oms.server.store.moments")
    expired = (await oms.as_admin()).sessid
    clock.pass_(1801)
    assert (await oms.call("authservices.checksessid", expired))["error"]["message"] == NOT_VALID
    good, ended = (await oms.as_admin()).sessid, await oms.login("admin")
    await oms.call("authservices.deauthenticate", ended)
    assert (await oms.call("authservices.checksessid", good))["error"] is None
    kept = hashlib.sha256(good.encode()).hexdigest()
    return [
        *(None, "", 0, -1, True, [], {}, "SESSID", "A" * 10_240, ended, expired, "0" * 40),
        *(good.lower(), good + "\n", " " + good, good[:39], [good], {"SESSID": good}, kept, kept[:40].upper()),
        *(f"{good}\0", f"{good}' OR '1'='1", "%", "_" * 40, "\uff11" * 40),
    ]


def calls_with(kind: Kind, wrong: list[Any]) -> list[Any]:
    """Calls that are legal but for that, and calls in which nothing else is right."""
    return [
        *([sessid, *calls.legal(kind, "")[1:]] for sessid in wrong),
        *([sessid, *TOO_MANY] for sessid in wrong[:2]),
        *({"SESSID": sessid, "no such": 1} for sessid in wrong[:2]),
    ]


OVER = ("AuthError", NOT_VALID, {"reason": "no_session"})
NO_SESSID: list[Any] = [[], {}, None, "x", 0, {"sessid": "x"}]
IN_SESSION = [kind for kind in BY_WIRE.values() if kind.facts.permission]


async def test_without_a_session_every_method_says_the_same_before_it_looks_at_anything_else(
    oms: Oms, monkeypatch: pytest.MonkeyPatch
) -> None:
    await oms.sign_in_double("h1")
    wrong = await bad_sessids(oms, monkeypatch)
    async with Attack(oms) as attack:
        for kind in IN_SESSION:
            for params in (*NO_SESSID, *calls_with(kind, wrong)):
                error = await attack.refused(kind.facts.wire, params)
                assert (error["name"], error["message"], error["data"]) == OVER, kind


async def test_nobody_ends_a_session_without_its_id(oms: Oms, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = await bad_sessids(oms, monkeypatch)
    async with Attack(oms) as attack:
        for sessid in wrong:
            assert (await attack.refused("authservices.deauthenticate", [sessid]))["name"] in REFUSALS
        for params in NO_SESSID:
            assert (await attack.refused("authservices.deauthenticate", params))["name"] in REFUSALS


INTERNALS = [kind.facts.wire for kind in INTERNAL]
UNPUBLISHED = [
    *INTERNALS,
    *("agent.hello", "kvmservices.agent.hello", "command.run", "os.system", "builtins.eval", "kvmservices.facts"),
    *(
        "kvmservices.__class__",
        "kvmservices.__init__",
        "__class__.__mro__",
        "kvmservices._handlers",
        "kvm.StartVm",
    ),
    *(
        "kvmservices.start_vm ",
        "kvmservices.START_VM",
        "Kvmservices.start_vm",
        "KVMService.start_vm",
        "kvm.start-vm",
    ),
    *(
        "kvmservices..start_vm",
        ".start_vm",
        "kvmservices.",
        ".",
        "kvmservices.start_vm.start_vm",
        "kvmservices/start_vm",
    ),
    *(
        "kvm\0.start_vm",
        "kvm.start_vm\0",
        "kvm.start_vm\n",
        "\uff4bvm.start_vm",
        "system.shutdown",
        "rpc.call",
        "rpc",
    ),
    *("oms.contract.kvm.StartVm", "qooxdoo.test.getInteger", "system.multicall", "funcservices.__dict__.values"),
]


async def test_what_is_not_published_is_not_called(oms: Oms) -> None:
    await oms.sign_in_double("h1")
    admin = await oms.as_admin()
    params = [admin.sessid, 0, "h1", "vm1"]
    async with Attack(oms, admin.sessid) as attack:
        for name in UNPUBLISHED:
            for by in ("GET", "POST"):
                error = await attack.refused(name, params, by=by)
                assert error["name"] in ("IllegalService", "ServiceNotFound", "MethodNotFound"), name
            body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": name, "params": params}).encode()
            error = attack.held(name, await oms.request("POST", "/", body=body))
            assert error["code"] == -32601, name


async def test_names_of_other_kinds_and_sizes_are_not_called(oms: Oms) -> None:
    services: list[Any] = ["kvmservices", "x" * 1_000_000, 1, None, [], {}, True, 1.5]
    methods: list[Any] = ["x" * 1_000, 1, None, [], {"a": "b"}, False]
    async with Attack(oms) as attack:
        for service, method in itertools.product(services, methods):
            body = json.dumps({"service": service, "method": method, "id": 7, "params": []}).encode()
            error = attack.held("", await oms.request("POST", "/", body=body))
            assert error["origin"] == 1, (service, method)
            assert len(json.dumps(error)) < 3000


async def test_a_user_with_a_new_password_is_out_within_two_seconds_and_his_job_goes_on(oms: Oms) -> None:
    host = await oms.sign_in_double("h1", {StopVm: answering(0)})
    host.queue_open.clear()
    operator, viewer = await oms.as_operator(), await oms.as_viewer()
    waiting = asyncio.create_task(operator.ask("kvmservices.stop_vm", 0, "h1", "vm1"))
    await eventually(lambda: host.journal)
    await asyncio.to_thread(admin.reset_password, oms.store, "operator", "another password")
    await asyncio.sleep(1.5)
    assert (await operator.error("authservices.checksessid")).message == NOT_VALID
    host.queue_open.set()
    await waiting
    [job] = await viewer.ask("taskservices.list_tasks", 0)
    assert (job["owner"], job["state"]) == ("operator", "done")
