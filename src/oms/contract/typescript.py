"""The API as TypeScript: what the web GUI is written against.

Types only, and one table of what a program must know of a method before it calls it. Made from the same schemas as
the OpenRPC document, so the two cannot say different things.
"""

import json
from collections.abc import Iterator
from typing import Any

from oms.contract import openrpc
from oms.contract.operation import HostOperation, OpenOperation, Operation, SessionOperation
from oms.contract.registry import OPERATIONS

Schema = dict[str, Any]
_WORDS = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}
_IN_FRONT = {"SESSID", "cache_timeout"}
"""What the client itself puts in front of every call."""
_HEAD = """\
// The API of OpenNode Management Server. Written by `oms contract typescript`: never by hand.
"""
_FACTS = """\
/** The least role that may call. */
export type Permission = "nobody" | "viewer" | "operator" | "admin";

/** Who answers, and what stands in front: nothing, a session, a session and a cache's age. */
export interface Facts {
  readonly by: "open" | "session" | "server" | "host";
  readonly may: Permission;
  /** Whether it changes anything; what changes a host is a job. */
  readonly changes: boolean;
  /** Seconds until it is answered at the latest. */
  readonly timeout: number;
}
"""


def text() -> str:
    """The whole module."""
    document = openrpc.document()
    schemas: dict[str, Schema] = document["components"]["schemas"]
    methods: dict[str, Schema] = {method["name"]: method for method in document["methods"]}
    parts = [
        _HEAD,
        *(_declared(name, schema) for name, schema in schemas.items()),
        _errors(),
        "/** What each method takes, by name, and answers. `SESSID` and `cache_timeout` the client adds. */\n"
        "export interface Methods {\n" + "".join(_method(kind, methods) for kind in OPERATIONS) + "}\n",
        "export type Method = keyof Methods;\n",
        _FACTS,
        "export const METHODS: { readonly [M in Method]: Facts } = {\n"
        + "".join(f"  {json.dumps(kind.facts.wire)}: {_facts(kind)},\n" for kind in OPERATIONS)
        + "};\n",
    ]
    return "\n".join(parts)


def _declared(name: str, schema: Schema) -> str:
    words = _comment(schema.get("description", ""), "")
    if schema.get("type") == "object" and "properties" in schema:
        return f"{words}export interface {_name(name)} {_object(schema, '')}\n"
    return f"{words}export type {_name(name)} = {_type(schema, '')};\n"


def _errors() -> str:
    names = "\n".join(f'  | "{error.wire_name}"' for error in openrpc.errors())
    return f"/** The names of all errors. */\nexport type ErrorName =\n{names};\n"


def _method(kind: type[Operation[Any]], methods: dict[str, Schema]) -> str:
    said = methods[kind.facts.wire]
    lines = []
    for param in said["params"]:
        if param["name"] not in _IN_FRONT:
            mark = "" if param["required"] and not param.get("x-oms-rest") else "?"
            lines.append(_comment(param.get("description", ""), "      "))
            lines.append(f"      {_key(param['name'])}{mark}: {_type(param['schema'], '      ')};\n")
    params = "{\n" + "".join(lines) + "    }" if lines else "Record<never, never>"
    answer = said["result"]["schema"]["properties"]["result"]
    if issubclass(kind, HostOperation):
        answer = answer["properties"]["result"]
    members = f"    params: {params};\n    answer: {_type(answer, '    ')};\n"
    return f"{_comment(said['summary'], '  ')}  {json.dumps(kind.facts.wire)}: {{\n{members}  }};\n"


def _facts(kind: type[Operation[Any]]) -> str:
    facts = kind.facts
    by = "server"
    for base, word in ((OpenOperation, "open"), (SessionOperation, "session"), (HostOperation, "host")):
        if issubclass(kind, base):
            by = word
    return (
        f'{{ by: "{by}", may: "{facts.permission.name.lower()}", '
        f"changes: {json.dumps(facts.changes)}, timeout: {facts.timeout:g} }}"
    )


def _type(schema: Schema, indent: str) -> str:
    """One schema as a type."""
    if "$ref" in schema:
        return _name(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(part, indent) for part in schema["anyOf"]))
    match schema.get("type"):
        case "array":
            return _array(schema, indent)
        case "object" if "properties" in schema:
            return _object(schema, indent)
        case "object":
            more = schema.get("additionalProperties")
            return f"Record<string, {_type(more, indent) if isinstance(more, dict) else 'unknown'}>"
        case str(word):
            return _WORDS[word]
    return "unknown"


def _array(schema: Schema, indent: str) -> str:
    if "prefixItems" in schema:
        return "[" + ", ".join(_type(part, indent) for part in schema["prefixItems"]) + "]"
    inside = _type(schema.get("items") or {}, indent)
    return f"({inside})[]" if "|" in inside and not inside.startswith("{") else f"{inside}[]"


def _object(schema: Schema, indent: str) -> str:
    return "{\n" + "".join(_members(schema, indent + "  ")) + indent + "}"


def _members(schema: Schema, indent: str) -> Iterator[str]:
    required = set(schema.get("required", ()))
    for name, member in schema["properties"].items():
        yield _comment(member.get("description", ""), indent)
        yield f"{indent}{_key(name)}{'' if name in required else '?'}: {_type(member, indent)};\n"


def _comment(words: str, indent: str) -> str:
    if not words:
        return ""
    lines = words.replace("*/", "* /").splitlines()
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    return f"{indent}/**\n" + "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines) + f"{indent} */\n"


def _key(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)


def _name(schema_name: str) -> str:
    """Of a component. Those of generic types have brackets in their names."""
    return "".join(letter for letter in schema_name if letter.isalnum() or letter == "_")
