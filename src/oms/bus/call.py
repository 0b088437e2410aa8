"""Carry an operation to a host and its answer, or its named error, back: the envelope on both ends of a wire.

Lenient on purpose: an unknown field is passed over and a new field has a default, so that servers and agents
of different age understand each other. What an agent does not know at all is `NotSupported`, never a timeout.
"""

import asyncio
import functools
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
import structlog
from msgspec import UNSET, Raw, UnsetType

from oms.bus import wire as door
from oms.bus.wire import ServerWire
from oms.contract.errors import (
    ConfigurationReadError,
    FuncManError,
    FuncMethodTimeoutError,
    HostBusy,
    HostUnavailable,
    NoFuncZabbixClientError,
    NotSupported,
    OmsError,
    WireError,
    ZabbixAgentNotSupportedError,
    pack,
    unpack,
)
from oms.contract.internal import JobState
from oms.contract.operation import HostOperation
from oms.contract.types import decode_secret, encode_secret

R = TypeVar("R")
log = structlog.get_logger("oms.bus")


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call on its way. `id` is the job's for a change; `deadline` is seconds since 1970 by the server's clock
    (0: none), after which it must not be begun; `server` and `epoch` say which start of which OMS sent it."""

    id: str
    op: Raw
    deadline: float = 0
    server: str = ""
    epoch: int = 0


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer: a result, or an error by name."""

    result: Raw | UnsetType = UNSET
    error: WireError | None = None


OF_HOSTS: tuple[type[OmsError], ...] = (
    FuncManError,
    ConfigurationReadError,
    FuncMethodTimeoutError,
    NoFuncZabbixClientError,
    ZabbixAgentNotSupportedError,
)
"""What any host may answer to anything, besides the errors of the method itself."""
UNREADABLE = (ValueError, RecursionError)
"""What decoding raises for what is not as declared: msgspec's own errors, broken UTF-8, bottomless nesting."""
NOT_GREETED = "not greeted"
"""The `cause` of a host's refusal of what comes before a greeting."""
GREETED_SECONDS, GREETED_AGAIN_SECONDS = 10.0, 0.05
"""For how long, and how often, a host is asked again that has not been greeted on its new connection."""
_encoder = msgspec.json.Encoder(enc_hook=encode_secret)
_requests = msgspec.json.Decoder(Request)
_replies = msgspec.json.Decoder(Reply)
Run = Callable[[Request, HostOperation[Any]], Awaitable[Any]]


@functools.cache
def _decoder(kind: Any) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind, dec_hook=decode_secret)


class Caller:
    """OMS's end: asks hosts in the name of one start of one server."""

    def __init__(self, wire: ServerWire, server: str, epoch: int) -> None:
        self.wire = wire
        self.server = server
        self.epoch = epoch
        self._ahead = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since 1970 by this start's own clock: the time of day when it began, and steady since, so that
        setting the clock makes no deadline earlier or later."""
        return time.monotonic() + self._ahead

    async def ask(self, host_id: str, op: HostOperation[R], *, timeout: float | None = None) -> R:
        """The host's answer to a read."""
        wait = op.facts.timeout if timeout is None else timeout
        return await self._ask(host_id, op, wait)

    async def _ask(self, host_id: str, op: HostOperation[R], wait: float, *, harmless: bool = False) -> R:
        raw = await self._exchange(
            host_id, op, secrets.token_hex(8), wait, self.now() + wait, harmless=harmless, again=harmless
        )
        answer: R = _understood(op.facts.result, raw, op)
        return answer

    async def ask_raw(self, host_id: str, op: HostOperation[Any]) -> Raw:
        """The host's answer to a read as JSON: what was understood of it, written anew, so that nothing gets into
        a caller's answer that was not declared and looked at."""
        return Raw(encode(await self._ask(host_id, op, op.facts.timeout, harmless=True)))

    async def send_job(self, host_id: str, op: HostOperation[Any], job: str, deadline: float) -> JobState:
        """Hand a job over; answers its state once the host has written it down."""
        raw = await self._exchange(host_id, op, job, 10, deadline, again=True)
        state: JobState = _understood(JobState, raw, op)
        return state

    async def _exchange(
        self,
        host_id: str,
        op: HostOperation[Any],
        ident: str,
        timeout: float,
        deadline: float,
        *,
        harmless: bool = False,
        again: bool = False,
    ) -> Raw:
        """`again`: a host that has just come back, and has not been greeted yet, does nothing and says so; it is
        sent the same once more until it has been."""
        request = _encoder.encode(Request(ident, Raw(_encoder.encode(op)), deadline, self.server, self.epoch))
        end = min(self.now() + GREETED_SECONDS, deadline)
        while True:
            try:
                answer = await self.wire.request(host_id, op.facts.wire, request, timeout, harmless=harmless)
                return _result(answer, op)
            except door.WireError as failure:
                raise _translated(failure, timeout) from failure
            except HostUnavailable as refusal:
                if not again or refusal.data.get("cause") != NOT_GREETED or self.now() >= end:
                    raise
            await asyncio.sleep(GREETED_AGAIN_SECONDS)


