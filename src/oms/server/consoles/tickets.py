"""Tickets: each lets one browser into one console, once, within seconds. So what a page shows in an address, or a
proxy writes into its log, is worth nothing afterwards."""

import secrets
import time
from collections.abc import Callable

import msgspec

VALID_SECONDS = 30.0
MOST = 4096
"""So many are kept at most: the oldest make room."""


class Ticket(msgspec.Struct, frozen=True):
    """What it lets in to."""

    console: str
    view_only: bool
    until: float


class Tickets:
    """Those that nobody has used yet."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._given: dict[str, Ticket] = {}

    def give(self, console: str, *, view_only: bool = False) -> str:
        """A new one: 192 random bits as text."""
        while len(self._given) >= MOST:
            del self._given[next(iter(self._given))]
        text = secrets.token_urlsafe(24)
        self._given[text] = Ticket(console, view_only, self._clock() + VALID_SECONDS)
        return text

    def take(self, text: str) -> Ticket | None:
        """Use one up; None where it is none, or none any more."""
        ticket = self._given.pop(text, None)
        return ticket if ticket is not None and self._clock() <= ticket.until else None
