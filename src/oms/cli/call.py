"""`oms call`: any method of the API, its parameters as words, its answer as a table or as JSON."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import typer

from oms.cli import session, table
from oms.contract.decode import Decoded, decode, find
from oms.contract.errors import CallError
from oms.contract.operation import CACHE_TIMEOUT, SESSID, HostOperation, Operation
from oms.contract.registry import BY_NAME, BY_WIRE
from oms.contract.types import decode_secret


def methods(begin: str) -> list[tuple[str, str]]:
    """The methods whose names begin so, with what they do."""
    return [(name, kind.facts.summary) for name, kind in BY_WIRE.items() if name.startswith(begin)]


def run(method: str, words: list[str], *, cache_timeout: int, wait: bool, as_json: bool) -> None:
    """Call it as whoever is logged in, and show what it answers. Service and method may be two words."""
    if method in BY_NAME and words:
        method, *words = f"{method}.{words[0]}", *words[1:]
    try:
        asked = understood(method, words, cache_timeout)
    except CallError as wrong:
        raise typer.BadParameter(wrong.message) from None
    with session.said("call"):
        result = asyncio.run(_called(asked, wait=wait))
    table.show(result, as_json=as_json)


def understood(method: str, words: list[str], cache_timeout: int = 0) -> Decoded:
    """The operation that the words mean. Raises CallError, which says what is legal."""
    service, _, name = method.rpartition(".")
    kind = find(service, name)
    front: dict[str, Any] = {SESSID.name: "", CACHE_TIMEOUT.name: cache_timeout}
    values: list[Any] = [front[param.name] for param in kind.front]
    return decode(kind, [*values, *_values(kind, words)])


def _values(kind: type[Operation[Any]], words: list[str]) -> Iterator[Any]:
    declared = kind.facts.params[len(kind.front) :]
    for place, word in enumerate(words):
        param = declared[min(place, len(declared) - 1)] if declared else None
        yield _value(word, param.type) if param else word


def _value(word: str, kind: Any) -> Any:
    """What a word means: itself where a text is legal, or else JSON, or else the only one of a list."""
    for meant in _meanings(word):
        try:
            msgspec.convert(meant, kind, dec_hook=decode_secret)
        except (msgspec.ValidationError, RecursionError):
            continue
        return meant
    return word


def _meanings(word: str) -> Iterator[Any]:
    yield word
    with contextlib.suppress(ValueError, RecursionError):
        yield json.loads(word)
    yield [word]


async def _called(asked: Decoded, *, wait: bool) -> Any:
    async with session.connected() as client:
        if isinstance(asked.op, HostOperation):
            return await client.call(asked.op, host=asked.host, cache_timeout=asked.cache_timeout, wait=wait)
        op: Any = asked.op
        return await client.call(op, cache_timeout=asked.cache_timeout)
