"""One call as JSON-RPC 2.0, and what comes back as a value or an error. Values in, values out."""

import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from oms.client.ways import ClientError
from oms.contract import errors
from oms.contract.operation import CACHE_TIMEOUT, SESSID, HostOperation, Operation
from oms.contract.types import decode_secret, encode_secret

R = TypeVar("R")
UNREADABLE = (ValueError, RecursionError)
"""What `answered` raises for an answer that is not as declared: another version's, or no OMS's at all."""


class Ask(Protocol):
    """How an operation is asked."""

    async def __call__(self, op: Operation[R], host: str, cache_timeout: int, /) -> R:
        """What it answers. Raises the errors of the contract, and ClientError."""


class _Error(msgspec.Struct):
    message: str
    data: dict[str, Any] = {}


def call(op: Operation[Any], *, sessid: str, host: str, cache_timeout: int) -> bytes:
    """The body of a request. What has its default is left out: an older server need not know it."""
    facts = op.facts
    front = {SESSID.name: sessid, CACHE_TIMEOUT.name: cache_timeout}
    params: dict[str, Any] = {param.name: front[param.name] for param in op.front}
    if isinstance(op, HostOperation):
        params[facts.host_field] = host
    for field in msgspec.structs.fields(op):
        if field.required or getattr(op, field.name) != field.default:
            params[field.encode_name] = getattr(op, field.name)
    return msgspec.json.encode(
        {"jsonrpc": "2.0", "id": 1, "method": facts.wire, "params": params}, enc_hook=encode_secret
    )


def answered(op: Operation[R], answer: bytes) -> R:
    """The result in an answer. Raises the error in it, and UNREADABLE."""
    told = _decoder(type(op)).decode(answer)
    if told.error is not UNSET:
        raise errors.shown(told.error.message, told.error.data)
    if told.result is UNSET:
        raise ValueError("neither a result nor an error")
    inner = told.result.result
    result: R = inner.result if isinstance(op, HostOperation) and not op.facts.partly else inner
    return result


def outcome(op: Operation[R], result: Any) -> R:
    """The result of a job as its method's answer. Raises UNREADABLE."""
    converted: R = msgspec.convert(result, op.facts.result, dec_hook=decode_secret)
    return converted


def read(how: Callable[[Operation[R], Any], R], op: Operation[R], answer: Any, where: str) -> R:
    """`answered` or `outcome`, of an answer that came from there. Raises the error in it, and ClientError."""
    try:
        return how(op, answer)
    except UNREADABLE as bad:
        raise ClientError(
            f"{where} answers {op.facts.wire} with what is not known here: see that it is an OMS, of a like"
            f" version ({bad})."
        ) from bad


@functools.cache
def _decoder(kind: type[Operation[Any]]) -> "msgspec.json.Decoder[Any]":
    """Of the whole answer: the envelope, and the host's where a host answers."""
    result: Any = kind.facts.result
    if issubclass(kind, HostOperation) and not kind.facts.partly:
        result = msgspec.defstruct("OfHost", [("result", result)])
    typed: Any = msgspec.defstruct("Typed", [("result", result)])
    parts = [("result", typed | UnsetType, UNSET), ("error", _Error | UnsetType, UNSET)]
    return msgspec.json.Decoder(msgspec.defstruct("Answer", parts), dec_hook=decode_secret)
