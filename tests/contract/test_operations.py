"""The house rules of a declaration, for every operation that is published."""

import types
import typing
from typing import Any, Literal

import msgspec
import pytest

from oms.contract import openrpc, pages
from oms.contract.auth import Authenticate, Checksessid, Deauthenticate
from oms.contract.errors import OmsError
from oms.contract.internal import INTERNAL
from oms.contract.operation import (
    CACHE_TIMEOUT,
    SESSID,
    HostOperation,
    OpenOperation,
    Operation,
    Permission,
    ServerOperation,
    Service,
    SessionOperation,
    operation,
    signature,
    snake,
)
from oms.contract.registry import BY_NAME, BY_WIRE, MODULES, OPERATIONS, SERVICES
from oms.contract.types import Secret
from tests.contract.roles import CHANGES_ONES_OWN

Kind = type[Operation[Any]]


def wire(kind: Kind) -> str:
    return kind.facts.wire


each = pytest.mark.parametrize("kind", OPERATIONS, ids=wire)


@each
def test_has_a_description_that_begins_with_a_sentence(kind: Kind) -> None:
    assert kind.facts.summary[0].isupper()
    assert kind.facts.summary.endswith("."), "the first line is the summary, and a whole sentence"
    assert kind.facts.document.startswith(kind.facts.summary)


@each
def test_every_parameter_says_what_is_legal(kind: Kind) -> None:
    for param in kind.facts.params:
        assert describes_itself(param.type), f"{param.name} needs a described type or Meta(description=...)"


def describes_itself(kind: Any) -> bool:
    """A description in `Meta`, or a list of words, or a choice of such."""
    if any(isinstance(note, msgspec.Meta) and note.description for note in getattr(kind, "__metadata__", ())):
        return True
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return all(describes_itself(part) for part in typing.get_args(kind))
    return origin is Literal or kind is types.NoneType


@each
def test_every_required_parameter_has_an_example(kind: Kind) -> None:
    described = openrpc.method(kind)["params"]
    for param, shown in zip(kind.facts.params, described, strict=True):
        if param.required:
            assert shown["schema"].get("examples"), f"{param.name} needs Meta(examples=[...])"
    assert len(pages.example(kind)) >= sum(param.required for param in kind.facts.params)


@each
def test_required_parameters_come_first(kind: Kind) -> None:
    needs = [param.required for param in kind.facts.params]
    assert needs == sorted(needs, reverse=True)


@each
def test_only_the_last_parameter_takes_all_that_are_left(kind: Kind) -> None:
    assert not any(param.varargs for param in kind.facts.params[:-1])


@each
def test_the_front_is_the_documents(kind: Kind) -> None:
    params = kind.facts.params
    if kind.facts.service.name == "authservices":
        assert CACHE_TIMEOUT not in params, "AuthService knows no cache_timeout"
    else:
        assert params[:2] == (SESSID, CACHE_TIMEOUT)
    if issubclass(kind, HostOperation):
        assert params[2].name == kind.facts.host_field


@each
def test_says_who_may_call(kind: Kind) -> None:
    assert kind.facts.permission in Permission
    if kind.facts.changes and kind.facts.wire not in CHANGES_ONES_OWN:
        assert kind.facts.permission >= Permission.OPERATOR, "a viewer changes nothing"


def test_only_logging_in_and_out_needs_no_role() -> None:
    assert {k for k in OPERATIONS if k.facts.permission is Permission.NOBODY} == {Authenticate, Deauthenticate}
    assert {k for k in OPERATIONS if issubclass(k, OpenOperation)} == {Authenticate}
    assert Checksessid.facts.permission is Permission.VIEWER


@each
def test_has_a_time_out_that_a_person_would_wait(kind: Kind) -> None:
    assert 0 < kind.facts.timeout <= 310


@each
def test_a_change_of_a_host_names_its_target(kind: Kind) -> None:
    if kind.facts.changes and issubclass(kind, HostOperation):
        assert kind.facts.target in kind.__struct_fields__
    else:
        assert kind.facts.target is None


@each
def test_raises_errors_that_have_a_name_on_the_wire(kind: Kind) -> None:
    for error in kind.facts.raises:
        assert issubclass(error, OmsError)
        assert error.wire_name


@each
def test_fields_are_frozen_and_secrets_are_typed_so(kind: Kind) -> None:
    assert kind.__struct_config__.frozen
    for param in kind.facts.params:
        if "passw" in param.name:
            assert Secret in (param.type, *typing.get_args(param.type))


@each
def test_the_signature_lists_all_parameters(kind: Kind) -> None:
    for param in kind.facts.params:
        assert param.name in signature(kind)


def test_operations_are_found_by_all_their_names() -> None:
    for service, methods in SERVICES.items():
        for name in (service.name, *service.aliases):
            assert BY_NAME[name] is methods
        for kind in methods.values():
            assert methods[kind.facts.name] is kind
            assert all(methods[alias] is kind for alias in kind.facts.aliases)
    assert BY_NAME["kvm"] is BY_NAME["kvmservices"]
    assert len(BY_WIRE) == len(OPERATIONS)


def test_each_declared_operation_is_published() -> None:
    for module in MODULES:
        declared = {t for t in vars(module).values() if isinstance(t, type) and issubclass(t, Operation)}
        bases = {OpenOperation, SessionOperation, ServerOperation, HostOperation}
        assert declared - bases <= set(OPERATIONS)
        assert declared & set(OPERATIONS)


def test_nothing_internal_is_published() -> None:
    assert not set(INTERNAL) & set(OPERATIONS)
    assert "agent" not in BY_NAME


def test_no_service_stands_in_the_way_of_introspection() -> None:
    assert not {"system", "rpc", "qooxdoo"} & set(BY_NAME)
    assert not {"listMethods", "methodSignature", "methodHelp"} & {k.facts.name for k in OPERATIONS}


def test_names_in_snake_case() -> None:
    assert snake("ListVmsStatus") == "list_vms_status"


SERVICE = Service("testservices", "TestService", "For tests.")


def test_a_declaration_without_a_description_is_refused() -> None:
    class Bare(ServerOperation[int], frozen=True):
        pass

    with pytest.raises(TypeError, match="Bare needs a docstring"):
        operation(SERVICE, Permission.VIEWER)(Bare)


def test_a_declaration_without_an_answer_is_refused() -> None:
    class Mute(ServerOperation, frozen=True):  # type: ignore[type-arg]
        """Answer nothing."""

    with pytest.raises(TypeError, match="must be declared directly from one of the bases"):
        operation(SERVICE, Permission.VIEWER)(Mute)
