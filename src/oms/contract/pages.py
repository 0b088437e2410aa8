"""The API's reference as one Markdown page, written from the operations: it cannot say what is not so."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from oms import __version__
from oms.contract import openrpc
from oms.contract.errors import GENERAL, JSON_RPC_CODES, OmsError
from oms.contract.openrpc import Schema
from oms.contract.operation import CACHE_TIMEOUT, SESSID, HostOperation, Operation, Permission, Service, signature
from oms.contract.registry import OPERATIONS, SERVICES

ADDRESS = "https://oms.example:8000"
Examples = Mapping[str, Mapping[str, Any]]

_OPENING = f"""\
# The API of OpenNode Management Server {__version__}

Written by `make docs` from the declarations in `src/oms/contract`; changes belong there.

## How to call

Every call goes to `/` of the server, over TLS. It can be written in three ways, which mean the same:

- `GET /?id=1&service=…&method=…&params=[…]`, where `id` and `params` are JSON. Addresses end up in logs and
  histories, so this is for trying things out.
- `POST /` with `{{"service": …, "method": …, "id": 1, "params": […]}}`, as qooxdoo's clients do.
- `POST /` with JSON-RPC 2.0: `{{"jsonrpc": "2.0", "id": 1, "method": "service.method", "params": …}}`; parameters
  by position or by name, batches, notifications. `rpc.discover` answers this API as an OpenRPC document.

