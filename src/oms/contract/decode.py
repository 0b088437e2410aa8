"""From what a caller sent to an operation: the right count, the right types, unknown names refused by name.

Strict here, because a person is at the other end; lenient on the bus. Positions and names are taken alike.
"""

import functools
import json
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from oms.contract.errors import IllegalService, MethodNotFound, ParameterMismatch, ServiceNotFound
from oms.contract.operation import CACHE_TIMEOUT, SESSID, HostOperation, Operation, Param, signature
from oms.contract.registry import BY_NAME
from oms.contract.types import Secret, decode_secret

LONGEST_SHOWN = 80
"""Characters of a caller's own words that an error repeats."""


class Decoded(msgspec.Struct, frozen=True):
    """A call that can be made: the operation, and what stood in front of it besides the SESSID."""

    op: Operation[Any]
    cache_timeout: int
    host: str


def find(service: object, method: object) -> type[Operation[Any]]:
    """The operation of that name, from the published list alone. Raises IllegalService, ServiceNotFound,
    MethodNotFound."""
    if service == "":
        raise IllegalService(
            "The service is missing; in JSON-RPC 2.0 it stands before the method: service.method."
        )
    if not isinstance(service, str) or not _is_name(service):
        raise IllegalService("A service's name is letters, digits, _ and dots.", service=_shown(service))
    methods = BY_NAME.get(service)
    if methods is None:
        names = ", ".join(sorted(BY_NAME))
        raise ServiceNotFound(f"There is no service {service}; there are: {names}.", service=service)
    found = methods.get(method) if isinstance(method, str) else None
    if found is None:
        names = ", ".join(sorted(methods))
        raise MethodNotFound(f"{service} has no method {_shown(method)}; it has: {names}.", service=service)
    return found


def _is_name(text: str) -> bool:
    return 0 < len(text) <= 128 and text.isascii() and text.replace("_", "a").replace(".", "a").isalnum()


def sessid(params: Any) -> Any:
    """What stands in the SESSID's place, whatever it is; None where nothing does."""
    if isinstance(params, dict):
        return params.get(SESSID.name)
    return params[0] if isinstance(params, list) and params else None


def signed(kind: type[Operation[Any]], params: Any, given: Any) -> Any:
    """The parameters with that SESSID, where their own place for it is empty: it came beside the call."""
    if SESSID not in kind.front or not isinstance(given, str) or sessid(params):
        return params
    if isinstance(params, dict):
        return {**params, SESSID.name: given}
    return [given, *params[1:]] if isinstance(params, list) else params


def decode(kind: type[Operation[Any]], params: Any) -> Decoded:
    """The operation with its parameters. Raises ParameterMismatch, naming the parameter at fault."""
    facts = kind.facts
    if isinstance(params, dict):
        values = _by_name(kind, params)
    elif isinstance(params, list):
        values = _by_position(kind, params)
    else:
        raise ParameterMismatch(
            f"The parameters of {facts.wire} are a list, or an object by name.", parameter="params"
        )
    for param in facts.params:
        if param.name in values:
            values[param.name] = _converted(kind, param, values[param.name])
        elif param.required:
            raise _missing(kind, param)
    values.pop(SESSID.name, None)
    cache_timeout = values.pop(CACHE_TIMEOUT.name, 0)
    host = values.pop(facts.host_field, "") if issubclass(kind, HostOperation) else ""
    return Decoded(kind(**values), cache_timeout, host)


def _by_position(kind: type[Operation[Any]], params: list[Any]) -> dict[str, Any]:
    declared = kind.facts.params
    if declared and declared[-1].varargs:
        fixed = len(declared) - 1
        given = dict(zip((p.name for p in declared[:fixed]), params, strict=False))
        return {**given, declared[-1].name: params[fixed:]}
    if len(params) > len(declared):
        raise ParameterMismatch(
            f"{kind.facts.wire} takes {len(declared)} parameters, got {len(params)}: {signature(kind)}.",
            parameter="params",
        )
    return dict(zip((p.name for p in declared), params, strict=False))


def _by_name(kind: type[Operation[Any]], params: dict[str, Any]) -> dict[str, Any]:
    names = {param.name for param in kind.facts.params}
    if unknown := sorted(params.keys() - names):
        raise ParameterMismatch(
            f"{kind.facts.wire} has no parameter {_shown(unknown[0])}: {signature(kind)}.",
            parameter=unknown[0][:LONGEST_SHOWN],
        )
    return dict(params)


def _converted(kind: type[Operation[Any]], param: Param, value: Any) -> Any:
    if param.varargs:
        if not isinstance(value, list):
            raise ParameterMismatch(f"Parameter {param.name} is a list when given by name.", parameter=param.name)
        return tuple(_one(kind, param, item) for item in value)
    return _one(kind, param, value)


def _one(kind: type[Operation[Any]], param: Param, value: Any) -> Any:
    try:
        return msgspec.convert(value, param.type, dec_hook=decode_secret)
    except (msgspec.ValidationError, RecursionError, UnicodeError) as wrong:
        got = "" if is_secret(param.type) else f" got {_shown(value)};"
        raise ParameterMismatch(
            f"Parameter {param.name} of {kind.facts.wire} is not legal:{got} legal is {legal(param.type)}.",
            parameter=param.name,
        ) from wrong


def _missing(kind: type[Operation[Any]], param: Param) -> ParameterMismatch:
    return ParameterMismatch(f"Parameter {param.name} is missing: {signature(kind)}.", parameter=param.name)


def _shown(value: Any) -> str:
    """A caller's value as it may be repeated to him: escaped, cut, and no more of it looked at than is shown."""
    text = ""
    try:
        for piece in _pieces(value):
            text += piece
            if len(text) > LONGEST_SHOWN:
                return text[:LONGEST_SHOWN] + "…"
    except (ValueError, TypeError, RecursionError):
        return type(value).__name__
    return text


def _pieces(value: Any) -> Iterator[str]:
    """The value's JSON, with asterisks where a password stands by its name: settings hold them as plain text."""
    if isinstance(value, dict):
        for number, (key, part) in enumerate(value.items()):
            yield f"{', ' if number else '{'}{json.dumps(key)}: "
            yield from ('"***"',) if "passw" in key.lower() else _pieces(part)
        yield "}" if value else "{}"
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield ", " if number else "["
            yield from _pieces(part)
        yield "]" if value else "[]"
    else:
        yield json.dumps(value[: LONGEST_SHOWN + 1] if isinstance(value, str) else value)


def legal(kind: Any) -> str:
    """What a value of a type may be, for a person."""
    for note in getattr(kind, "__metadata__", ()):
        if isinstance(note, msgspec.Meta) and note.description:
            return note.description
    origin = typing.get_origin(kind)
    if origin is Literal:
        return "one of " + ", ".join(json.dumps(value) for value in typing.get_args(kind))
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(legal(part) for part in typing.get_args(kind))
    return {str: "a text", int: "a whole number", types.NoneType: "null"}.get(kind, "as the reference says")


@functools.cache
def is_secret(kind: Any) -> bool:
    """Whether values of a type must not be repeated."""
    return kind is Secret or any(
        is_secret(part) for part in typing.get_args(kind) if not isinstance(part, msgspec.Meta)
    )
