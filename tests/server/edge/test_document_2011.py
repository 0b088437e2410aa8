"""Clients of 2011: each call that the document prints is understood, each answer is written as it prints it."""

import json
from typing import Any

import msgspec
import pytest

from oms.bus.call import encode
from oms.contract import decode
from oms.contract.decode import Decoded
from oms.contract.operation import HostOperation
from oms.server.edge import dialects
from oms.server.edge.dialects import Asked
from oms.server.pipeline import Answer, InHost
from tests.contract.document import METHODS, Documented

QUERIES = [(documented, query) for documented in METHODS for query in documented.queries]


def shown(decoded: Decoded) -> tuple[Any, ...]:
    """All of a call, secrets included, to compare by."""
    return type(decoded.op), encode(decoded.op), decoded.cache_timeout, decoded.host


@pytest.mark.parametrize(("documented", "query"), QUERIES, ids=[str(documented) for documented, _ in QUERIES])
def test_the_call_is_understood_in_every_dialect(documented: Documented, query: str) -> None:
    asked = dialects.from_query(query.encode())
    kind = decode.find(asked.service, asked.method)
    assert kind is documented.declared
    by_get = shown(decode.decode(kind, asked.params))
    posted = json.dumps({"service": asked.service, "method": asked.method, "id": 1, "params": asked.params})
    by_post = dialects.from_body(posted.encode())
    assert by_post == asked
    wire = f"{asked.service}.{asked.method}"
    names = dict(zip(documented.parameters, asked.params, strict=False))
    if kind.facts.varargs:
        names[documented.parameters[-1]] = asked.params[len(documented.parameters) - 1 :]
    for params in (asked.params, names):
        body = json.dumps({"jsonrpc": "2.0", "method": wire, "id": 1, "params": params})
        call = dialects.from_body(body.encode())
        assert isinstance(call, Asked)
        assert decode.find(call.service, call.method) is kind
        assert shown(decode.decode(kind, call.params)) == by_get


@pytest.mark.parametrize("documented", METHODS, ids=str)
def test_the_answer_is_written_as_printed(documented: Documented) -> None:
    if documented.answer is None:
        pytest.skip("the document has no legible answer")
    printed = documented.answer["result"]
    kind = documented.declared
    value = printed["result"]
    result: Any
    if issubclass(kind, HostOperation):
        result = InHost(value["client"], msgspec.convert(value["result"], kind.facts.result))
    else:
        result = msgspec.convert(value, kind.facts.result)
    asked = Asked("qooxdoo", documented.service, documented.method, [], documented.answer["id"])
    written = json.loads(dialects.write(asked, Answer(printed["type"], result, "2026-01-01T00:00:00.000Z")))
    assert written["result"].pop("as_of") == "2026-01-01T00:00:00.000Z"
    assert json.dumps(written) == json.dumps(documented.answer), "the same members in the same order"
