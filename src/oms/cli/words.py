"""From the words of a command line to the values of an operation: texts where a text is legal, and else JSON."""

import contextlib
import json
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from oms.contract.decode import Decoded, decode, find, legal
from oms.contract.operation import CACHE_TIMEOUT, SESSID, Operation, Param
from oms.contract.types import decode_secret


def understood(method: str, words: list[str], cache_timeout: int = 0) -> Decoded:
    """The operation that the words mean, in their order. Raises CallError, which says what is legal."""
    service, _, name = method.rpartition(".")
    kind = find(service, name)
    front: dict[str, Any] = {SESSID.name: "", CACHE_TIMEOUT.name: cache_timeout}
    values: list[Any] = [front[param.name] for param in kind.front]
    declared = kind.facts.params[len(kind.front) :]
    for place, word in enumerate(words):
        param = declared[min(place, len(declared) - 1)] if declared else None
        values.append(value(word, param.type) if param else word)
    return decode(kind, values)


def by_name(kind: type[Operation[Any]], given: Mapping[str, Any], cache_timeout: int = 0) -> Decoded:
    """The operation of these parameters, each as typed, or as it is where it is no text any more. Raises
    CallError."""
    front: dict[str, Any] = {SESSID.name: "", CACHE_TIMEOUT.name: cache_timeout}
    values: dict[str, Any] = {param.name: front[param.name] for param in kind.front}
    for param in kind.facts.params:
        if param.name in given:
            values[param.name] = _typed(param, given[param.name])
    return decode(kind, values)


def _typed(param: Param, given: Any) -> Any:
    if isinstance(given, str):
        return value(given, param.type)
    if isinstance(given, (list, tuple)):
        inner = param.type if param.varargs else item(param.type)
        return [_one(word, inner) if isinstance(word, str) else word for word in given]
    return given


def _one(word: str, kind: Any) -> Any:
    """A word of a list; of things with two members also as NAME=VALUE."""
    fields = getattr(plain(kind), "__struct_fields__", ())
    if len(fields) == 2 and "=" in word and not word.startswith("{"):
        return dict(zip(fields, word.split("=", 1), strict=True))
    return value(word, kind)


def value(word: str, kind: Any) -> Any:
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


# --- what is legal


def plain(kind: Any) -> Any:
    """A type without what is said about it."""
    return typing.get_args(kind)[0] if hasattr(kind, "__metadata__") else kind


def item(kind: Any) -> Any:
    """The type of what is in a list, None where the type is none."""
    bare = plain(kind)
    if typing.get_origin(bare) in (list, tuple):
        return typing.get_args(bare)[0]
    return None


def is_settings(kind: Any) -> bool:
    """Whether values are things by name."""
    return typing.get_origin(plain(kind)) is dict


def choices(kind: Any) -> list[str]:
    """The texts that alone are legal; none where others are too."""
    bare = plain(kind)
    if typing.get_origin(bare) is Literal:
        return [str(word) for word in typing.get_args(bare)]
    if typing.get_origin(bare) in (typing.Union, types.UnionType):
        parts = [choices(part) for part in typing.get_args(bare)]
        return [word for part in parts for word in part] if all(parts) else []
    return []


def in_words(kind: Any) -> str:
    """What is legal, as a sentence of a help text. Nothing where the choices say it."""
    if choices(kind) and not getattr(kind, "__metadata__", ()):
        return ""
    said = legal(kind).replace("`", "")
    return said[:1].upper() + said[1:] + ("" if said.endswith(".") else ".")
