"""What happens in an OMS, as it happens: an iterator that goes on where it was after any break."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from msgspec import Raw

from oms.client.calls import Ask
from oms.client.ways import OutOfReach
from oms.contract.event import ListEvents
from oms.contract.event.kinds import AnyEvent

WAIT_SECONDS = 50
AT_ONCE = 500
AGAIN_SECONDS = 2.0
"""After an OMS that cannot be reached was asked."""


class Gap(msgspec.Struct, frozen=True):
    """What followed the number that was asked for is not kept any more: look at everything anew. The next events
    are those after `sequence`."""

    sequence: int


class _Page(msgspec.Struct):
    """As an answer comes: which kinds there are, a newer OMS knows better."""

    events: list[Raw]
    next: int
    gap: bool


class _List(ListEvents, frozen=True):
    pass


_List.facts = msgspec.structs.replace(ListEvents.facts, result=_Page)


class Events:
    """`async for event in client.events(...)`; it never ends by itself."""

    def __init__(self, ask: Ask, wanted: ListEvents) -> None:
        """`wanted`: which ones, and after which number; None: from now on."""
        self._ask, self._wanted = ask, wanted
        self.after = wanted.after
        """The number to begin after, to go on from here another time. None before it is known."""

    async def __aiter__(self) -> AsyncIterator[AnyEvent | Gap]:
        """Raises the call's errors, as that of a session that has ended; an OMS that is away is waited for."""
        if self.after is None:
            await self.begin()
        while True:
            page = await self._page(WAIT_SECONDS)
            if page.gap:
                self.after = page.next
                yield Gap(page.next)
            for raw in page.events:
                if (event := known(raw)) is not None:
                    self.after = event.sequence
                    yield event
            self.after = page.next

    async def begin(self) -> int:
        """Take the number of now, after which the events begin; then read the lists that they are to keep true."""
        self.after = (await self._page(0)).next
        return self.after

    async def _page(self, seconds: int) -> _Page:
        how = {"after": self.after, "wait_seconds": seconds, "limit": AT_ONCE}
        given = msgspec.structs.asdict(self._wanted) | how
        while True:
            try:
                page: Any = await self._ask(_List(**given), "", 0)
            except OutOfReach:
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                made: _Page = page
                return made


def known(raw: Raw) -> AnyEvent | None:
    """The event, or None for one of a kind that is not known here."""
    try:
        event: AnyEvent = msgspec.json.decode(raw, type=AnyEvent)
    except msgspec.ValidationError:
        return None
    return event
