"""The ways to write one call and its answer, without a socket: text in, calls out; outcomes in, text out."""

import json
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.contract import decode
from oms.contract.auth import DeathError
from oms.contract.errors import (
    JSON_RPC_CODES,
    AuthError,
    CallError,
    FuncMethodTimeoutError,
    NoSuchMachine,
    OmsError,
    ParameterMismatch,
    PermissionDenied,
)
from oms.server.edge import dialects, introspection
from oms.server.edge.dialects import EXPECTED, MOST_IN_A_BATCH, Asked, Invalid, NoCall, Plain, Unreadable
from oms.server.pipeline import Answer, InHost

LIST_VMS = Asked("qooxdoo", "kvmservices", "list_vms", ["SESSID", 0, "funcclient", "cpu"], 1)
BARE = b'id=1&service=kvmservices&method=list_vms&params=["SESSID",0,"funcclient","cpu"]'


def one(body: bytes | str) -> Asked:
    asked = dialects.from_body(body.encode() if isinstance(body, str) else body)
    assert isinstance(asked, Asked)
    return asked


def batch(body: str) -> list[Asked]:
    asked = dialects.from_body(body.encode())
    assert isinstance(asked, list)
    return asked


def answered(asked: Asked) -> Any:
    """The answer as parsed JSON, or None where none is sent. What gets as far as a method answers 'reached'."""
    outcome: Answer | Plain | OmsError
    try:
        outcome = introspection.answer(asked) or _reached(asked)
    except OmsError as error:
        outcome = error
    return None if asked.silent else json.loads(dialects.write(asked, outcome))


def _reached(asked: Asked) -> Plain:
    decode.decode(decode.find(asked.service, asked.method), asked.params)
    return Plain("reached")


# --- the document's GET ------------------------------------------------------------------------------------


def test_get_with_bare_quotes_and_brackets_as_the_document_prints_it() -> None:
    assert dialects.from_query(BARE) == LIST_VMS


@pytest.mark.parametrize("safe", ["", "[],", '"[],:'])
def test_get_percent_encoded(safe: str) -> None:
    params = quote('["SESSID",0,"funcclient","cpu"]', safe=safe)
    assert dialects.from_query(f"id=1&service=kvmservices&method=list_vms&params={params}".encode()) == LIST_VMS


@pytest.mark.parametrize("blank", ["+", "%20"])
def test_get_with_a_blank(blank: str) -> None:
    asked = dialects.from_query(f'service=s&method=m&params=["a{blank}b",{blank}0]'.encode())
    assert asked.params == ["a b", 0]


def test_get_with_a_plus() -> None:
    assert dialects.from_query(b'service=s&method=m&params=["a%2Bb"]').params == ["a+b"]


def test_get_in_utf_8() -> None:
    assert dialects.from_query(b'service=s&method=m&params=["%C3%A4%F0%9F%98%80"]').params == ["ä😀"]


@given(params=st.lists(st.text() | st.integers() | st.none() | st.lists(st.text())))
def test_get_gives_back_what_was_put_in(params: list[Any]) -> None:
    text = json.dumps(params)
    for encoded in (quote(text), quote_plus(text)):
        assert dialects.from_query(f"service=s&method=m&params={encoded}".encode()).params == params


def test_get_takes_the_first_of_a_repeated_variable_and_passes_over_others() -> None:
    query = b"service=a&service=b&method=m&method=n&id=1&id=2&params=[1]&params=[2]&nocache=17&x&=&"
    assert dialects.from_query(query) == Asked("qooxdoo", "a", "m", [1], 1)


def test_get_without_params_and_id() -> None:
    assert dialects.from_query(b"service=s&method=m") == Asked("qooxdoo", "s", "m", [], None)


IDENTS = ["1", '"abc"', "1.5", "null", '"1"', "-7", "[1,2]", '{"a":1}', "true", '""', "123456789012345678901"]


