"""The newest events in memory, and those who wait for more of them.

What is told is encoded once. Those who see the same things share a channel, so that an event is looked at once
for all of them, and what they are handed is put together once. Nobody's events are queued: a listener has a
number, and reads on from there when he comes round to it, from memory or from the database. So a slow one holds
nothing up and fills nothing, and an idle one costs nothing.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncIterator, Sequence

import msgspec
import structlog

from oms.contract.errors import OmsError
from oms.server.events.bell import Bell
from oms.server.rules.events import Kept, View
from oms.server.store import Store, events

log = structlog.get_logger("oms.events")
REMEMBERED = 4096
"""Events in memory: who is further behind reads the database."""
OF_A_CHANNEL = 1024
PACE_SECONDS = 0.1
"""What is new is handed out at once, and then no more often than this: many changes at a time make one waking."""
AT_A_TIME = 32
"""Listeners who are woken together. What they write keeps whoever calls waiting for some milliseconds."""
REST = 2
"""So many times as long as they took, the next ones wait: two thirds of the loop's time are left for calls."""
LOOK_SECONDS = 2.0
"""How often the database is looked at while somebody listens: others write there too, as `oms admin` does."""
AT_ONCE = 1000
"""Events that are read from the database for one question: however rare what is wanted, an answer takes no longer
than that."""


class Page(msgspec.Struct, frozen=True):
    """Events, the oldest first; `next` is the number to go on after. `gap`: some before them are lost, look at
    everything. `more`: there may be further ones at once."""

    events: Sequence[Kept]
    next: int
    gap: bool = False
    more: bool = False


class _Channel:
    """Those who see the same, and what they see of the newest events."""

    def __init__(self, view: View, upto: int) -> None:
        self.view = view
        self.listeners: set[Listener] = set()
        self._seen: deque[Kept] = deque()
        self._joined: tuple[int, int, bytes] = (0, 0, b"")
        self.begin(upto)

    def begin(self, upto: int) -> None:
        """Nothing is known of what was up to that number."""
        self._seen.clear()
        self._since = self._upto = upto  # `_seen` is all that they see of the events after `_since`, up to `_upto`

    def take(self, news: Sequence[Kept]) -> bool:
        """Events have come: whether there is something for those who listen."""
        mine = [event for event in news if self.view.sees(event)]
        self._upto = news[-1].seq
        self._seen.extend(mine)
        while len(self._seen) > OF_A_CHANNEL:
            self._since = self._seen.popleft().seq
        return bool(mine)

    def after(self, seq: int, most: int) -> Page | None:
        """What they see after that number, or None where that is not known here."""
        if not self._since <= seq <= self._upto:
            return None
        newer = itertools.takewhile(lambda event: event.seq > seq, reversed(self._seen))
        found = list(newer)[::-1]
        if len(found) > most:
            return Page(found[:most], found[most - 1].seq, more=True)
        return Page(found, self._upto)

    def streamed(self, page: Page) -> bytes:
        """A page as server-sent events: the same bytes for all who are given the same page."""
        if not page.events:
            return b""
        first, last = page.events[0].seq, page.events[-1].seq
        if self._joined[:2] != (first, last):
            written = (b"id: %d\ndata: %s\n\n" % (event.seq, event.body.encode()) for event in page.events)
            self._joined = first, last, b"".join(written)
        return self._joined[2]


class Listener:
    """One who reads on from a number, and waits where there is nothing."""

    def __init__(self, log: "EventLog", channel: _Channel, after: int) -> None:
        self.log, self._channel = log, channel
        self.after = after
        self._loop = asyncio.get_running_loop()
        self._woken: asyncio.Future[bool] = self._loop.create_future()

    def wake(self, woken: bool = True) -> None:
        """Let him look, whether there is something or not."""
        if not self._woken.done():
            self._woken.set_result(woken)

    async def read(self, most: int) -> Page:
        """What there is for him now; `after` goes on. Raises the document's Database...Errors."""
        if self._woken.done():
            self._woken = self._loop.create_future()
        page = self._channel.after(self.after, most) or await self.log.page(self._channel.view, self.after, most)
        self.after = page.next
        return page

    async def wait(self, seconds: float) -> bool:
        """Until he is woken; False where so many seconds went by."""
        late = self._loop.call_later(seconds, self.wake, False)
        try:
            return await self._woken
        finally:
            late.cancel()

    def stream(self, page: Page) -> bytes:
        """A page as server-sent events."""
        return self._channel.streamed(page)


