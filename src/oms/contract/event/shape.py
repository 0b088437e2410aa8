"""What every event has."""

from typing import ClassVar, Literal

import msgspec

from oms.contract.operation import Permission

GuestKind = Literal["kvm", "openvz"]


class EventGuest(msgspec.Struct, frozen=True):
    """A guest: a machine (`kvm`) with its UUID as `id`, or a container (`openvz`) with the id that it has on its
    host. Events of jobs know a machine by what the job's caller wrote, which is its `name` then; `id` is empty."""

    type: GuestKind
    id: str
    name: str


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every event has, beside its `kind` and `data`. `time` is RFC 3339 in UTC.

    `host` is empty and `guest` null where it is about none, `job` is the id of the job that did it or "".
    `user` is whose job it is, or the account that it is about, or "".
    """

    seen_by: ClassVar[Permission] = Permission.VIEWER
    """The least role that hears of it."""
    ones_own: ClassVar[bool] = False
    """Whether `user` hears of it too, whatever his role."""

    sequence: int
    time: str
    host: str
    guest: EventGuest | None
    job: str
    user: str


class NoData(msgspec.Struct, frozen=True):
    """There is nothing more to say."""