@pytest.mark.parametrize("ident", IDENTS)
def test_get_echoes_the_id_in_its_type(ident: str) -> None:
    asked = dialects.from_query(f"service=s&method=m&id={quote(ident)}".encode())
    assert same(json.loads(dialects.write(asked, Plain(0)))["id"], json.loads(ident))


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"nocache=1",
        b"service=s",
        b"method=m",
        b"service=s&method=m&id=abc",
        b"service=s&method=m&id=",
        b"service=s&method=m&params=",
        b"service=s&method=m&params=[",
        b"service=s&method=m&params=[NaN]",
        b'service=s&method=m&params=["%ff"]',
        b'service=s&method=m&params=["%ED%A0%80"]',
        b'service=s&method=m&params=["\xc3\xa4"]',
        b'service=s&method=m&params=["%5Cud800"]',
        b"service=%ff&method=m",
    ],
)
def test_get_that_is_no_call_is_told_in_plain_words(query: bytes) -> None:
    with pytest.raises(NoCall) as none:
        dialects.from_query(query)
    assert len(str(none.value)) < 400


# --- qooxdoo's POST ----------------------------------------------------------------------------------------


def test_post_as_qooxdoo_sends_it() -> None:
    body = '{"service":"kvmservices","method":"list_vms","id":1,"params":["SESSID",0,"funcclient","cpu"]}'
    assert one(body) == LIST_VMS


def test_post_with_members_that_nobody_knows() -> None:
    body = '{"server_data":{"sessionId":"x"},"service":"s","method":"m","id":2,"params":[],"more":[1]}'
    assert one(body) == Asked("qooxdoo", "s", "m", [], 2)


def test_post_without_params_and_id() -> None:
    assert one('{"service":"s","method":"m"}') == Asked("qooxdoo", "s", "m", [], None)


@pytest.mark.parametrize("ident", IDENTS)
def test_post_echoes_the_id_in_its_type(ident: str) -> None:
    asked = one(f'{{"service":"s","method":"m","params":[],"id":{ident}}}')
    assert same(json.loads(dialects.write(asked, Plain(0)))["id"], json.loads(ident))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"service":null,"method":"refreshSession","id":3,"params":[]}', 1),
        ('{"service":"","method":"m","id":3}', 1),
        ('{"service":"a-b","method":"m","id":3}', 1),
        ('{"service":["kvm"],"method":"m","id":3}', 1),
        ('{"service":"nobody","method":"m","id":3}', 2),
        ('{"service":"kvm","method":"m","id":3}', 4),
        ('{"service":"kvm","method":null,"id":3}', 4),
        ('{"service":"kvm","method":["list_vms"],"id":3}', 4),
        ('{"service":"kvm","method":"__init__","id":3}', 4),
        ('{"service":"kvm","id":3}', 4),
        ('{"service":"kvm","method":"list_vms","id":3,"params":null}', 5),
        ('{"service":"kvm","method":"list_vms","id":3,"params":"x"}', 5),
        ('{"service":"kvm","method":"list_vms","id":3,"params":["S"]}', 5),
    ],
)
def test_post_of_a_call_that_cannot_be_made_gets_qooxdoos_codes(body: str, code: int) -> None:
    answer = answered(one(body))
    assert (answer["error"]["origin"], answer["error"]["code"]) == (1, code)
    assert (answer["id"], answer["result"]) == (3, None)


@pytest.mark.parametrize("body", [b"", b"hello", b"{", b"1", b"null", b'"x"', b"{}", b'{"method":"m"}', b"\xff"])
def test_post_that_is_no_call_is_told_what_is_expected(body: bytes) -> None:
    with pytest.raises(NoCall, match="It expects a call: POST a JSON object"):
        dialects.from_body(body)


# --- JSON-RPC 2.0 ------------------------------------------------------------------------------------------


def test_2_0_by_position() -> None:
    body = '{"jsonrpc":"2.0","method":"kvmservices.list_vms","params":["SESSID",0,"funcclient"],"id":1}'
    assert one(body) == Asked("2.0", "kvmservices", "list_vms", ["SESSID", 0, "funcclient"], 1)