def _translated(failure: door.WireError, timeout: float) -> OmsError:
    match failure:
        case door.HostAway():
            return HostUnavailable("The host is not connected: see that its agent runs, then try again.")
        case door.HostBusy():
            return HostBusy("The host has as many calls in hand as it takes: try again in a moment.")
        case door.RequestTooLarge():
            return FuncManError("The call is too large to be carried to the host: 4 MiB at most.")
        case door.AnswerTooLarge():
            return FuncManError("It was done, but the host's answer is too large to be carried: 4 MiB at most.")
        case door.NoAnswer():
            return FuncMethodTimeoutError(f"The host did not answer within {timeout:g} s.")
        case _:
            return HostUnavailable("OMS has no connection to its bus just now: try again in a moment.")


def _result(answer: bytes, op: HostOperation[Any]) -> Raw:
    try:
        reply = _replies.decode(answer)
    except UNREADABLE as bad:
        raise _nonsense(op) from bad
    if reply.error is not None:
        raise of_host(reply.error, op.facts.raises)
    if reply.result is UNSET:
        raise _nonsense(op)
    return reply.result


def of_host(error: WireError, raises: tuple[type[OmsError], ...]) -> OmsError:
    """A host's error, if it is one that a host may answer to a method that raises these; else a failure of the
    host, in its own words: which sessions are valid and how OMS's database is, no host decides."""
    told = unpack(error)
    return told if isinstance(told, (*OF_HOSTS, *raises)) else FuncManError(told.message, **told.data)


def _understood(kind: Any, raw: Raw, op: HostOperation[Any]) -> Any:
    try:
        return _decoder(kind).decode(raw)
    except UNREADABLE as bad:
        raise _nonsense(op) from bad


def _nonsense(op: HostOperation[Any]) -> FuncManError:
    return FuncManError(f"The host's answer to {op.facts.wire} was not understood; see that its agent is ours.")


def server(
    operations: Mapping[str, type[HostOperation[Any]]], run: Run, version: str
) -> Callable[[str, bytes], Awaitable[bytes]]:
    """The agent's end: takes a verb and a request, has it `run`, and makes the reply.

    `operations` is the closed list of verbs. One of the two places that catch every exception: what is not an
    `OmsError` is a bug, logged here with a reference and answered without its text.
    """

    async def serve(verb: str, payload: bytes) -> bytes:
        try:
            request, op = _understand(operations, verb, payload, version)
            return _encoder.encode(Reply(result=Raw(_encoder.encode(await run(request, op)))))
        except OmsError as error:
            return _encoder.encode(Reply(error=pack(error)))
        except Exception as bug:  # noqa: BLE001 - the edge of the agent
            return _encoder.encode(Reply(error=pack(defect(bug, verb))))

    return serve


def _understand(
    operations: Mapping[str, type[HostOperation[Any]]], verb: str, payload: bytes, version: str
) -> tuple[Request, HostOperation[Any]]:
    kind = operations.get(verb)
    if kind is None:
        raise NotSupported(
            f"The host's agent ({version}) does not know {verb}: bring it to this server's version."
        )
    try:
        request = _requests.decode(payload)
        return request, _decoder(kind).decode(request.op)
    except UNREADABLE as bad:
        raise FuncManError(f"The host's agent ({version}) did not understand this call of {verb}.") from bad


def defect(bug: BaseException, where: str) -> FuncManError:
    """Log a bug with its traceback under a new reference; the error for the caller holds the reference only."""
    reference = secrets.token_hex(4)
    log.error("defect", reference=reference, where=where, exc_info=bug)
    return FuncManError(
        f"Something in OMS failed. Whoever runs it finds the cause in the log under {reference}.",
        reference=reference,
    )


def encode(value: Any) -> bytes:
    """JSON of a value that may hold secrets, for the bus and for the agent's own journal."""
    return _encoder.encode(value)


def decode(raw: bytes | str, kind: Any) -> Any:
    """A value of a type from its JSON, secrets included."""
    return _decoder(kind).decode(raw)
