"""Whatever breaks, the caller reads a published error; of a bug he reads a reference, and the log has the rest."""

import itertools
import json
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
import structlog.testing

from oms.contract.handlers import Handlers
from oms.contract.operation import HostOperation, Operation
from oms.contract.registry import OPERATIONS
from oms.server.enrol import Enrolment
from oms.server.store import Store
from tests.security import calls
from tests.security.attack import published, shows_nothing
from tests.security.calls import Kind
from tests.security.served import Served
from tests.security.wire import request
from tests.server.rig import Oms, Person

MARKER = "marker-91c3"
BUGS: list[Exception] = [
    FileNotFoundError(2, "No such file or directory", f"/var/lib/oms/{MARKER}.key"),
    RuntimeError(f"internal error: unable to execute QEMU command: {MARKER}"),
    KeyError(MARKER),
    ValueError(f"SELECT password FROM users -- {MARKER}"),
    RecursionError(MARKER),
    TimeoutError(MARKER),
]


async def error_of(oms: Oms, caller: Person, kind: Kind) -> dict[str, Any] | None:
    """What a legal call of the method ends with, after it was held to what is published and shows nothing."""
    reply = await oms.reply(kind.facts.wire, calls.legal(kind, caller.sessid))
    shows_nothing(reply.body.decode(), MARKER, str(oms.folder), caller.sessid)
    error: dict[str, Any] | None = reply.json["error"]
    assert error is None or error["name"] in published(kind.facts.wire)
    return error


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged, with exceptions as they are."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def defect(logged: Sequence[Mapping[str, Any]], reference: str) -> BaseException:
    """The bug that was logged under a reference."""
    [bug] = [entry["exc_info"] for entry in logged if entry.get("reference") == reference]
    assert isinstance(bug, BaseException)
    return bug


async def test_a_bug_at_a_host_is_a_reference(oms: Oms, logged: list[MutableMapping[str, Any]]) -> None:
    kinds = [kind for kind in OPERATIONS if issubclass(kind, HostOperation)]
    raised = itertools.cycle(BUGS)

    async def break_(_op: Operation[Any]) -> Any:
        raise next(raised)

    await oms.sign_in_host("h1", dict.fromkeys(kinds, break_))
    admin = await oms.as_admin()
    for kind, _ in itertools.product(kinds, BUGS):
        error = await error_of(oms, admin, kind)
        assert error is not None, kind
        if error["name"] != "FuncMethodTimeoutError":  # which is what a read says that took too long
            assert error["name"] == "FuncManError", kind
            assert MARKER in str(defect(logged, error["data"]["reference"]))


async def test_a_bug_of_ours_is_a_reference(
    oms: Oms, monkeypatch: pytest.MonkeyPatch, logged: list[MutableMapping[str, Any]]
) -> None:
    raised = itertools.cycle(BUGS)

    async def break_(_op: Operation[Any], _desk: object) -> Any:
        raise next(raised)

    monkeypatch.setattr(Handlers, "find", lambda _self, _kind: break_)
    admin = await oms.as_admin()
    for kind in OPERATIONS:
        if not issubclass(kind, HostOperation):
            error = await error_of(oms, admin, kind)
            assert error is not None
            assert error["name"] == "FuncManError"
            assert MARKER in str(defect(logged, error["data"]["reference"]))


DATABASE = {f"Database{what}Error" for what in ("Connection", "Select", "Update", "Insert", "Delete")}
SPARED = {"authservices.checksessid", "funcservices.ca_sha256"}
"""What needs no database, once the session is known."""


async def test_without_tables_every_method_says_which_of_the_databases_errors_it_was(oms: Oms) -> None:
    await oms.sign_in_double("h1")
    admin = await oms.as_admin()
    for spoilt in (_drop_tables, _close):
        await spoilt(oms.store)
        for kind in OPERATIONS:
            # A host that is known is asked without the database: only changes need it.
            error = await error_of(oms, admin, kind)
            assert error is not None or kind.facts.wire in SPARED, kind
            if error is not None and not (issubclass(kind, HostOperation) and not kind.facts.changes):
                assert error["name"] in DATABASE, kind
                assert "try again later" in error["message"].lower(), kind


async def _drop_tables(store: Store) -> None:
    def drop(tx: sa.Connection) -> None:
        for (name,) in tx.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'table'")).all():
            tx.execute(sa.text(f"ALTER TABLE {name} RENAME TO gone_{name}"))

    await store.write(drop)


async def _close(store: Store) -> None:
    store._engine.dispose()
    store._reading = sa.create_engine("sqlite:////nowhere/at/all.db")


def test_a_bug_outside_every_call_is_a_reference_too(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_(*_: object) -> Any:
        raise RuntimeError(f"{MARKER} in {served.oms.folder}")

    monkeypatch.setattr(Enrolment, "ask", break_)
    with served.connect() as caller:
        reply = caller.send(request("POST", "/enrol", json.dumps({"csr": "x"}).encode())).reply()
    assert reply is not None
    assert reply.status == 500
    assert b"in the log under" in reply.body
    shows_nothing(reply.body.decode(), MARKER, str(served.oms.folder))
    assert reply.headers["x-content-type-options"] == "nosniff"
