"""What only qooxdoo's clients know, each behind a setting that is off: the script transport, and `qooxdoo.test`.

The script transport carries a call in an address and its answer in a script, so that pages of any site can use
it: nothing but the session id protects it. `qooxdoo.test` is the service by which a client's developers check
their client; it tells and changes nothing.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from oms.contract.errors import ApplicationError, MethodNotFound, ParameterMismatch
from oms.server.edge.dialects import Asked, Plain

LONGEST_SLEEP_SECONDS = 30.0
SINK_SECONDS = 240.0
SERVICE = "qooxdoo.test"


class Qooxdoo(msgspec.Struct, frozen=True):
    """What is switched on."""

    script_transport: bool = False
    test_service: bool = False


class TestError(ApplicationError):
    """What `getError` answers."""

    code = 1098


def script(number: str, answer: bytes) -> bytes:
    """The answer as the script that clients since 0.8 wait for, and older ones where those names are missing."""
    to = "(qx.io.remote.transport?qx.io.remote.transport.Script:qx.io.remote.ScriptTransport)._requestFinished"
    text = answer.decode().replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f"{to}({number}, {text});".encode()


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds


_FIXED: dict[str, Any] = {
    "getInteger": 1,
    "getFloat": 1 / 3,
    "getString": "Hello world",
    "getBadString": '<!DOCTYPE HTML "-//IETF//DTD HTML 2.0//EN">',
    "getArrayInteger": [1, 2, 3, 4],
    "getArrayString": ["one", "two", "three", "four"],
    "getObject": {"one": 1, "two": "two"},
    "getTrue": True,
    "getFalse": False,
    "getNull": None,
}
_ASKING: dict[str, Callable[[Any], bool]] = {
    "isInteger": _is(int),
    "isFloat": _is(float),
    "isString": _is(str),
    "isBoolean": _is(bool),
    "isArray": _is(list),
    "isObject": _is(dict),
    "isNull": _is(type(None)),
}


async def test(asked: Asked) -> Plain:
    """A method of the test service. Raises MethodNotFound, ParameterMismatch, TestError."""
    params: list[Any] = asked.params if isinstance(asked.params, list) else []
    if asked.method in _FIXED:
        return Plain(_FIXED[asked.method])
    if asked.method in _ASKING:
        return Plain(_ASKING[asked.method](_first(params)))
    match asked.method:
        case "echo":
            return Plain(f"Client said: [ {_first(params)} ]")
        case "getParams":
            return Plain(params)
        case "getParam":
            return Plain(_first(params))
        case "getCurrentTimestamp":
            return Plain({"now": int(time.time()), "json": int(time.time() * 1000)})
        case "getError":
            raise TestError("This is the error that was asked for.")
        case "sleep" | "sink":
            return Plain(await _sleep(asked.method, params))
    raise MethodNotFound(f"{SERVICE} has no such method.", service=SERVICE)


async def _sleep(method: str, params: list[Any]) -> Any:
    if method == "sink":
        await asyncio.sleep(SINK_SECONDS)
        return None
    given = _first(params)
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        seconds = -1
    if not 0 <= seconds <= LONGEST_SLEEP_SECONDS:
        raise ParameterMismatch(f"sleep takes 0 to {LONGEST_SLEEP_SECONDS:g} seconds.", parameter="seconds")
    await asyncio.sleep(seconds)
    return given


def _first(params: list[Any]) -> Any:
    if len(params) != 1:
        raise ParameterMismatch(f"This method takes 1 parameter, got {len(params)}.", parameter="params")
    return params[0]
