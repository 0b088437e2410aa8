"""Answers that are put together of several, of which one may be missing while the others are worth having."""

from typing import Generic, Literal, TypeVar

import msgspec

T = TypeVar("T")

GuestType = Literal["kvm", "openvz"]
"""Which of a host's hypervisors: that of its machines, or that of its containers."""


class Missing(msgspec.Struct, frozen=True):
    """A part that was asked and did not answer: whose it is, the error's name, its `reason` or "", its words."""

    type: GuestType
    name: str
    reason: str
    message: str


class Partly(msgspec.Struct, Generic[T], frozen=True, omit_defaults=True):
    """What the others answered, and who is missing. On the wire `missing` stands beside a host's `client` and
    `result`, and only where something is missing: callers who know nothing of it get what there is."""

    result: T
    missing: tuple[Missing, ...] = ()
