"""The door between OMS and its hosts: bytes there, bytes back, and four honest ways to fail.

Whoever sends operations knows only this module; which technology carries the bytes (`oms.bus.nats`, or
`oms.bus.local` inside one process) is the business of the composition root. Nothing here does I/O, and nothing
here knows what the bytes mean: operations and errors are encoded one floor up.

    WireError
      +- HostAway            certainly not delivered: nobody listens for that host
      +- WireDown            certainly not sent: we ourselves have no connection to the bus
      +- HostBusy            certainly not begun: the host has too much in hand already
      +- RequestTooLarge     certainly not sent: more than MAX_PAYLOAD_BYTES
      +- NoAnswer            sent, and nothing is known: it may or may not have happened
      |    +- AnswerTooLarge it ran to its end, but its answer was too large to be carried
      +- Refused             the bus does not let this agent in: it must ask OMS over HTTPS why
"""

import re
from collections.abc import Awaitable, Callable
from typing import Protocol

MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
"""The largest request or answer. A ceiling, not a habit: bulk data has its own roads."""

MAX_EVENT_BYTES = 1024 * 1024
"""The largest event: events are kept for handlers that are slow, so they are small."""

EventHandler = Callable[[str, str, bytes], Awaitable[None] | None]
"""(host_id, topic, payload). The host is taken from where the message came from, never from the payload."""

PresenceHandler = Callable[[str, bool, str], None]
"""(host_id, connected, reason)."""

RequestHandler = Callable[[str, bytes], Awaitable[bytes]]
"""(verb, payload) -> answer. What it raises is a bug: it is logged, and the caller gets NoAnswer at once."""

TellHandler = Callable[[str, bytes], None]
"""(topic, payload): what another server tells."""

StateHandler = Callable[[bool], None]
"""(connected)."""


class WireError(Exception):
    """A request or an event was not carried to its end; the subclass says what is certain."""


class HostAway(WireError):
    """Nobody listens for that host: the request was certainly not delivered."""


class WireDown(WireError):
    """We have no connection to the bus ourselves: the message was certainly not sent."""


class HostBusy(WireError):
    """The host has as many requests in hand as it takes: this one was certainly not begun."""


class RequestTooLarge(WireError):
    """The payload is above MAX_PAYLOAD_BYTES (events: MAX_EVENT_BYTES): it was certainly not sent."""


class NoAnswer(WireError):
    """The request was sent and no answer is known: it may or may not have happened, or may happen yet."""


class AnswerTooLarge(NoAnswer):
    """The host ran the request to its end, but the answer is above MAX_PAYLOAD_BYTES and was dropped."""


class Refused(WireError):
    """The bus does not let this agent in (not signed, revoked, or OMS did not decide in time)."""


class ServerWire(Protocol):
    """OMS's end. Handlers are called in the event loop; several may be added, each is called."""

    async def request(
        self, host_id: str, verb: str, payload: bytes, timeout: float, *, harmless: bool = False
    ) -> bytes:
        """The host's answer to one request; `timeout` in seconds. One that does no harm when it is made twice is
        made anew where it, or its answer, may have been lost with a connection.

        Raises HostAway, WireDown, HostBusy, RequestTooLarge (nothing happened), or NoAnswer (nothing is known).
        While a node of the bus ends, a host that was connected to it is waited for, and so is the bus itself.
        A host may still run a request whose time is over: put the deadline into the payload.
        """

    def on_event(self, handler: EventHandler) -> None:
        """Call `handler` for each event; events of one host come in order, one at a time."""

    def on_presence(self, handler: PresenceHandler) -> None:
        """Call `handler` when a host connects or is gone. A request may be sent from within it on."""

    @property
    def connected(self) -> bool:
        """Whether we are connected to the bus ourselves, so that requests and events can pass."""

    def connected_hosts(self) -> frozenset[str]:
        """The ids of all hosts that are connected as far as we know."""

    def awaited(self, host_id: str) -> float:
        """Seconds for which a host that is not connected is worth waiting for, because it is only changing to
        another node of the bus; 0 where it is not."""

    async def cut_off(self, host_id: str) -> bool:
        """End all connections of a host; True when it is confirmed that none remains.

        Call it after the database says that the host is revoked: the wire asks the database about each new
        connection, so that the host cannot come back. False (the bus is away, say): call again.
        """

    def tell(self, topic: str, payload: bytes) -> None:
        """Tell all other servers on the bus something, best effort: returns at once."""

    def on_told(self, handler: TellHandler) -> None:
        """Call `handler` for what another server tells; it must not block."""

    def on_missed(self, handler: Callable[[], None]) -> None:
        """Call `handler` when something may have been told that did not arrive here."""

    async def close(self) -> None:
        """Leave the bus; requests in flight end with NoAnswer. Hosts stay connected to the bus."""


class AgentWire(Protocol):
    """A host's end."""

    def serve(self, handler: RequestHandler) -> None:
        """Answer requests with `handler`, each in a task of its own; only one handler, set once.

        Above a bound of requests in hand, further ones are answered HostBusy without asking the handler.
        """

    async def publish(self, topic: str, payload: bytes) -> None:
        """Send one event, best effort. Raises WireDown when not connected, RequestTooLarge."""

    def on_state(self, handler: StateHandler) -> None:
        """Call `handler` when the connection comes and goes, and at once when it is there already."""

    async def close(self) -> None:
        """Leave the bus; requests in hand are cancelled."""


_HOST_ID = re.compile(r"[0-9a-f]{32}")
_TOKENS = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)?")


def is_host_id(text: str) -> bool:
    """Whether the text is 32 lower-case hex digits. Names hold dots and wildcards, so ids they are not."""
    return _HOST_ID.fullmatch(text) is not None


def check_host_id(host_id: str) -> str:
    """The id itself when it is one."""
    if not is_host_id(host_id):
        raise ValueError(f"host id {host_id!r}: 32 hex digits are needed (a UUID without dashes), never a name")
    return host_id


def is_verb(text: str) -> bool:
    """Whether the text can be a verb or a topic: one or two words, as in `kvmservices.list_vms`."""
    return _TOKENS.fullmatch(text) is not None


def check_verb(verb: str) -> str:
    """The verb (or topic) itself when it is one."""
    if not is_verb(verb):
        raise ValueError(f"verb {verb!r}: one or two words of a-z, 0-9 and _ with one dot between are needed")
    return verb


def check_size(what: str, payload: bytes, most_bytes: int = MAX_PAYLOAD_BYTES) -> None:
    """Raise RequestTooLarge when the payload is above what the bus carries."""
    if len(payload) > most_bytes:
        raise RequestTooLarge(f"{what} holds {len(payload)} bytes; the bus carries {most_bytes} at most")
