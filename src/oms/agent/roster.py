"""What guests there are, as OMS is told of them: each change once, and all of them when it asks.

Nobody is asked for it: it follows the looks that the facts take after each change.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterable

from oms.agent.given import KB_PER_MB
from oms.agent.guests.guests import GuestState
from oms.contract.internal import GuestLine, GuestNews, Hypervisor, Roster

FIRST_LOOK_SECONDS = 4.0
"""So long an asker waits for the first look at a hypervisor, which may hang."""
LONGEST_NAME, LONGEST_ID = 256, 64


class Rosters:
    """The guests of this host by hypervisor, as they were last seen."""

    def __init__(self, hypervisors: Iterable[Hypervisor], tell: Callable[[GuestNews], None]) -> None:
        """`tell` publishes."""
        self._stamp, self._number = secrets.token_hex(8), 0
        self._wanted, self._tell = frozenset(hypervisors), tell
        self._revisions: Counter[str] = Counter()
        self._seen: dict[Hypervisor, dict[str, GuestLine]] = {}
        self._complete = asyncio.Event()

    def redefined(self, key: str) -> None:
        """A guest has another definition, whether its line shows that or not."""
        self._revisions[key] += 1

    def look(self, kind: Hypervisor, states: Iterable[GuestState]) -> None:
        """Those are all guests of that hypervisor now."""
        before, after = self._seen.get(kind, {}), {line.id: line for line in self._lines(kind, states)}
        self._seen[kind] = after
        if self._wanted <= self._seen.keys():
            self._complete.set()
        now = tuple(line for key, line in after.items() if before.get(key) != line)
        gone = tuple(key for key in before if key not in after)
        if now or gone:
            self._number += 1
            self._tell(GuestNews(self._stamp, self._number, kind, now, gone))

    async def whole(self) -> Roster:
        """All of them, once each hypervisor has been looked at or had its time."""
        try:
            async with asyncio.timeout(FIRST_LOOK_SECONDS if self._wanted else 0):
                await self._complete.wait()
        except TimeoutError:
            pass
        guests = tuple(line for lines in self._seen.values() for line in lines.values())
        return Roster(self._stamp, self._number, tuple(self._seen), guests)

    def _lines(self, kind: Hypervisor, states: Iterable[GuestState]) -> Iterable[GuestLine]:
        for guest in states:
            yield GuestLine(
                kind,
                guest.key[:LONGEST_ID],
                guest.name[:LONGEST_NAME],
                guest.state,
                max(guest.vcpus, 0),
                guest.max_memory_kb // KB_PER_MB,
                self._revisions[guest.key],
            )
