"""What has become of guests, as events."""

from collections.abc import Iterable, Sequence

import msgspec

from oms.contract.event.fleet import (
    GuestAppeared,
    GuestChange,
    GuestChanged,
    GuestGone,
    GuestsChanged,
    GuestSight,
)
from oms.contract.event.shape import Event, EventGuest, NoData
from oms.contract.internal import GuestLine

MOST_TOLD = 64
"""Of the guests of one host at one time: where there are more, no single one is told."""
Became = tuple[GuestLine | None, GuestLine | None]
"""A guest before and now; None where it was not there, or is not."""


class Happened(msgspec.Struct, frozen=True):
    """An event to be, without its host."""

    kind: type[Event]
    data: msgspec.Struct
    guest: EventGuest | None = None


ALL_ANEW = (Happened(GuestsChanged, NoData()),)


def happened(became: Iterable[Became]) -> Sequence[Happened]:
    """What has happened to guests of a host, or that more has happened than is told of each."""
    found = [_event(before, now) for before, now in became if before != now]
    return found if len(found) <= MOST_TOLD else ALL_ANEW


def _event(before: GuestLine | None, now: GuestLine | None) -> Happened:
    guest = now or before
    assert guest is not None
    about = EventGuest(guest.kind, guest.id, guest.name)
    if before is None:
        return Happened(GuestAppeared, GuestSight(guest.state), about)
    if now is None:
        return Happened(GuestGone, GuestSight(guest.state), about)
    change = GuestChange(now.state, [])
    if before.state != now.state:
        change.what.append("state")
    if before.name != now.name:
        change.what.append("name")
    if (before.vcpus, before.memory_mb, before.revision) != (now.vcpus, now.memory_mb, now.revision):
        change.what.append("definition")
    return Happened(GuestChanged, change, about)
