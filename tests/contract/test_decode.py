"""From what a caller sent to an operation: what is not legal is refused by name, in words that help."""

import json
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from oms.bus.call import encode
from oms.contract import decode, pages
from oms.contract.auth import Authenticate
from oms.contract.decode import Decoded
from oms.contract.errors import IllegalService, MethodNotFound, OmsError, ParameterMismatch, ServiceNotFound
from oms.contract.func import DescribeHost, ListSigned, SignRequests
from oms.contract.kvm import ListVms, StartVm, UpdateVmSettings
from oms.contract.operation import HostOperation, Operation, signature
from oms.contract.registry import BY_NAME, OPERATIONS
from oms.contract.task import ListTasks, WaitTask
from oms.contract.types import Password, Secret
from tests.little_time import little_time

Kind = type[Operation[Any]]
T = TypeVar("T")
each = pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.facts.wire)


def refused(kind: Kind, params: Any) -> ParameterMismatch:
    with pytest.raises(ParameterMismatch) as refusal:
        decode.decode(kind, params)
    return refusal.value


# --- finding ------------------------------------------------------------------------------------------------


def test_an_operation_is_found_by_every_name() -> None:
    assert decode.find("kvmservices", "start_vm") is StartVm
    assert decode.find("kvm", "start_vm") is StartVm


@pytest.mark.parametrize(
    "service", [None, 1, [], {}, "", "a b", "a-b", "kvm\n", "²", "ｋｖｍ", "a" * 129, "__x'y", True]
)
def test_a_service_that_cannot_be_one(service: object) -> None:
    with pytest.raises(IllegalService) as refusal:
        decode.find(service, "start_vm")
    assert len(refusal.value.message) < 200


@pytest.mark.parametrize("service", ["nobody", "KVM", "agent", "os.path", "__class__", ".", "a" * 128])
def test_a_service_that_is_not_there(service: str) -> None:
    with pytest.raises(ServiceNotFound) as refusal:
        decode.find(service, "start_vm")
    assert all(name in refusal.value.message for name in BY_NAME), "it says which there are"


@pytest.mark.parametrize(
    "method", [None, 1, [], {}, "", "StartVm", "start_vm ", "__init__", "facts", "a" * 10_000]
)
def test_a_method_that_is_not_there(method: object) -> None:
    with pytest.raises(MethodNotFound) as refusal:
        decode.find("kvm", method)
    assert "start_vm" in refusal.value.message, "it says which there are"
    assert len(refusal.value.message) < 2000


# --- positions and names ------------------------------------------------------------------------------------


def test_by_position() -> None:
    decoded = decode.decode(StartVm, ["S", 30, "h1", "vm1"])
    assert decoded == Decoded(StartVm("vm1"), 30, "h1")


def test_by_name_in_any_order() -> None:
    params = {"kvm_vm_name": "vm1", "server_hostname": "h1", "SESSID": "S", "cache_timeout": 30}
    assert decode.decode(StartVm, params) == Decoded(StartVm("vm1"), 30, "h1")


@each
def test_the_example_call_is_legal_by_position_and_by_name(kind: Kind) -> None:
    values = pages.example(kind)
    names: dict[str, Any] = {}
    for place, (param, value) in enumerate(zip(kind.facts.params, values, strict=False)):
        names[param.name] = values[place:] if param.varargs else value
    by_place, by_name = decode.decode(kind, values), decode.decode(kind, names)
    assert encode(by_place.op) == encode(by_name.op)
    assert (by_place.cache_timeout, by_place.host) == (by_name.cache_timeout, by_name.host)
    assert type(by_place.op) is kind
    assert bool(by_place.host) is issubclass(kind, HostOperation)


def test_an_optional_parameter_may_be_left_out_or_null() -> None:
    for params in (["S", 0], ["S", 0, None], {"SESSID": "S", "cache_timeout": 0}):
        assert decode.decode(ListSigned, params).op == ListSigned(None)
    assert decode.decode(ListSigned, ["S", 0, "OpenNode"]).op == ListSigned("OpenNode")
    assert decode.decode(WaitTask, ["S", 0, "0" * 32]).op == WaitTask("0" * 32, 60)


