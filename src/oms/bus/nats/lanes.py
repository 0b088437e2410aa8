"""Events of one host in order, hosts side by side: a slow handler or a noisy host delays nobody else.

Each host has a lane of bounded length. What does not fit is dropped, the newest first: events are best effort.
"""

from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from oms.background import Background

log = structlog.get_logger("oms.bus.nats")

Handle = Callable[[str, str, bytes], Awaitable[None]]


class _Lane:
    def __init__(self) -> None:
        self.events: deque[tuple[str, bytes]] = deque()
        self.waiting_bytes = 0
        self.dropped = 0


class Lanes:
    """Takes events in at once and hands them on, one at a time for each host."""

    def __init__(self, handle: Handle, *, most_events: int = 256, most_bytes: int = 8 * 1024 * 1024) -> None:
        """`handle(host_id, topic, payload)`; the bounds are those of one host's lane."""
        self._handle, self._most_events, self._most_bytes = handle, most_events, most_bytes
        self._lanes: dict[str, _Lane] = {}
        self._tasks = Background()

    def put(self, host_id: str, topic: str, payload: bytes) -> None:
        """Take in one event."""
        lane = self._lanes.get(host_id)
        if lane is None:
            lane = self._lanes[host_id] = _Lane()
            self._tasks.begin(self._drive(host_id, lane))
        full = len(lane.events) >= self._most_events or lane.waiting_bytes + len(payload) > self._most_bytes
        if full:
            if not lane.dropped:
                log.warning("a host sends events faster than they are handled", host_id=host_id, topic=topic)
            lane.dropped += 1
            return
        lane.events.append((topic, payload))
        lane.waiting_bytes += len(payload)

    async def close(self) -> None:
        """Drop what waits."""
        await self._tasks.end()

    async def _drive(self, host_id: str, lane: _Lane) -> None:
        try:
            while lane.events:
                topic, payload = lane.events.popleft()
                lane.waiting_bytes -= len(payload)
                await self._handle(host_id, topic, payload)
        finally:
            del self._lanes[host_id]
            if lane.dropped:
                log.warning("events were dropped", host_id=host_id, dropped=lane.dropped)