def test_2_0_by_name() -> None:
    body = '{"jsonrpc":"2.0","method":"authservices.checksessid","params":{"SESSID":"x"},"id":"a"}'
    assert one(body) == Asked("2.0", "authservices", "checksessid", {"SESSID": "x"}, "a")


@pytest.mark.parametrize("params", ['"params":null,', ""])
def test_2_0_without_params(params: str) -> None:
    assert one(f'{{"jsonrpc":"2.0",{params}"method":"a.b","id":1}}').params == []


def test_2_0_splits_the_method_at_the_last_dot() -> None:
    asked = one('{"jsonrpc":"2.0","method":"a.b.c","id":1}')
    assert (asked.service, asked.method) == ("a.b", "c")


@pytest.mark.parametrize("ident", ["1", '"abc"', "1.5", "null", '"1"', "-7"])
def test_2_0_echoes_the_id_in_its_type(ident: str) -> None:
    asked = one(f'{{"jsonrpc":"2.0","method":"a.b","id":{ident}}}')
    assert not asked.silent, "an id that is null is an id"
    assert same(json.loads(dialects.write(asked, Plain(0)))["id"], json.loads(ident))


def test_2_0_without_an_id_is_a_notification() -> None:
    assert one('{"jsonrpc":"2.0","method":"a.b"}').silent


def test_2_0_wins_where_both_are_written() -> None:
    assert one('{"jsonrpc":"2.0","service":"kvm","method":"a.b","id":1}').dialect == "2.0"


# The examples of the specification's last chapter, as far as they go wrong.


@pytest.mark.parametrize(
    "body",
    [
        '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]',
        '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]',
    ],
)
def test_2_0_that_is_no_json(body: str) -> None:
    asked = one(body)
    assert isinstance(asked.fault, Unreadable)
    answer = answered(asked)
    assert (answer["jsonrpc"], answer["id"], answer["error"]["code"]) == ("2.0", None, -32700)


@pytest.mark.parametrize(
    ("request_", "ident"),
    [
        ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', None),
        ('{"jsonrpc": "2.0", "method": "a.b", "params": "bar", "id": 5}', 5),
        ('{"jsonrpc": "2.0", "method": "a.b", "params": 1}', None),
        ('{"jsonrpc": "2.0", "id": 5}', 5),
        ('{"jsonrpc": "2.0"}', None),
        ('{"jsonrpc": "1.0", "method": "a.b", "id": 5}', 5),
        ('{"jsonrpc": 2.0, "method": "a.b", "id": 5}', 5),
        ('{"jsonrpc": null, "method": "a.b", "id": 5}', 5),
        ('{"jsonrpc": "2.0", "method": "a.b", "id": {"x": 1}}', None),
        ('{"jsonrpc": "2.0", "method": "a.b", "id": [1]}', None),
        ('{"jsonrpc": "2.0", "method": "a.b", "id": true}', None),
        ('{"jsonrpc": "2.0", "method": 7, "id": [1]}', None),
    ],
)
def test_2_0_that_is_no_request(request_: str, ident: Any) -> None:
    for asked in (one(request_), *batch(f"[{request_}]")):
        assert isinstance(asked.fault, Invalid)
        answer = answered(asked)
        assert list(answer) == ["jsonrpc", "id", "error"]
        assert (answer["id"], answer["error"]["code"]) == (ident, -32600)


@pytest.mark.parametrize(
    "method", ["foobar", "foo.get", "kvmservices.", ".list_vms", "kvmservices.foo", ".", "1.2"]
)
def test_2_0_of_a_method_that_is_not_there(method: str) -> None:
    answer = answered(one(json.dumps({"jsonrpc": "2.0", "method": method, "id": "1"})))
    assert answer["error"]["code"] == -32601
    assert answer["id"] == "1"