def test_the_host_is_a_field_where_the_operation_is_not_the_hosts() -> None:
    assert decode.decode(DescribeHost, ["S", 0, "h1"]) == Decoded(DescribeHost("h1"), 0, "")


@pytest.mark.parametrize("stats", [[], ["cpu"], ["cpu", "memory", "df"]])
def test_the_rest_is_taken_by_position_and_as_a_list_by_name(stats: list[str]) -> None:
    wanted = ListVms(typing.cast("Any", tuple(stats)))
    assert decode.decode(ListVms, ["S", 0, "h1", *stats]).op == wanted
    by_name = {"SESSID": "S", "cache_timeout": 0, "server_hostname": "h1", "stats_argument": stats}
    assert decode.decode(ListVms, by_name).op == wanted


def test_one_of_the_rest_that_is_not_legal() -> None:
    error = refused(ListVms, ["S", 0, "h1", "cpu", "temperature"])
    assert error.data == {"parameter": "stats_argument"}
    assert '"temperature"' in error.message
    assert refused(ListVms, ["S", 0, "h1", ["cpu"]]).data == {"parameter": "stats_argument"}


def test_the_rest_by_name_is_a_list() -> None:
    params = {"SESSID": "S", "cache_timeout": 0, "server_hostname": "h1", "stats_argument": "cpu"}
    error = refused(ListVms, params)
    assert error.message == "Parameter stats_argument is a list when given by name."
    assert error.data == {"parameter": "stats_argument"}


# --- what is wrong ------------------------------------------------------------------------------------------


@each
def test_a_missing_parameter_is_named(kind: Kind) -> None:
    values = pages.example(kind)
    required = [param for param in kind.facts.params if param.required]
    for place, param in enumerate(required):
        error = refused(kind, values[:place])
        assert error.message == f"Parameter {param.name} is missing: {signature(kind)}."
        assert error.data == {"parameter": param.name}
        names = {p.name: value for p, value in zip(required, values, strict=False) if p is not param}
        assert refused(kind, names).data == {"parameter": param.name}


@pytest.mark.parametrize("kind", [k for k in OPERATIONS if not k.facts.varargs], ids=lambda k: k.facts.wire)
def test_a_surplus_parameter_is_told_with_the_signature(kind: Kind) -> None:
    declared = kind.facts.params
    error = refused(kind, [0] * (len(declared) + 1))
    assert error.message == (
        f"{kind.facts.wire} takes {len(declared)} parameters, got {len(declared) + 1}: {signature(kind)}."
    )
    assert error.data == {"parameter": "params"}


@each
def test_an_unknown_name_is_refused_by_name(kind: Kind) -> None:
    names = {p.name: v for p, v in zip(kind.facts.params, pages.example(kind), strict=False) if p.required}
    error = refused(kind, {**names, "kvm_wm_name": "x"})
    assert error.message == f'{kind.facts.wire} has no parameter "kvm_wm_name": {signature(kind)}.'
    assert error.data == {"parameter": "kvm_wm_name"}


@pytest.mark.parametrize("params", [None, "x", 1, 1.5, True])
def test_parameters_are_a_list_or_an_object(params: object) -> None:
    error = refused(StartVm, params)
    assert error.message == "The parameters of kvmservices.start_vm are a list, or an object by name."
    assert error.data == {"parameter": "params"}


