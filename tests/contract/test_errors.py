"""Errors: a name and a code each, for good, and the same error again after any wire."""

import importlib
import inspect
import json
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.contract import errors, openrpc
from oms.contract.auth import DeathError
from oms.contract.errors import (
    GENERAL,
    JSON_RPC_CODES,
    ApplicationError,
    AuthError,
    CallError,
    FuncManError,
    NoSuchMachine,
    OmsError,
    WireError,
    pack,
    unpack,
)
from oms.contract.registry import MODULES, OPERATIONS

PUBLISHED = {
    "InternalError": 0,
    "IllegalService": 1,
    "ServiceNotFound": 2,
    "MethodNotFound": 4,
    "ParameterMismatch": 5,
    "PermissionDenied": 6,
    "FuncManError": 1000,
    "AuthError": 1001,
    "ConfigurationReadError": 1002,
    "DatabaseConnectionError": 1003,
    "DatabaseSelectError": 1004,
    "DatabaseUpdateError": 1005,
    "DatabaseInsertError": 1006,
    "DatabaseDeleteError": 1007,
    "FuncMethodTimeoutError": 1008,
    "NoFuncZabbixClientError": 1009,
    "ZabbixAgentNotSupportedError": 1010,
    "DeathError": 1011,
    "UnknownSignRequestsError": 1012,
    "SSHKeyCreateError": 1013,
    "SSHKeyAddError": 1014,
    "UnknownRemoveRequestError": 1015,
    "UnknownRemoveSignedError": 1016,
    "SSHKeyRemoveError": 1017,
}
"""Names and codes that clients may know. Lines may be added, never changed, never taken away."""

CONTRACT = [kind for kind in OmsError.kinds.values() if kind.__module__.startswith("oms.contract.")]
RAISED = [kind for kind in CONTRACT if kind not in (CallError, ApplicationError)]
each = pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.__name__)


def named() -> list[type[OmsError]]:
    """Those that have a name of their own on the wire."""
    return [kind for kind in RAISED if "code" in vars(kind)]


def test_a_published_name_keeps_its_code() -> None:
    now = {kind.wire_name: kind.code for kind in named()}
    assert {name: now.get(name) for name in PUBLISHED} == PUBLISHED


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in named()]
    assert sorted(codes) == sorted(set(codes))


def test_no_two_errors_share_a_name_on_the_wire() -> None:
    names = [kind.wire_name for kind in named()]
    assert sorted(names) == sorted(set(names))


@each
def test_the_code_tells_the_origin(kind: type[OmsError]) -> None:
    if issubclass(kind, CallError):
        assert kind.origin == 1
        assert 0 <= kind.code <= 6, "qooxdoo's own codes"
        assert kind.wire_name in JSON_RPC_CODES
    else:
        assert kind.origin == 2
        assert kind.code >= 1000
        assert kind.wire_name not in JSON_RPC_CODES


@each
def test_has_a_description_for_the_reference(kind: type[OmsError]) -> None:
    assert vars(kind)["__doc__"].endswith(".")


@each
def test_a_kind_without_a_name_of_its_own_says_which_it_is(kind: type[OmsError]) -> None:
    if "code" in vars(kind):
        assert kind.reason == ""
        assert kind.wire_name == kind.__name__
    else:
        assert re.fullmatch(r"[a-z_]+", vars(kind)["reason"])
        assert kind.wire_name == next(base for base in kind.__mro__ if "code" in vars(base)).__name__


def test_the_tree_is_drawn_in_full_with_its_codes() -> None:
    drawn = inspect.cleandoc(errors.__doc__ or "")
    for kind in CONTRACT:
        if kind.__module__ != errors.__name__:
            continue
        line = re.search(rf"^.*[─ ]{kind.__name__}\b(?: +(\d+))?.*$", drawn, re.MULTILINE)
        assert line, f"{kind.__name__} is missing in the tree"
        assert line[1] == (str(kind.code) if "code" in vars(kind) else None)


def test_an_error_outside_the_tree_belongs_to_an_operation_of_its_module() -> None:
    for kind in RAISED:
        if kind.__module__ != errors.__name__:
            module = importlib.import_module(kind.__module__)
            assert module in MODULES
            assert any(kind in op.facts.raises for op in OPERATIONS if op.__module__ == module.__name__)


def test_every_named_error_is_published() -> None:
    assert set(openrpc.errors()) == set(named())
    assert set(GENERAL) <= set(openrpc.errors())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@each
@settings(max_examples=20)
@given(message=st.text(), data=st.dictionaries(st.text(), JSON, max_size=3))
def test_is_the_same_after_a_wire(kind: type[OmsError], message: str, data: dict[str, object]) -> None:
    text = msgspec.json.encode(pack(kind(message, **data)))
    again = unpack(msgspec.json.decode(text, type=WireError))
    assert type(again) is kind
    assert (again.message, again.data, str(again)) == (message, data, message)


@pytest.mark.parametrize("unknown", ["NewerAgentsError", "OmsError", "CallError", "ApplicationError", ""])
def test_an_error_that_is_not_known_here_becomes_a_func_man_error(unknown: str) -> None:
    again = unpack(WireError(unknown, "The disk is on fire.", {"disk": "vda"}))
    assert type(again) is FuncManError
    assert again.message == "The disk is on fire."
    assert again.data == {"disk": "vda", "kind": unknown}


def test_details_have_the_reason_where_the_name_is_too_general() -> None:
    assert NoSuchMachine("x", host="h1").details() == {"reason": "no_such_machine", "host": "h1"}
    assert AuthError("x", a=1).details() == {"a": 1}


def test_two_errors_of_one_name_are_refused() -> None:
    with pytest.raises(TypeError, match="two errors are called DeathError"):
        type("DeathError", (ApplicationError,), {"__module__": "elsewhere", "code": 4711})
    assert OmsError.kinds["DeathError"] is DeathError


def test_details_are_json() -> None:
    assert json.dumps(NoSuchMachine("x", machine="m").details())