def test_2_0_with_an_empty_batch() -> None:
    answer = answered(one("[]"))
    assert (answer["id"], answer["error"]["code"]) == (None, -32600)


@pytest.mark.parametrize("body", ["[1]", "[1,2,3]"])
def test_2_0_with_a_batch_of_what_is_no_request(body: str) -> None:
    answers = [answered(asked) for asked in batch(body)]
    assert [(a["id"], a["error"]["code"]) for a in answers] == [(None, -32600)] * len(json.loads(body))


def test_2_0_with_a_batch_of_all_kinds() -> None:
    calls = batch("""[
        {"jsonrpc": "2.0", "method": "authservices.checksessid", "params": ["x"], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "authservices.checksessid", "params": {"SESSID": "x"}, "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "authservices.checksessid", "params": [], "id": "9"}
    ]""")
    answers = [answered(asked) for asked in calls]
    assert answers[0] == {"jsonrpc": "2.0", "id": "1", "result": "reached"}
    assert answers[1] is None
    assert answers[2] == {"jsonrpc": "2.0", "id": "2", "result": "reached"}
    assert (answers[3]["id"], answers[3]["error"]["code"]) == (None, -32600)
    assert (answers[4]["id"], answers[4]["error"]["code"]) == ("5", -32601)
    assert (answers[5]["id"], answers[5]["error"]["code"]) == ("9", -32602)


def test_2_0_with_a_batch_of_notifications_is_not_answered() -> None:
    calls = batch(
        '[{"jsonrpc":"2.0","method":"notify_sum","params":[1]},{"jsonrpc":"2.0","method":"notify.hello"}]'
    )
    assert [answered(asked) for asked in calls] == [None, None]


def test_a_batch_in_qooxdoos_dialect_is_no_request() -> None:
    (asked,) = batch('[{"service":"kvm","method":"list_vms","params":[],"id":1}]')
    assert answered(asked)["error"]["code"] == -32600


def test_a_batch_has_a_limit() -> None:
    call = '{"jsonrpc":"2.0","method":"a.b"}'
    assert len(batch(f"[{','.join([call] * MOST_IN_A_BATCH)}]")) == MOST_IN_A_BATCH
    answer = answered(one(f"[{','.join([call] * (MOST_IN_A_BATCH + 1))}]"))
    assert answer["error"]["code"] == -32600
    assert str(MOST_IN_A_BATCH) in answer["error"]["message"]


# --- answers -----------------------------------------------------------------------------------------------

BOTH = {
    "qooxdoo": Asked("qooxdoo", "s", "m", [], 7),
    "2.0": Asked("2.0", "s", "m", [], 7),
}
ANSWER = Answer("func", InHost("h1", [1]), "2026-01-02T03:04:05.678Z")
TYPED = '{"type":"func","result":{"client":"h1","result":[1]},"as_of":"2026-01-02T03:04:05.678Z"}'


def test_an_answer_to_qooxdoo_has_all_three_members_in_the_documents_order() -> None:
    assert dialects.write(BOTH["qooxdoo"], ANSWER).decode() == f'{{"error":null,"id":7,"result":{TYPED}}}'


def test_an_answer_in_2_0_has_no_error_member() -> None:
    assert dialects.write(BOTH["2.0"], ANSWER).decode() == f'{{"jsonrpc":"2.0","id":7,"result":{TYPED}}}'


def test_a_recorded_answer_is_put_in_as_it_is() -> None:
    answer = Answer("tmp_cache", InHost("h1", msgspec.Raw(b'{ "b":1,"a":2 }')), "t")
    assert b'"result":{"client":"h1","result":{ "b":1,"a":2 }}' in dialects.write(BOTH["qooxdoo"], answer)


@pytest.mark.parametrize("value", [None, 0, "", [], False])
def test_an_answer_of_nothing_is_an_answer(value: object) -> None:
    assert json.loads(dialects.write(BOTH["qooxdoo"], Plain(value))) == {"error": None, "id": 7, "result": value}
    assert json.loads(dialects.write(BOTH["2.0"], Plain(value))) == {"jsonrpc": "2.0", "id": 7, "result": value}