@pytest.mark.parametrize(
    ("kind", "params", "name", "got", "legal"),
    [
        (StartVm, ["S", 0, "h1", 7], "kvm_vm_name", "7", "a machine's name or UUID"),
        (StartVm, ["S", 0, "h1", None], "kvm_vm_name", "null", "a machine's name or UUID"),
        (StartVm, ["S", 0, "h1", "vm1\n"], "kvm_vm_name", '"vm1\\n"', "a machine's name or UUID"),
        (StartVm, ["S", 0, "h1", "ｖｍ１"], "kvm_vm_name", '"\\uff56', "a machine's name or UUID"),
        (StartVm, ["S", 0, "H1", "vm1"], "server_hostname", '"H1"', "lower-case letters"),
        (StartVm, ["S", -1, "h1", "vm1"], "cache_timeout", "-1", "whole seconds, 0 or more"),
        (StartVm, ["S", "0", "h1", "vm1"], "cache_timeout", '"0"', "whole seconds, 0 or more"),
        (StartVm, ["S", 0.5, "h1", "vm1"], "cache_timeout", "0.5", "whole seconds, 0 or more"),
        (StartVm, ["S", True, "h1", "vm1"], "cache_timeout", "true", "whole seconds, 0 or more"),
        (StartVm, ["S", 2**31, "h1", "vm1"], "cache_timeout", "2147483648", "whole seconds, 0 or more"),
        (StartVm, ["S", 10**4000, "h1", "vm1"], "cache_timeout", "1000", "whole seconds, 0 or more"),
        (StartVm, [7, 0, "h1", "vm1"], "SESSID", "7", "the session id"),
        (ListVms, ["S", 0, "h1", "x"], "stats_argument", '"x"', "a statistic"),
        (ListVms, ["S", 0, "h1", "\ud800"], "stats_argument", '"\\ud800"', "a statistic"),
        (SignRequests, ["S", 0, "h1"], "hostname_list", '"h1"', "at least one"),
        (SignRequests, ["S", 0, []], "hostname_list", "[]", "at least one"),
        (SignRequests, ["S", 0, [1]], "hostname_list", "[1]", "host names"),
        (ListSigned, ["S", 0, 1], "optional_tag_name", "1", "a tag: letters"),
        (ListSigned, ["S", 0, ""], "optional_tag_name", '""', "or null"),
        (ListTasks, ["S", 0, "ready"], "state", '"ready"', 'one of "", "queued", "sent", "running"'),
        (WaitTask, ["S", 0, "0" * 32, 301], "seconds", "301", "seconds to wait, at most 300"),
        (UpdateVmSettings, ["S", 0, "h1", "vm1", []], "kvm_vm_settings_dictionary", "[]", "settings to change"),
        (UpdateVmSettings, ["S", 0, "h1", "vm1", {"vcpu": 1.5}], "kvm_vm_settings_dictionary", '{"vc', "settings"),
    ],
)
def test_a_value_that_is_not_legal_is_named_shown_and_answered_with_what_is(
    kind: Kind, params: list[Any], name: str, got: str, legal: str
) -> None:
    error = refused(kind, params)
    assert error.data == {"parameter": name}
    before, _, after = error.message.partition("; legal is ")
    assert before.startswith(f"Parameter {name} of {kind.facts.wire} is not legal: got {got}")
    assert legal in after


def test_a_long_value_is_cut_and_control_signs_are_escaped() -> None:
    error = refused(StartVm, ["S", 0, "h1", "\x1b[2J\r\n\u202e<script>" + "x" * 1_000_000])
    assert len(error.message) < 400
    assert error.message.isprintable()
    assert error.message.isascii() or "…" in error.message


@each
def test_every_message_can_be_written_as_json(kind: Kind) -> None:
    error = refused(kind, {"\u2028": 1})
    assert json.loads(json.dumps(error.details())) == {"parameter": "\u2028"}


# --- secrets ------------------------------------------------------------------------------------------------

HUSH = "correct horse battery staple"


@pytest.mark.parametrize("wrong", [[HUSH], {"x": HUSH}, HUSH * 100, [[HUSH]]])
def test_a_password_of_the_wrong_kind_is_not_repeated(wrong: object) -> None:
    error = refused(Authenticate, ["anna", wrong])
    assert error.data == {"parameter": "password"}
    assert "horse" not in error.message
    assert error.message.endswith("legal is the password, at most 1024 characters.")


@pytest.mark.parametrize("params", [["anna", HUSH, HUSH], {"password": HUSH}, {"pass": HUSH}, [HUSH], HUSH])
def test_a_password_in_the_wrong_place_is_not_repeated(params: object) -> None:
    error = refused(Authenticate, params)
    assert "horse" not in error.message + json.dumps(error.data)