The examples below name a server `oms.example` whose certificate curl knows (`--cacert` otherwise) and write
`SESSID` where the session id belongs that [`authservices.authenticate`](#authservicesauthenticate) answered. Each
was made by the tests against a real OMS on real hypervisors, and stands here with its answer as it was; of what is
long the beginning is shown, and times, ids and keys stand for others. Containers were LXC's: the tests have no
kernel of OpenVZ's own.

`cache_timeout` is the greatest age, in whole seconds, of a recorded answer that the caller accepts; with 0 the
host is asked. Only reads are recorded, and a change of a host made through OMS drops what was recorded of it.

## How it answers

A result comes as `{{"type": …, "result": …, "as_of": …}}`: `type` is `auth` from the AuthService, `func` when the
host or OMS's own database was asked, `tmp_cache` when a recorded answer was handed out; `as_of` is the time at
which it was so (RFC 3339, UTC). Where a host was asked, `result` is `{{"client": <the host>, "result": …}}`. What
stands under *Answer* below is the innermost of these.

An error comes with HTTP status 200 and has `origin`, `code`, `message` (a sentence for people), `name` and `data`
(details for programs); in JSON-RPC 2.0 `origin`, `code` and `name` are members of `data`. A change that takes
longer than its method's time-out is answered with `FuncMethodTimeoutError` and goes on: `data.job` is the job to
ask [`taskservices.get_task`](#taskservicesget_task) for.
"""

_BARE = '[]{}",:'
"""Signs that the addresses of the API's first document carry without an escape."""

_ROLES = {
    Permission.NOBODY: "anybody; no session is needed",
    Permission.VIEWER: "viewer, operator or admin",
    Permission.OPERATOR: "operator or admin",
    Permission.ADMIN: "admin",
}


def reference(examples: Examples) -> str:
    """The whole page, ending in a line feed. `examples`: of each method a call that was made, and its answer."""
    parts = [_OPENING, _overview()]
    for service, methods in SERVICES.items():
        parts.append(_heading(service))
        parts.extend(_method(kind, examples.get(kind.facts.wire)) for kind in dict.fromkeys(methods.values()))
    return "\n".join([*parts, _errors(), _types()])


def example(kind: type[Operation[Any]], own: list[Any] | None = None) -> list[Any]:
    """Parameters of a call, by position: what stands in front, and those of the method itself; where nobody says
    those, an example of each required one, and one of the rest."""
    if own is not None:
        front = {SESSID.name: "SESSID", CACHE_TIMEOUT.name: 0}
        return [*(front[param.name] for param in kind.front), *own]
    values: list[Any] = []
    for param, shown in zip(kind.facts.params, openrpc.method(kind)["params"], strict=True):
        if param.required:
            values.append(shown["schema"]["examples"][0])
        elif param.varargs:
            values.append(shown["schema"]["items"]["examples"][0])
    return values


def _overview() -> str:
    rows = [
        (f"[{facts.wire}](#{_anchor(facts.wire)})", facts.permission.name.lower(), facts.summary)
        for facts in (kind.facts for kind in OPERATIONS)
    ]
    return "## All methods\n\n" + _table(("method", "role", "what it does"), rows)


def _heading(service: Service) -> str:
    names = ", ".join(f"`{name}`" for name in (service.name, *service.aliases))
    return f"## {service.heading}\n\nOn the wire: {names}. {service.summary}\n"


def _method(kind: type[Operation[Any]], made: Mapping[str, Any] | None) -> str:
    facts = kind.facts
    described = openrpc.method(kind)
    own = [f"[{name}](#errors)" for name in dict.fromkeys(error.wire_name for error in facts.raises)]
    parts = [f"### {facts.wire}", f"```\n{signature(kind)}\n```", facts.document]
    if facts.aliases:
        parts.append(f"Also called {', '.join(f'`{alias}`' for alias in facts.aliases)}.")
    if facts.params:
        parts.append(_params(described["params"]).rstrip())
    parts += [
        f"- Answer: {_answer(kind, described['result']['schema'])}",
        f"- Errors: {', '.join(own) + ', and' if own else 'those'} [that any method may answer](#errors)",
        f"- Role: {_ROLES[facts.permission]}",
        f"- {_manner(kind)}",
    ]
    text = "\n\n".join(parts).replace("\n\n- ", "\n- ").replace("\n- Answer", "\n\n- Answer")
    return f"{text}\n\n{_calls(kind, made)}"


def _manner(kind: type[Operation[Any]]) -> str:
    facts = kind.facts
    of_host = issubclass(kind, HostOperation)
    if facts.changes and of_host:
        return f"Changes the host: a job, for whose outcome the call waits at most {facts.timeout:g} s"
    if facts.changes:
        return f"Changes what OMS keeps; time-out {facts.timeout:g} s"
    return f"{'Asks the host' if of_host else 'Answered by OMS itself'}; time-out {facts.timeout:g} s"


def _params(params: list[dict[str, Any]]) -> str:
    rows = []
    for param in params:
        schema = param["schema"]
        if "x-oms-rest" in param:
            need, schema = "any number of", schema["items"]
        elif param["required"]:
            need = "required"
        else:
            need = f"else `{json.dumps(schema['default'])}`"
        rows.append((f"`{param['name']}`", need, words(schema), schema.get("description", "")))
    return _table(("parameter", "", "type", "what is legal"), rows)


def _answer(kind: type[Operation[Any]], envelope: Schema) -> str:
    fields = envelope["properties"]
    result = fields["result"]
    where = ""
    if issubclass(kind, HostOperation):
        result, where = result["properties"]["result"], " of the host"
    text = words(result)
    if "description" in result and "$ref" not in result:
        text += f" ({result['description']})"
    types = " or ".join(f"`{name}`" for name in fields["type"]["enum"])
    return f"{text}{where}, as {types}"


def _calls(kind: type[Operation[Any]], made: Mapping[str, Any] | None) -> str:
    facts = kind.facts
    params = example(kind, made["params"] if made else None)
    body = json.dumps({"service": facts.service.name, "method": facts.name, "id": 1, "params": params})
    compact = json.dumps(params, separators=(",", ":"))
    query = f"id=1&service={facts.service.name}&method={facts.name}&params={quote(compact, safe=_BARE)}"
    calls = f"```sh\ncurl {ADDRESS}/ --json {shlex.quote(body)}\n```\n\n```\nGET {ADDRESS}/?{query}\n```\n"
    if made is None:
        return calls
    answer = json.dumps({"error": None, "id": 1, "result": made["result"]}, ensure_ascii=False)
    return f"{calls}\n```json\n{answer}\n```\n"


def words(schema: Schema) -> str:
    """What values a schema allows, for a person; named types are links."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{_anchor(name)})"
    if "anyOf" in schema:
        return " or ".join(words(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return f"list of just {', '.join(words(part) for part in schema['prefixItems'])}"
        case "array":
            return f"list of {words(schema.get('items', {}))}"
        case "object" if isinstance(values := schema.get("additionalProperties"), dict):
            return f"object, by name: {words(values)}"
        case str(name):
            return {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(name, name)
    return "any JSON value"


def _errors() -> str:
    rows = [(f"`{error.wire_name}`", *_codes(error), openrpc.description(error)) for error in openrpc.errors()]
    general = ", ".join(f"`{error.wire_name}`" for error in GENERAL)
    return (
        "## Errors\n\n"
        f"Any method may answer {general}, and `ParameterMismatch`. A code is never given to another error.\n"
        'What is no JSON-RPC 2.0 request gets its own code -32600; `data.name` is then `"Invalid"`.\n\n'
        + _table(("name", "origin", "code", "code in JSON-RPC 2.0", "meaning"), rows)
        + "\nWhere an error's name is too general, `data.reason` says which of its kinds it was:\n\n"
        + _table(("name", "`data.reason`", "meaning"), list(_reasons()))
    )


def _codes(error: type[OmsError]) -> tuple[str, str, str]:
    return str(error.origin), str(error.code), str(JSON_RPC_CODES.get(error.wire_name, error.code))


def _reasons() -> Iterator[tuple[str, str, str]]:
    # In an order of their own: that in which modules were imported is another in each process.
    for error in sorted(OmsError.kinds.values(), key=lambda error: (getattr(error, "code", 0), error.reason)):
        if error.reason and error.__module__.startswith("oms.contract."):
            yield f"`{error.wire_name}`", f"`{error.reason}`", openrpc.description(error)


def _types() -> str:
    parts = ["## Types\n"]
    for name, schema in sorted(openrpc.document()["components"]["schemas"].items()):
        required = schema.get("required", [])
        rows = [
            (f"`{field}`", words(shape) + ("" if field in required else ", or missing"))
            for field, shape in schema["properties"].items()
        ]
        parts.append(f"### {name}\n\n{schema['description']}\n\n" + _table(("member", "type"), rows))
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _anchor(heading: str) -> str:
    return heading.lower().replace(".", "")
