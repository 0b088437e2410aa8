"""eventservices: what changes, as it changes, so that nobody has to ask again and again."""

from typing import Annotated

import msgspec
from msgspec import Meta

from oms.contract.errors import FuncManError
from oms.contract.event.kinds import KINDS, NOUNS, AnyEvent
from oms.contract.operation import Permission, ServerOperation, Service, operation
from oms.contract.types import AnyHost, text

SERVICE = Service(
    "eventservices",
    "EventService",
    "Everything that changes is an event with a number, in one order. They are kept for a while, so that whoever "
    "was away reads on from where he was; who wants to hear them at once waits here, or opens `GET /events`.",
)


class TooManyListeners(FuncManError):
    """As many wait for events as may, of this session or in all."""

    reason = "too_many_listeners"


EventNumber = Annotated[
    int,
    Meta(
        ge=0,
        le=2**53 - 1,
        description="an event's number; 0 for all that are kept; null or left out for those from now on",
        examples=[0],
    ),
]
MostEvents = Annotated[int, Meta(ge=1, le=1000, description="how many at most, 1 to 1000", examples=[100])]
WaitSeconds = Annotated[
    int,
    Meta(
        ge=0,
        le=300,
        description="how long to wait for one where there is none, 0 to 300 seconds; the server's setting "
        "`events_wait` may be less",
        examples=[30],
    ),
]
EventKind = Annotated[
    str,
    text(
        "|".join(sorted(name.replace(".", r"\.") for name in (*KINDS, *NOUNS))),
        f"a kind of event as in `job.ended`, or all of a noun as in `job`: one of {', '.join(NOUNS)}",
        32,
        "job",
    ),
]
EventKinds = Annotated[
    tuple[EventKind, ...],
    Meta(
        max_length=64, description="kinds of events, or nouns for all of theirs; none for all", examples=[["job"]]
    ),
]
EventsGuest = Annotated[
    str,
    text(
        r"(?:[A-Za-z0-9][A-Za-z0-9._+-]*)?",
        "a machine's UUID or name, or a container's id; or nothing",
        63,
        "openfiler",
        shortest=0,
    ),
]
EventsJob = Annotated[
    str,
    text(
        r"(?:[0-9a-f]{32})?",
        "a job's id, 32 hexadecimal digits; or nothing",
        32,
        "0123456789abcdef0123456789abcdef",
        shortest=0,
    ),
]


class EventPage(msgspec.Struct, frozen=True):
    """Events, the oldest first. `next` is the number to ask after the next time, also where there are none.

    `gap`: events after the number that was asked for are not kept any more, or there never was such a number; none
    are told then, and `next` is the newest: look at everything anew, then go on from there. `more`: there are
    further ones to be had at once.
    """

    events: list[AnyEvent]
    next: int
    gap: bool
    more: bool


@operation(SERVICE, Permission.VIEWER, timeout=310, raises=(TooManyListeners,))
class ListEvents(ServerOperation[EventPage], frozen=True):
    """List events after a number, or wait until there is one; answers at once where there is.

    What the caller's role does not let him see is passed over, as are those that he does not ask for. To begin,
    leave `after` out: no events, and in `next` the number to begin after; read the lists that you show after that.
    A call here is no use of the session: one in which nothing else is called ends in its time.
    """

    after: EventNumber | None = None
    limit: MostEvents = 100
    wait_seconds: WaitSeconds = 0
    kinds: EventKinds = ()
    server_hostname: AnyHost = ""
    guest: EventsGuest = ""
    job: EventsJob = ""