def test_an_error_to_qooxdoo() -> None:
    error = NoSuchMachine("There is no machine x.", machine="x")
    assert json.loads(dialects.write(BOTH["qooxdoo"], error)) == {
        "error": {
            "origin": 2,
            "code": 1000,
            "message": "There is no machine x.",
            "name": "FuncManError",
            "data": {"reason": "no_such_machine", "machine": "x"},
        },
        "id": 7,
        "result": None,
    }


def test_an_error_in_2_0() -> None:
    answer = json.loads(dialects.write(BOTH["2.0"], NoSuchMachine("There is no machine x.", machine="x")))
    assert answer == {
        "jsonrpc": "2.0",
        "id": 7,
        "error": {
            "code": 1000,
            "message": "There is no machine x.",
            "data": {
                "origin": 2,
                "code": 1000,
                "name": "FuncManError",
                "reason": "no_such_machine",
                "machine": "x",
            },
        },
    }


def test_details_do_not_hide_what_an_error_is() -> None:
    error = AuthError("No.", name="somebody", code=1, origin="x")
    data = json.loads(dialects.write(BOTH["2.0"], error))["error"]["data"]
    assert data == {"origin": 2, "code": 1001, "name": "AuthError"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ParameterMismatch("x"), -32602),
        (PermissionDenied("x"), -32000),
        (AuthError("x"), 1001),
        (FuncMethodTimeoutError("x", job="j"), 1008),
        (DeathError("x"), 1011),
        (Invalid("x"), -32600),
        (Unreadable("x"), -32700),
    ],
)
def test_codes_in_2_0(error: OmsError, code: int) -> None:
    assert json.loads(dialects.write(BOTH["2.0"], error))["error"]["code"] == code


def test_every_error_has_a_whole_code_that_2_0_allows() -> None:
    for kind in OmsError.kinds.values():
        if "code" not in vars(kind):
            continue
        code = dialects.code_2_0(kind("x"))
        if issubclass(kind, CallError):
            assert -32700 <= code <= -32000, "of the call: a reserved code"
            assert code in (*JSON_RPC_CODES.values(), -32600, -32700)
        else:
            assert not -32768 <= code <= -32000


def test_what_is_expected_names_both_ways() -> None:
    assert "GET /?id=1&service=" in EXPECTED
    assert "POST" in EXPECTED


def same(got: Any, wanted: Any) -> bool:
    return type(got) is type(wanted) and bool(got == wanted)


@given(body=st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_body_is_a_call_or_none(body: bytes) -> None:
    try:
        asked = dialects.from_body(body)
    except NoCall:
        return
    for call in asked if isinstance(asked, list) else [asked]:
        assert call.silent or answered(call)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.dictionaries(st.sampled_from(["jsonrpc", "service", "method", "params", "id"]), VALUES)


@given(value=MEMBERS | st.lists(MEMBERS), version=st.booleans())
def test_any_object_is_a_call_or_none(value: Any, version: bool) -> None:
    if version and isinstance(value, dict):
        value["jsonrpc"] = "2.0"
    try:
        asked = dialects.from_body(json.dumps(value).encode())
    except NoCall:
        return
    for call in asked if isinstance(asked, list) else [asked]:
        if call.silent:
            continue
        answer = answered(call)
        if call.fault is None:
            assert answer["id"] == call.id
        if call.dialect == "qooxdoo":
            assert set(answer) == {"error", "id", "result"}
        else:
            assert set(answer) in ({"jsonrpc", "id", "error"}, {"jsonrpc", "id", "result"})


@given(query=st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_query_is_a_call_or_none(query: bytes) -> None:
    for text in (query, b"service=kvm&method=list_vms&params=" + query):
        try:
            asked = dialects.from_query(text)
        except NoCall:
            continue
        assert answered(asked)
