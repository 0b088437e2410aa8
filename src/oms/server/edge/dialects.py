"""The ways to write one call and its answer: the document's GET, qooxdoo's POST, JSON-RPC 2.0 with batches.

Pure: text in, calls out; answers and errors in, text out.
"""

from typing import Any, Literal
from urllib.parse import unquote_plus

import msgspec

from oms.contract.errors import JSON_RPC_CODES, CallError, OmsError
from oms.server.edge import strictjson
from oms.server.edge.strictjson import NotJson
from oms.server.pipeline import Answer

Dialect = Literal["qooxdoo", "2.0"]
MOST_IN_A_BATCH = 100
_VARIABLES = frozenset({"id", "service", "method", "params", "_ScriptTransport_id", "_ScriptTransport_data"})
_encode = msgspec.json.Encoder().encode


class NoCall(Exception):
    """What came is no call at all; the text says what is expected."""


class Invalid(CallError):
    """A JSON-RPC 2.0 request that is none."""

    code = -32600


class Unreadable(CallError):
    """A JSON-RPC 2.0 request that is no JSON."""

    code = -32700


class Asked(msgspec.Struct, frozen=True):
    """One call as written: in which dialect, and whether an answer is wanted."""

    dialect: Dialect
    service: Any
    method: Any
    params: Any
    id: Any = None
    silent: bool = False
    fault: OmsError | None = None
    script: str = ""
    """The number of the script transport's script, empty where the call did not come by it."""


EXPECTED = (
    "This is OpenNode Management Server. It expects a call: POST a JSON object with service, method, id and "
    'params, or with "jsonrpc": "2.0"; or GET /?id=1&service=...&method=...&params=[...].'
)


def from_query(query: bytes) -> Asked:
    """The document's GET. The first of a repeated variable counts, unknown ones are passed over."""
    variables: dict[str, str] = {}
    try:
        for part in query.decode("ascii", "strict").split("&"):
            name, _, value = part.partition("=")
            if name in _VARIABLES and name not in variables:
                variables[name] = unquote_plus(value, errors="strict")
    except UnicodeError:
        raise NoCall("The address is not UTF-8, percent-encoded where it is not ASCII.") from None
    if "_ScriptTransport_data" in variables:
        return _from_script(variables["_ScriptTransport_data"], variables.get("_ScriptTransport_id", ""))
    if "service" not in variables or "method" not in variables:
        raise NoCall(EXPECTED)
    try:
        ident = strictjson.loads(variables.get("id", "null"))
        params = strictjson.loads(variables.get("params", "[]"))
    except NotJson as wrong:
        raise NoCall(f"id and params are JSON each: {wrong}") from None
    return Asked("qooxdoo", variables["service"], variables["method"], params, ident)


def _from_script(data: str, number: str) -> Asked:
    if not (number.isascii() and number.isdigit()):
        raise NoCall("_ScriptTransport_id is a number.")
    asked = from_body(data.encode())
    if isinstance(asked, list):
        raise NoCall("The script transport carries one call at a time.")
    return msgspec.structs.replace(asked, script=number)


def from_body(body: bytes) -> "Asked | list[Asked]":
    """A POST's body: one call, or a batch. Raises NoCall for what is neither."""
    try:
        value = strictjson.loads(body)
    except NotJson as wrong:
        if b'"jsonrpc"' in body:  # as far as can be told, a client that wants JSON back
            return Asked("2.0", "", "", [], fault=Unreadable(f"{wrong} {EXPECTED}"))
        raise NoCall(f"{wrong} {EXPECTED}") from None
    if isinstance(value, list):
        if not 0 < len(value) <= MOST_IN_A_BATCH:
            return _invalid(None, f"A batch has 1 to {MOST_IN_A_BATCH} calls.")
        return [_of_2_0(item) for item in value]
    if isinstance(value, dict) and "jsonrpc" in value:
        return _of_2_0(value)
    if isinstance(value, dict) and "service" in value:
        return Asked("qooxdoo", value["service"], value.get("method"), value.get("params", []), value.get("id"))
    raise NoCall(EXPECTED)


def _of_2_0(value: Any) -> Asked:
    if not isinstance(value, dict):
        return _invalid(None, "A call is an object.")
    ident = value.get("id")
    if isinstance(ident, (dict, list, bool)):
        return _invalid(None, '"id" is a number or a text.')
    if value.get("jsonrpc") != "2.0" or not isinstance(value.get("method"), str):
        return _invalid(ident, '"jsonrpc" is "2.0", and "method" a text.')
    params = value.get("params")
    if params is not None and not isinstance(params, (list, dict)):
        return _invalid(ident, '"params" is a list or an object.')
    service, _, method = value["method"].rpartition(".")
    return Asked("2.0", service, method, [] if params is None else params, ident, silent="id" not in value)


def _invalid(ident: Any, why: str) -> Asked:
    return Asked("2.0", "", "", [], ident, fault=Invalid(f"This is no JSON-RPC 2.0 request: {why}"))


class _Typed(msgspec.Struct):
    type: str
    result: Any
    as_of: str


class _QooxdooAnswer(msgspec.Struct):
    error: Any
    id: Any
    result: Any


class _Answer20(msgspec.Struct):
    jsonrpc: str
    id: Any
    result: Any


class _Error20(msgspec.Struct):
    jsonrpc: str
    id: Any
    error: Any


def write(asked: Asked, outcome: "Answer | Plain | OmsError") -> bytes:
    """The text of an answer or an error in the dialect of its call."""
    if isinstance(outcome, OmsError):
        return _write_error(asked, outcome)
    result: Any
    if isinstance(outcome, Answer):
        result = _Typed(outcome.type, outcome.result, outcome.as_of)
    else:
        result = outcome.value
    if asked.dialect == "qooxdoo":
        return _encode(_QooxdooAnswer(None, asked.id, result))
    return _encode(_Answer20("2.0", asked.id, result))


class Plain(msgspec.Struct, frozen=True):
    """An answer without OMS's envelope: what a dialect itself defines (introspection, discovery)."""

    value: Any


def _write_error(asked: Asked, error: OmsError) -> bytes:
    if asked.dialect == "qooxdoo":
        shown: dict[str, Any] = {
            "origin": error.origin,
            "code": error.code,
            "message": error.message,
            "name": error.wire_name,
            "data": error.details(),
        }
        return _encode(_QooxdooAnswer(shown, asked.id, None))
    known = {"origin": error.origin, "code": error.code, "name": error.wire_name}
    data = {**known, **error.details(), **known}  # these three first, and theirs whatever the details are called
    return _encode(_Error20("2.0", asked.id, {"code": code_2_0(error), "message": error.message, "data": data}))


def code_2_0(error: OmsError) -> int:
    """JSON-RPC 2.0's own code where it has one, else ours: 1000 and up lie outside the reserved range."""
    return JSON_RPC_CODES.get(error.wire_name, error.code)
