"""Tickets: each lets one browser into one console, once, within seconds. So what a page shows in an address, or a
proxy writes into its log, is worth nothing afterwards.

Each begins with the id of its server, so that any other knows where it is good.
"""

import secrets
import time
from collections.abc import Callable

import msgspec

VALID_SECONDS = 30.0
MOST = 4096
"""So many are kept at most: the oldest make room."""


class Ticket(msgspec.Struct, frozen=True):
    """What it lets in to: a console, as long as it is that session's (a digest)."""

    console: str
    session: str
    view_only: bool
    until: float


class Share(msgspec.Struct, frozen=True):
    """A link by which others look on. `until` by the monotonic clock."""

    console: str
    until: float


class Shares:
    """The links that hold."""

    def __init__(self, server: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._server, self._clock = server, clock
        self._given: dict[str, Share] = {}

    def give(self, console: str, seconds: float) -> str:
        """A new one: the server's id and 192 random bits as text."""
        self._given = {text: share for text, share in self._given.items() if self._clock() <= share.until}
        text = self._server + secrets.token_urlsafe(24)
        self._given[text] = Share(console, self._clock() + seconds)
        return text

    def find(self, text: str) -> str | None:
        """The console that a link leads to; None where it leads nowhere any more."""
        share = self._given.get(text)
        return share.console if share is not None and self._clock() <= share.until else None

    def forget(self, console: str) -> None:
        """The links to a console lead nowhere from now on."""
        self._given = {text: share for text, share in self._given.items() if share.console != console}


class Tickets:
    """Those that nobody has used yet."""

    def __init__(self, server: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._server, self._clock = server, clock
        self._given: dict[str, Ticket] = {}

    def give(self, console: str, session: str, *, view_only: bool = False) -> str:
        """A new one: the server's id and 192 random bits as text."""
        while len(self._given) >= MOST:
            del self._given[next(iter(self._given))]
        text = self._server + secrets.token_urlsafe(24)
        self._given[text] = Ticket(console, session, view_only, self._clock() + VALID_SECONDS)
        return text

    def take(self, text: str) -> Ticket | None:
        """Use one up; None where it is none, or none any more."""
        ticket = self._given.pop(text, None)
        return ticket if ticket is not None and self._clock() <= ticket.until else None
