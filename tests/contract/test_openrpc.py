"""The OpenRPC document keeps the specification's rules (1.3.2), and says of the API what is so."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from oms import __version__
from oms.contract import openrpc, pages
from oms.contract.errors import GENERAL, JSON_RPC_CODES
from oms.contract.operation import HostOperation, Operation
from oms.contract.registry import OPERATIONS
from tests.contract.document import METHODS, Documented
from tests.contract.schemas import KEYWORDS, faults, resolve

DOCUMENT: dict[str, Any] = json.loads(json.dumps(openrpc.document()))
BY_NAME = {method["name"]: method for method in DOCUMENT["methods"]}
each = pytest.mark.parametrize("method", DOCUMENT["methods"], ids=lambda method: method["name"])

# What the specification allows in each object; more may be had under names that begin with x-.
ALLOWED = {
    "document": {"openrpc", "info", "methods", "servers", "components", "externalDocs"},
    "info": {"title", "description", "version", "termsOfService", "contact", "license"},
    "components": {"schemas", "errors", "tags", "links", "examples", "examplePairings", "contentDescriptors"},
    "method": {
        "name", "summary", "description", "tags", "params", "paramStructure", "result", "errors", "links",
        "examples", "deprecated", "servers", "externalDocs",
    },
    "descriptor": {"name", "summary", "description", "required", "schema", "deprecated"},
    "error": {"code", "message", "data"},
    "tag": {"name", "description", "externalDocs"},
}  # fmt: skip


def keeps(kind: str, thing: dict[str, Any]) -> bool:
    """Errors may have no extensions, all else may."""
    return all(name in ALLOWED[kind] or (name.startswith("x-") and kind != "error") for name in thing)


def schemas(thing: Any) -> Iterator[dict[str, Any]]:
    """Every schema in the document, those inside others included."""
    if isinstance(thing, list):
        for part in thing:
            yield from schemas(part)
    elif isinstance(thing, dict):
        for name, part in thing.items():
            if name == "schema":
                yield from _with_inner(part)
            else:
                yield from schemas(part)


def _with_inner(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    inner += [schema[name] for name in ("items", "additionalProperties", "propertyNames") if name in schema]
    for part in inner:
        if isinstance(part, dict):
            yield from _with_inner(part)


ALL_SCHEMAS = [
    *schemas(DOCUMENT["methods"]),
    *(inner for component in DOCUMENT["components"]["schemas"].values() for inner in _with_inner(component)),
]


def test_the_frame_is_the_specifications() -> None:
    assert DOCUMENT["openrpc"] == "1.3.2"
    assert DOCUMENT["info"]["version"] == __version__
    assert keeps("document", DOCUMENT)
    assert keeps("info", DOCUMENT["info"])
    assert keeps("components", DOCUMENT["components"])
    for group in DOCUMENT["components"].values():
        assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in group)


def test_every_operation_stands_there_once() -> None:
    assert [method["name"] for method in DOCUMENT["methods"]] == [kind.facts.wire for kind in OPERATIONS]
    assert len(BY_NAME) == len(OPERATIONS)


@each
def test_a_method_keeps_the_rules(method: dict[str, Any]) -> None:
    assert keeps("method", method)
    assert method["summary"]
    assert method["paramStructure"] == "either"
    assert all(keeps("descriptor", param) for param in [*method["params"], method["result"]])
    names = [param["name"] for param in method["params"]]
    assert len(set(names)) == len(names)
    needs = [param["required"] for param in method["params"]]
    assert needs == sorted(needs, reverse=True), "an optional parameter before a required one"


@each
def test_references_lead_somewhere(method: dict[str, Any]) -> None:
    for error in method["errors"]:
        assert keeps("error", resolve(error["$ref"], DOCUMENT))
    for tag in method["tags"]:
        assert keeps("tag", resolve(tag["$ref"], DOCUMENT))
        assert method["name"].startswith(resolve(tag["$ref"], DOCUMENT)["name"] + ".")


def test_schemas_use_words_of_json_schema_and_their_references_lead_somewhere() -> None:
    assert len(ALL_SCHEMAS) > 100
    for schema in ALL_SCHEMAS:
        assert schema.keys() <= KEYWORDS
        if "$ref" in schema:
            assert resolve(schema["$ref"], DOCUMENT)
        assert set(schema.get("required", [])) <= schema.get("properties", {}).keys()


def test_patterns_are_javascripts() -> None:
    patterns = [schema["pattern"] for schema in ALL_SCHEMAS if "pattern" in schema]
    assert patterns
    for pattern in patterns:
        assert re.fullmatch(r"\^\(\?:.+\)\$", pattern)
        assert not re.search(r"\\[AZzGbB]|\(\?[^:]", pattern), "a construct that JavaScript reads differently"


def test_no_schema_stands_twice() -> None:
    seen = [schema for schema in ALL_SCHEMAS if "title" in schema]
    assert len(seen) == len(DOCUMENT["components"]["schemas"]), "named types belong into components"


@pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.facts.wire)
def test_says_the_facts(kind: type[Operation[Any]]) -> None:
    method, facts = BY_NAME[kind.facts.wire], kind.facts
    assert method["x-oms"] == {
        "permission": facts.permission.name.lower(),
        "changes": facts.changes,
        "timeout": facts.timeout,
        "aliases": list(facts.aliases),
        "service_aliases": list(facts.service.aliases),
    }
    assert method["description"] == facts.document
    assert [param["name"] for param in method["params"]] == [param.name for param in facts.params]
    named = [error["$ref"].rpartition("/")[2] for error in method["errors"]]
    assert {error.wire_name for error in (*GENERAL, *facts.raises)} | {"ParameterMismatch"} == set(named)
    assert len(set(named)) == len(named)


def test_errors_have_the_codes_of_json_rpc() -> None:
    listed = DOCUMENT["components"]["errors"]
    for error in openrpc.errors():
        said = listed[error.wire_name]
        assert said["code"] == JSON_RPC_CODES.get(error.wire_name, error.code)
        assert said["data"] == {"origin": error.origin, "code": error.code, "name": error.wire_name}
        assert said["message"]
    assert len(listed) == len(openrpc.errors())


def test_a_secret_is_marked_and_has_no_default() -> None:
    password = BY_NAME["authservices.authenticate"]["params"][1]["schema"]
    assert password["type"] == "string"
    assert password["format"] == "password"
    assert "default" not in password


@pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.facts.wire)
def test_the_example_call_fits_its_schemas(kind: type[Operation[Any]]) -> None:
    values = pages.example(kind)
    for param, value in zip(BY_NAME[kind.facts.wire]["params"], values, strict=False):
        schema = param["schema"]["items"] if "x-oms-rest" in param else param["schema"]
        assert not list(faults(value, schema, DOCUMENT))


@pytest.mark.parametrize("documented", METHODS, ids=str)
def test_an_answer_of_the_2011_document_fits_its_schema(documented: Documented) -> None:
    if documented.answer is None:
        pytest.skip("the document has no legible answer")
    answer = {**documented.answer["result"], "as_of": "2026-01-01T00:00:00.000Z"}
    schema = BY_NAME[str(documented)]["result"]["schema"]
    assert not list(faults(answer, schema, DOCUMENT))
    for wrong in ({**answer, "type": "?"}, {**answer, "result": 0.5}, {"result": answer["result"]}):
        assert list(faults(wrong, schema, DOCUMENT)), "the schema would allow anything"


def test_what_a_host_answers_has_its_name_and_may_be_a_recorded_answer() -> None:
    for kind in OPERATIONS:
        envelope = BY_NAME[kind.facts.wire]["result"]["schema"]["properties"]
        of_host = issubclass(kind, HostOperation)
        inner = envelope["result"].get("properties", {})
        expected = ["client", "result", *(["missing"] if kind.facts.partly else [])]
        assert (list(inner) == expected) is of_host
        recorded = not kind.facts.changes or kind.facts.answers == "tmp_cache"
        assert ("tmp_cache" in envelope["type"]["enum"]) is (of_host and recorded)


def test_a_default_is_said() -> None:
    params = {param["name"]: param for param in BY_NAME["taskservices.wait_task"]["params"]}
    assert params["seconds"]["schema"]["default"] == 60
    assert not params["seconds"]["required"]


def test_the_document_is_made_once() -> None:
    assert openrpc.document() is openrpc.document()
    assert msgspec.json.decode(msgspec.json.encode(openrpc.document())) == DOCUMENT