class EventLog:
    """What has happened, and who listens. Its methods are for the event loop alone."""

    def __init__(self, store: Store, bell: Bell) -> None:
        self._store, self._bell = store, bell
        self._loop = asyncio.get_running_loop()
        self._ring: deque[Kept] = deque(maxlen=REMEMBERED)
        self._since = self.head = 0
        """`_ring` has all events after `_since`, up to `head`."""
        self._channels: dict[View, _Channel] = {}
        self._due: dict[Listener, None] = {}
        """Who is to be woken, in this order."""
        self._waking: asyncio.Task[None] | None = None
        self._shown = 0  # up to where channels were given what is there
        self._showing: asyncio.TimerHandle | None = None
        self._shown_at = 0.0
        self._looking: asyncio.Task[None] | None = None
        self.closed = False

    async def begin(self) -> None:
        """Know where the log ends, and hear from then on of what is written. Raises Database...Errors."""
        self._store.on_told(self._written)
        self._bell.on_ring(self._rung)
        _, self.head = await self._store.read(events.ends)
        self._since = self._shown = self.head

    # --- for listeners

    @contextlib.asynccontextmanager
    async def listening(self, view: View, after: int | None) -> AsyncIterator[Listener]:
        """One who listens, from that number on, or from now on. Raises Database...Errors."""
        self._show()
        channel = self._channels.get(view)
        if channel is None:
            channel = self._channels[view] = _Channel(view, self._shown)
        listener = Listener(self, channel, self.head if after is None else after)
        channel.listeners.add(listener)
        if self.closed:
            listener.wake()
        try:
            yield listener
        finally:
            channel.listeners.discard(listener)
            self._due.pop(listener, None)
            if not channel.listeners and self._channels.get(view) is channel:
                del self._channels[view]

    async def page(self, view: View, after: int, most: int) -> Page:
        """What somebody sees after a number: 0 for all that is kept. Raises Database...Errors."""
        begin, head = await self._store.read(events.ends)
        if after and not begin <= after <= head:
            return Page((), head, gap=True)
        read = self._remembered(after) or await self._store.read(lambda tx: events.after(tx, after, AT_ONCE))
        seen = [event for event in read if view.sees(event)]
        if len(seen) > most:
            return Page(seen[:most], seen[most - 1].seq, more=True)
        upto = read[-1].seq if read else after
        return Page(seen, max(upto, after), more=upto < head)

    def close(self) -> None:
        """Let all listeners go: the server ends."""
        self.closed = True
        for work in (self._looking, self._showing, self._waking):
            if work is not None:
                work.cancel()
        for channel in self._channels.values():
            for listener in channel.listeners:
                listener.wake()

    # --- for what is written

    def _written(self, news: Sequence[Kept]) -> None:
        """In the thread that wrote."""
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody listens any more
            self._loop.call_soon_threadsafe(self._take, news)

    def _rung(self, head: int) -> None:
        if head > self.head:
            self._look_soon()

    def _take(self, news: Sequence[Kept]) -> None:
        if self.closed:
            return
        self._bell.ring(news[-1].seq)
        fresh = [event for event in news if event.seq > self.head]
        if not fresh:
            return
        if fresh[0].seq != self.head + 1:  # another process has written meanwhile
            self._look_soon()
            return
        self._add(fresh)

    def _add(self, fresh: Sequence[Kept]) -> None:
        if fresh[0].seq != self.head + 1:  # what was between was taken out before anybody here saw it
            self._ring.clear()
            for channel in self._channels.values():
                channel.begin(fresh[0].seq - 1)
        self._ring.extend(fresh)
        self.head = fresh[-1].seq
        self._since = self._ring[0].seq - 1
        if self._showing is None:
            early = self._shown_at + PACE_SECONDS - self._loop.time()
            self._showing = self._loop.call_later(max(early, 0), self._show)

    def _show(self) -> None:
        """Give the channels what is there."""
        if self._showing is not None:
            self._showing.cancel()
            self._showing = None
        self._shown_at = self._loop.time()
        news = self._remembered(max(self._shown, self._since))
        self._shown = self.head
        for channel in self._channels.values() if news else ():
            if channel.take(news):
                self._due |= dict.fromkeys(channel.listeners)
        if self._due and (self._waking is None or self._waking.done()):
            self._waking = self._loop.create_task(self._wake_in_turns())

    async def _wake_in_turns(self) -> None:
        """However many listen and however much is told, calls are answered between. Who is woken late reads what
        has come meanwhile as well."""
        while self._due:
            began = self._loop.time()
            for listener in tuple(itertools.islice(self._due, AT_A_TIME)):
                del self._due[listener]
                listener.wake()
            await asyncio.sleep(0)  # in this round of the loop they write
            await asyncio.sleep(REST * (self._loop.time() - began))

    def _remembered(self, after: int) -> list[Kept]:
        """The events after a number, as far as memory has all of them."""
        if not self._since <= after < self.head:
            return []
        newest_first = itertools.islice(reversed(self._ring), self.head - after)
        return list(newest_first)[::-1]

    # --- for what others wrote

    def _look_soon(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = self._loop.create_task(self._look_safely())

    async def watch(self) -> None:
        """Runs for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._channels:
                await self._look_safely()

    async def _look_safely(self) -> None:
        try:
            await self._look()
        except OmsError as failure:
            log.warning("events not looked at", failure=failure.message)

    async def _look(self) -> None:
        """Read what there is beyond what is known."""
        while read := await self._store.read(lambda tx: events.after(tx, self.head, AT_ONCE)):
            if fresh := [event for event in read if event.seq > self.head]:
                self._add(fresh)
