"""As much of JSON Schema as the published schemas use: enough to hold real answers against them."""

import re
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
KEYWORDS = {
    "$ref", "additionalProperties", "anyOf", "default", "description", "discriminator", "enum", "examples",
    "format", "items", "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minimum",
    "pattern", "prefixItems", "properties", "propertyNames", "required", "title", "type",
}  # fmt: skip
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def faults(value: Any, schema: Schema, root: Schema, where: str = "$") -> Iterator[str]:
    """What a value has that its schema does not allow. `root` is the document that references point into."""
    if surplus := schema.keys() - KEYWORDS:
        raise AssertionError(f"{where}: this checker does not know {surplus}")
    if "$ref" in schema:
        yield from faults(value, resolve(schema["$ref"], root), root, where)
    if "anyOf" in schema and all(list(faults(value, part, root)) for part in schema["anyOf"]):
        yield f"{where}: none of the choices"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not in {schema['enum']}"
    if "type" in schema and not _is(value, schema["type"]):
        yield f"{where}: {value!r} is not {schema['type']}"
    else:
        yield from _inside(value, schema, root, where)


def _inside(value: Any, schema: Schema, root: Schema, where: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _in_object(value, schema, root, where)
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{where}: length {len(value)}"
        front = schema.get("prefixItems", [])
        for place, item in enumerate(value):
            part = front[place] if place < len(front) else schema.get("items") or {}
            yield from faults(item, part, root, f"{where}[{place}]")
    elif isinstance(value, str):
        yield from _in_text(value, schema, where)
    elif isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{where}: {value} is out of range"


def resolve(reference: str, root: Schema) -> Schema:
    """What `#/a/b` stands for. KeyError where it dangles."""
    found: Any = root
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    assert isinstance(found, dict)
    return found


def _is(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _in_object(value: dict[str, Any], schema: Schema, root: Schema, where: str) -> Iterator[str]:
    for name in schema.get("required", []):
        if name not in value:
            yield f"{where}: {name} is missing"
    if len(value) > schema.get("maxProperties", len(value)):
        yield f"{where}: {len(value)} members"
    properties = schema.get("properties", {})
    for name, part in value.items():
        yield from faults(name, schema.get("propertyNames", {}), root, f"{where} key")
        if name in properties:
            yield from faults(part, properties[name], root, f"{where}.{name}")
        elif isinstance(rest := schema.get("additionalProperties"), dict):
            yield from faults(part, rest, root, f"{where}.{name}")
        elif rest is False or properties:
            yield f"{where}: nobody has heard of {name}"


def _in_text(value: str, schema: Schema, where: str) -> Iterator[str]:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        yield f"{where}: length {len(value)}"
    if "pattern" in schema and not re.search(schema["pattern"].removesuffix("$") + r"\Z", value):
        yield f"{where}: {value!r} does not match {schema['pattern']}"
