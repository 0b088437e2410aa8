"""The calls of the whole API, written from its declarations: what is declared is attacked from that day on."""

from typing import Any

import pytest

from oms.contract import pages
from oms.contract.operation import CACHE_TIMEOUT, SESSID, HostOperation, Operation, Param
from oms.contract.registry import OPERATIONS

Kind = type[Operation[Any]]
each = pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.facts.wire)
of_hosts = pytest.mark.parametrize(
    "kind", [kind for kind in OPERATIONS if issubclass(kind, HostOperation)], ids=lambda kind: kind.facts.wire
)


def legal(kind: Kind, sessid: str, host: str = "h1") -> list[Any]:
    """A legal call of a method, by position: what its reference shows, of that session and host."""
    values = pages.example(kind)
    for place, param in enumerate(kind.facts.params[: len(values)]):
        if param is SESSID:
            values[place] = sessid
        elif issubclass(kind, HostOperation) and param.name == kind.facts.host_field:
            values[place] = host
    return values


def with_value(kind: Kind, param: Param, value: Any, sessid: str, host: str = "h1") -> dict[str, Any]:
    """The same by name, with a value in the place of one parameter."""
    names = [each.name for each in kind.facts.params]
    values = dict(zip(names, legal(kind, sessid, host), strict=False))
    for each in kind.facts.params:
        if each.varargs and each.name in values:
            values[each.name] = [values[each.name]]
    return {**values, param.name: [value] if param.varargs else value}


def own(kind: Kind) -> list[Param]:
    """A method's parameters but the SESSID."""
    return [param for param in kind.facts.params if param is not SESSID]


def parameters() -> list[Any]:
    """These of every method, to parametrize `kind` and `param` with."""
    return [
        pytest.param(kind, param, id=f"{kind.facts.wire}-{param.name}")
        for kind in OPERATIONS
        for param in own(kind)
    ]


CACHED = [kind for kind in OPERATIONS if CACHE_TIMEOUT in kind.facts.params]
"""Every method that takes a cache_timeout."""
