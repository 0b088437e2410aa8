"""The ways to write one call, as a client on the wire does, and what any answer is held to."""

import contextlib
import http.client
import itertools
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from oms.bus import pinning
from oms.contract import openrpc
from oms.contract.operation import HostOperation, Operation, Param
from oms.contract.registry import BY_WIRE
from tests.contract.schemas import faults
from tests.hosts import examples
from tests.hosts.stack import NAME, CallFailed

Answer = dict[str, Any]
Ask = Callable[[int, str, list[Any]], Answer]
DOCUMENT: dict[str, Any] = json.loads(json.dumps(openrpc.document()))
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def request(port: int, verb: str, path: str, body: Any = None) -> Any:
    """One request over a connection of its own; the answer, which must be JSON with status 200."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=pinning.unverified())
    with contextlib.closing(connection):
        # The bytes of a bare address are the point: http.client sends what it is given, but for blanks.
        connection.request(verb, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        text = response.read()
    assert (response.status, response.getheader("content-type")) == (200, "application/json"), text
    return json.loads(text)


class Text(msgspec.Struct, frozen=True):
    """An answer that may be no JSON."""

    status: int
    body: bytes


def bare_text(port: int, service: str, method: str, shown: str) -> Text:
    """A call whose parameters are whatever text."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=pinning.unverified())
    with contextlib.closing(connection):
        connection.request("GET", f"/?id=7&service={service}&method={method}&params={quote(shown)}")
        response = connection.getresponse()
        return Text(response.status, response.read())


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What they answer, or the CallFailed they raise, begun side by side."""

    def outcome(act: Callable[[], Any]) -> Any:
        try:
            return act()
        except CallFailed as failure:
            return failure

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(outcome, acts))


def _address(port: int, wire: str, params: list[Any], write: Callable[[str], str]) -> Answer:
    service, _, method = wire.partition(".")
    shown = write(json.dumps(params, separators=(",", ":")))
    answer: Answer = request(port, "GET", f"/?id=7&service={service}&method={method}&params={shown}")
    return _of_2011(answer)


def bare(port: int, wire: str, params: list[Any]) -> Answer:
    """An address as people type it: quotes as they are (but no blanks, which no address can have)."""
    return _address(port, wire, params, lambda text: text.replace(" ", "%20"))


def quotes_encoded(port: int, wire: str, params: list[Any]) -> Answer:
    """As browsers send what people type."""
    return _address(port, wire, params, lambda text: text.replace('"', "%22").replace(" ", "%20"))


def all_encoded(port: int, wire: str, params: list[Any]) -> Answer:
    """As programs send it."""
    return _address(port, wire, params, lambda text: quote(text, safe=""))


def qooxdoo(port: int, wire: str, params: list[Any]) -> Answer:
    """The 2011 body."""
    service, _, method = wire.partition(".")
    call = {"service": service, "method": method, "id": 7, "params": params}
    return _of_2011(request(port, "POST", "/", call))


def by_position(port: int, wire: str, params: list[Any]) -> Answer:
    """JSON-RPC 2.0 with a list."""
    call = {"jsonrpc": "2.0", "id": 7, "method": wire, "params": params}
    return _of_2_0(request(port, "POST", "/", call))


def by_name(port: int, wire: str, params: list[Any]) -> Answer:
    """JSON-RPC 2.0 with an object."""
    declared = BY_WIRE[wire].facts.params
    if declared[-1].varargs:
        params = [*params[: len(declared) - 1], params[len(declared) - 1 :]]
    named = {param.name: value for param, value in zip(declared, params, strict=False)}
    return _of_2_0(request(port, "POST", "/", {"jsonrpc": "2.0", "id": 7, "method": wire, "params": named}))


DIALECTS = (bare, quotes_encoded, all_encoded, qooxdoo, by_position, by_name)


def in_turn() -> Ask:
    """Each call in the next way of writing, all of them from one client."""
    ways = itertools.cycle(DIALECTS)
    return lambda port, wire, params: next(ways)(port, wire, params)  # noqa: PLW0108 - each call has its own way


def _of_2011(answer: Answer) -> Answer:
    assert list(answer) == ["error", "id", "result"]
    assert answer["id"] == 7
    if answer["error"] is not None:
        assert answer["result"] is None
        assert list(answer["error"]) == ["origin", "code", "message", "name", "data"]
        raise CallFailed(answer["error"])
    result: Answer = answer["result"]
    return result


def _of_2_0(answer: Answer) -> Answer:
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", 7)
    if "error" in answer:
        assert list(answer) == ["jsonrpc", "id", "error"]
        data = answer["error"]["data"]
        assert list(data)[:3] == ["origin", "code", "name"]
        raise CallFailed({**answer["error"], "name": data["name"], "data": data})
    assert list(answer) == ["jsonrpc", "id", "result"]
    result: Answer = answer["result"]
    return result


def unwrapped(kind: type[Operation[Any]], result: Answer) -> Any:
    """What a method answered, after the envelope, the types, and the order of the keys were held to what is
    published."""
    assert list(result) == ["type", "result", "as_of"]
    assert MOMENT.fullmatch(result["as_of"])
    published = openrpc.method(kind)["result"]["schema"]
    assert list(faults(result, published, DOCUMENT)) == []
    answer = result["result"]
    if issubclass(kind, HostOperation):
        assert list(answer) == ["client", "result"]
        assert answer["client"] == NAME
        answer = answer["result"]
    typed = msgspec.convert(answer, kind.facts.answer)
    assert json.dumps(msgspec.to_builtins(typed)) == json.dumps(answer)
    return answer


def same_shape(ours: Any, theirs: Any) -> None:
    """Types and keys in the document's order, down to the first of each list; members by the name of a machine
    or of a refused setting are values, not keys."""
    assert type(ours) is type(theirs)
    if isinstance(ours, list) and ours and theirs:
        same_shape(ours[0], theirs[0])
    elif isinstance(ours, dict) and ours and isinstance(next(iter(theirs.values()), None), dict):
        same_shape(next(iter(ours.values())), next(iter(theirs.values())))
    elif isinstance(ours, dict) and ours and ours.keys() & theirs.keys():
        assert list(ours)[: len(theirs)] == list(theirs)  # what is ours comes after
        for name, value in theirs.items():
            assert type(value) is type(ours[name])


class Tour:
    """Calls in one way of writing, each answer held to what is published; remembers what was called."""

    def __init__(self, port: int, ask: Ask) -> None:
        self.port, self.ask = port, ask
        self.sessid = ""
        self.asked: set[str] = set()

    def call(self, name: str, *params: Any) -> Any:
        """A method's result; the parameters are those after what stands in front. Raises CallFailed."""
        kind = BY_WIRE[name]
        front = {"SESSID": self.sessid, "cache_timeout": 0, kind.facts.host_field: NAME}
        shown = [front[param.name] for param in _front(kind)]
        self.asked.add(name)
        result = self.ask(self.port, name, [*shown, *params])
        examples.WITNESS.saw(kind.facts.service.name, kind.facts.name, [*shown, *params], result)
        return unwrapped(kind, result)

    def refused(self, name: str, *params: Any) -> CallFailed:
        """The error of a call that must fail."""
        with pytest.raises(CallFailed) as failure:
            self.call(name, *params)
        return failure.value


def _front(kind: type[Operation[Any]]) -> tuple[Param, ...]:
    """What stands before a method's own parameters."""
    own = kind.__struct_fields__
    return tuple(param for param in kind.facts.params if param.name not in own)
