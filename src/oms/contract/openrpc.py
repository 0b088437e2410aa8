"""The API as an OpenRPC 1.3.2 document: what tools, generators and consoles read.

Derived from the operations alone. Result schemas have the envelope that an answer really comes in; what OpenRPC
has no word for (role, job or not, aliases, time-out) stands under `x-oms`.
"""

import functools
import inspect
from types import GenericAlias
from typing import Any

import msgspec

from oms import __version__
from oms.contract.errors import GENERAL, JSON_RPC_CODES, OmsError, ParameterMismatch
from oms.contract.operation import HostOperation, Operation, Param, Service
from oms.contract.partly import Missing
from oms.contract.registry import OPERATIONS, SERVICES
from oms.contract.types import Secret

VERSION = "1.3.2"
Schema = dict[str, Any]
_MISSING = list[Missing]


@functools.cache
def document() -> dict[str, Any]:
    """The whole document, ready to be written as JSON. The same object at each call: not to be changed."""
    kinds = _types()
    shapes, components = msgspec.json.schema_components(
        kinds, schema_hook=_schema_of_secret, ref_template="#/components/schemas/{name}"
    )
    schema = dict(zip(kinds, _published(list(shapes)), strict=True))
    return {
        "openrpc": VERSION,
        "info": {
            "title": "OpenNode Management Server",
            "description": "One API over many virtualisation hosts. Calls are posted as JSON-RPC 2.0 to /.",
            "version": __version__,
        },
        "methods": [_method(kind, schema) for kind in OPERATIONS],
        "components": {
            "schemas": _published(components),
            "errors": {error.wire_name: _error(error) for error in errors()},
            "tags": {service.name: _tag(service) for service in SERVICES},
        },
    }


def method(kind: type[Operation[Any]]) -> dict[str, Any]:
    """What the document says of one operation."""
    return _by_wire()[kind.facts.wire]


@functools.cache
def _by_wire() -> dict[str, dict[str, Any]]:
    return {described["name"]: described for described in document()["methods"]}


def errors() -> tuple[type[OmsError], ...]:
    """Every error name that a caller can see, once: of the call itself, general, of single methods."""
    calls = (OmsError.kinds[name] for name in JSON_RPC_CODES)
    special = (error for kind in OPERATIONS for error in kind.facts.raises if "code" in vars(error))
    return tuple(dict.fromkeys((*calls, *GENERAL, *special)))


def errors_of(kind: type[Operation[Any]]) -> tuple[type[OmsError], ...]:
    """What a method may answer: its own errors first, then those that any may."""
    own = (OmsError.kinds[error.wire_name] for error in kind.facts.raises)
    return tuple(dict.fromkeys((*own, ParameterMismatch, *GENERAL)))


def description(thing: type[Any]) -> str:
    """A class's docstring, its lines as written."""
    return inspect.cleandoc(thing.__doc__ or "")


def _types() -> list[Any]:
    """Every type that needs a schema. A list: types are told apart by equality, so each stands once."""
    kinds: dict[Any, None] = {}
    for kind in OPERATIONS:
        kinds.update({_param_type(param): None for param in kind.facts.params})
        kinds[kind.facts.answer] = None
    return [*kinds, _MISSING]


def _schema_of_secret(kind: type[Any]) -> Schema:
    if kind is Secret:
        return {"type": "string", "format": "password", "maxLength": 1024}
    raise NotImplementedError(f"{kind.__name__} has no JSON schema")


def _published(schema: Any) -> Any:
    """A schema as others read it: JSON Schema's patterns are JavaScript's, which knows no \\A and \\Z and whose
    ^ and $ mean the same; descriptions lose the indentation of the source."""
    if isinstance(schema, list):
        return [_published(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _published(part) for key, part in schema.items()}
    if isinstance(pattern := made.get("pattern"), str):
        made["pattern"] = "^" + pattern.removeprefix(r"\A").removesuffix(r"\Z") + "$"
    if isinstance(words := made.get("description"), str):
        made["description"] = inspect.cleandoc(words)
    return made


def _param_type(param: Param) -> Any:
    """By name, the parameters that are left over come as one list."""
    return GenericAlias(list, (param.type,)) if param.varargs else param.type


def _method(kind: type[Operation[Any]], schema: dict[Any, Schema]) -> dict[str, Any]:
    facts = kind.facts
    return {
        "name": facts.wire,
        "summary": facts.summary,
        "description": facts.document,
        "tags": [{"$ref": f"#/components/tags/{facts.service.name}"}],
        "paramStructure": "either",
        "params": [_param(kind, param, schema) for param in facts.params],
        "result": {"name": "answer", "required": True, "schema": _envelope(kind, schema)},
        "errors": [{"$ref": f"#/components/errors/{error.wire_name}"} for error in errors_of(kind)],
        "x-oms": {
            "permission": facts.permission.name.lower(),
            "changes": facts.changes,
            "timeout": facts.timeout,
            "aliases": list(facts.aliases),
            "service_aliases": list(facts.service.aliases),
        },
    }


def _param(kind: type[Operation[Any]], param: Param, schema: dict[Any, Schema]) -> dict[str, Any]:
    shape = dict(schema[_param_type(param)])
    if not param.required and not param.varargs:
        shape["default"] = default(kind, param)
    made: dict[str, Any] = {"name": param.name, "required": param.required, "schema": shape}
    if words := shape.get("description"):
        made["description"] = words
    if param.varargs:
        made["x-oms-rest"] = True  # by position: all that is left of the list
    return made


def default(kind: type[Operation[Any]], param: Param) -> Any:
    """What an optional parameter is when it is left out."""
    return inspect.signature(kind).parameters[param.name].default


def _envelope(kind: type[Operation[Any]], schema: dict[Any, Schema]) -> Schema:
    """An answer as it comes: typed, dated, and of a host with the host's name."""
    types, result = [kind.facts.answers], schema[kind.facts.answer]
    if issubclass(kind, HostOperation):
        result = _closed({"client": {"type": "string", "description": "the host that answered"}, "result": result})
        if kind.facts.partly:
            result["properties"]["missing"] = schema[_MISSING]
        if not kind.facts.changes and "tmp_cache" not in types:
            types.append("tmp_cache")
    return _closed(
        {
            "type": {"enum": types},
            "result": result,
            "as_of": {"type": "string", "format": "date-time", "description": "when it was so, in UTC"},
        }
    )


def _closed(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _error(error: type[OmsError]) -> dict[str, Any]:
    return {
        "code": JSON_RPC_CODES.get(error.wire_name, error.code),
        "message": description(error),
        "data": {"origin": error.origin, "code": error.code, "name": error.wire_name},
    }


def _tag(service: Service) -> dict[str, Any]:
    return {"name": service.name, "description": f"{service.heading}: {service.summary}"}