@pytest.mark.parametrize("name", ["password", "passwd", "Password", "root_password", "PASSWD"])
def test_a_password_among_settings_is_not_repeated(name: str) -> None:
    for wrong in ({name: HUSH, "vcpu": 0.5}, {"inner": {name: HUSH}}, [{name: HUSH}], {name: [HUSH]}):
        error = refused(UpdateVmSettings, ["S", 0, "h1", "vm1", wrong])
        assert "horse" not in error.message
        assert '"***"' in error.message


def test_the_session_id_is_not_repeated_when_another_parameter_is_wrong() -> None:
    assert "S3SS" not in refused(StartVm, ["S3SS", -1, "h1", "vm1"]).message


def test_a_password_arrives_unseen() -> None:
    op = decode.decode(Authenticate, ["anna", HUSH]).op
    assert isinstance(op, Authenticate)
    assert op.password.reveal() == HUSH
    assert HUSH not in repr(op)


@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        (Secret, True),
        (Password, True),
        (Password | None, True),
        (Annotated[Password | None, Meta(description="x")], True),
        (dict[str, Password], True),
        (list[Annotated[Secret, Meta(description="x")]], True),
        (str, False),
        (Annotated[str, Meta(description="x")], False),
        (Literal["a", 1, None], False),
        (dict[str, str | int], False),
    ],
)
def test_a_type_that_holds_a_secret_is_known_as_one(kind: Any, secret: bool) -> None:
    assert decode.is_secret(kind) is secret


# --- what stands in the session's place ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "found"),
    [
        (["S", 0], "S"),
        ({"SESSID": "S"}, "S"),
        ([], None),
        ({}, None),
        (None, None),
        ("S", None),
        ([["S"]], ["S"]),
        ({"sessid": "S"}, None),
    ],
)
def test_the_session_is_read_before_anything_is_checked(params: object, found: object) -> None:
    assert decode.sessid(params) == found


# --- anything at all ----------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["SESSID", "h1", "vm1", "cpu", "0" * 32, 0]),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def outcome(call: Callable[[], T]) -> T | OmsError:
    try:
        return call()
    except OmsError as error:
        return error


def of_names(kind: Kind) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional={param.name: JSON for param in kind.facts.params})


def near(kind: Kind) -> st.SearchStrategy[Any]:
    """A legal call of which one value is anything."""
    values = pages.example(kind)
    return st.tuples(st.integers(0, len(values) - 1), JSON).map(
        lambda change: [change[1] if place == change[0] else value for place, value in enumerate(values)]
    )


@each
@settings(max_examples=50)
@given(data=st.data())
def test_any_json_is_an_operation_or_a_named_error(kind: Kind, data: st.DataObject) -> None:
    params = data.draw(JSON | st.lists(JSON, max_size=6) | of_names(kind) | near(kind))
    decoded = outcome(lambda: decode.decode(kind, params))
    if isinstance(decoded, OmsError):
        assert type(decoded) is ParameterMismatch
        assert decoded.message.endswith(".")
        assert isinstance(decoded.data["parameter"], str)
        assert msgspec.json.encode(decoded.details())
        return
    assert type(decoded.op) is kind
    assert isinstance(decoded.cache_timeout, int)
    assert isinstance(decoded.host, str)
    again = msgspec.json.decode(encode(decoded.op))
    assert isinstance(again, dict), "and it can travel"


@given(service=JSON, method=JSON)
def test_any_names_are_an_operation_or_a_named_error(service: Any, method: Any) -> None:
    found = outcome(lambda: decode.find(service, method))
    if isinstance(found, OmsError):
        assert type(found) in (IllegalService, ServiceNotFound, MethodNotFound)
        assert msgspec.json.encode(found.details())
        assert len(found.message) < 2000
    else:
        assert found in OPERATIONS


def test_large_parameters_are_refused_in_little_time() -> None:
    with little_time():
        refused(StartVm, ["S", 0, "h1", ["x"] * 200_000])
        refused(StartVm, {str(n): n for n in range(100_000)})
        refused(ListVms, ["S", 0, "h1", *["x"] * 200_000])
        refused(SignRequests, ["S", 0, ["h1"] * 200_000])
