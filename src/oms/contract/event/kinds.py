"""Every kind of event that there is. A kind is `noun.verb`."""

import typing

from oms.contract.event.accounts import (
    ConsoleClosed,
    ConsoleOpened,
    SessionBegun,
    SessionEnded,
    TokenEnded,
    TokenMade,
    UserAdded,
    UserChanged,
    UserRemoved,
)
from oms.contract.event.fleet import (
    GuestAppeared,
    GuestChanged,
    GuestGone,
    GuestMoved,
    GuestsChanged,
    HostAsked,
    HostChanged,
    HostConnected,
    HostGone,
    HostMeasured,
    HostRefused,
    HostRemoved,
    HostSigned,
    ImagesChanged,
    IsosChanged,
    JobBegun,
    JobEnded,
    JobProgressed,
    NetworksChanged,
    ServerStarted,
    TagGiven,
    TagRenamed,
    TagTaken,
    TemplatesChanged,
    VolumesChanged,
)
from oms.contract.event.shape import Event

AnyEvent = (
    ServerStarted
    | JobBegun | JobProgressed | JobEnded
    | HostAsked | HostRefused | HostSigned | HostRemoved | HostConnected | HostGone | HostChanged | HostMeasured
    | GuestAppeared | GuestChanged | GuestMoved | GuestGone | GuestsChanged
    | ImagesChanged | TemplatesChanged | IsosChanged | VolumesChanged | NetworksChanged
    | TagGiven | TagTaken | TagRenamed
    | UserAdded | UserChanged | UserRemoved | SessionBegun | SessionEnded | TokenMade | TokenEnded
    | ConsoleOpened | ConsoleClosed
)  # fmt: skip
"""One of all kinds, told apart by `kind`."""


def kind_of(event: type[Event]) -> str:
    """`noun.verb`."""
    return str(event.__struct_config__.tag)


KINDS: dict[str, type[Event]] = {kind_of(event): event for event in typing.get_args(AnyEvent)}
"""Every kind, by its name."""

NOUNS: tuple[str, ...] = tuple(dict.fromkeys(kind.partition(".")[0] for kind in KINDS))
