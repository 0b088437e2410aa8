"""Reads of hosts: what was recorded and is young enough, else one question for all who ask the same.

Askers share a question only if it was begun after each of them asked, so that nobody is told of a moment that
lies before his own call. A change made through OMS drops what was recorded of that host, and an answer that was
on its way meanwhile is given but not recorded.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Raw

from oms.contract.errors import HostBusy
from oms.server.store.moments import moment, now

Key = tuple[str, str, bytes]
"""Host id, method, parameters."""
Ask = Callable[[], Awaitable[Raw]]


class Recorded(msgspec.Struct, frozen=True):
    """An answer and when it was given: RFC 3339, and by the monotonic clock."""

    answer: Raw
    as_of: str
    at: float


class _Question:
    """What runs now, and the one that begins when that has ended."""

    def __init__(self) -> None:
        self.running: asyncio.Task[Recorded] | None = None
        self.next: asyncio.Task[Recorded] | None = None


class Reads:
    """All hosts' reads; each host has its own bounded lane."""

    def __init__(self, most_bytes: int = 64 * 1024 * 1024, lane: int = 8, waiting: int = 256) -> None:
        self._recorded: OrderedDict[Key, Recorded] = OrderedDict()
        self._by_host: dict[str, set[Key]] = {}
        self._bytes = 0
        self._most_bytes = most_bytes
        self._changes: dict[str, int] = {}
        self._questions: dict[Key, _Question] = {}
        self._lanes: dict[str, asyncio.Semaphore] = {}
        self._waiting: dict[str, int] = {}
        self._lane, self._most_waiting = lane, waiting

    def recorded(self, key: Key, cache_timeout: int) -> Recorded | None:
        """What is recorded under the key, if it is no older than so many seconds."""
        if not cache_timeout:
            return None
        found = self._recorded.get(key)
        return found if found is not None and time.monotonic() - found.at <= cache_timeout else None

    async def ask(self, key: Key, ask: Ask) -> Recorded:
        """The host's answer, by a question that begins now or later. Raises what the question raises."""
        question = self._questions.setdefault(key, _Question())
        if question.running is None:
            question.running = task = asyncio.create_task(self._put(key, question, ask, None))
        elif question.next is None:
            question.next = task = asyncio.create_task(self._put(key, question, ask, question.running))
        else:
            task = question.next
        task.add_done_callback(_looked_at)
        return await asyncio.shield(task)

    async def _put(
        self, key: Key, question: _Question, ask: Ask, before: "asyncio.Task[Recorded] | None"
    ) -> Recorded:
        if before is not None:
            await asyncio.wait((before,))
            question.running, question.next = question.next, None
        try:
            return await self._in_lane(key, ask)
        finally:
            if question.next is None:
                question.running = None
                self._questions.pop(key, None)

    async def _in_lane(self, key: Key, ask: Ask) -> Recorded:
        host_id = key[0]
        lane = self._lanes.setdefault(host_id, asyncio.Semaphore(self._lane))
        if self._waiting.get(host_id, 0) >= self._most_waiting:
            raise HostBusy("As many calls wait for this host as may: try again in a moment.")
        self._waiting[host_id] = self._waiting.get(host_id, 0) + 1
        try:
            async with lane:
                change = self._changes.get(host_id, 0)
                fresh = Recorded(await ask(), moment(now()), time.monotonic())
        finally:
            self._waiting[host_id] -= 1
        if change == self._changes.get(host_id, 0):
            self._record(key, fresh)
        return fresh

    def _record(self, key: Key, fresh: Recorded) -> None:
        self._forget(key)
        self._recorded[key] = fresh
        self._by_host.setdefault(key[0], set()).add(key)
        self._bytes += _size(key, fresh)
        while self._bytes > self._most_bytes:
            self._forget(next(iter(self._recorded)))

    def _forget(self, key: Key) -> None:
        gone = self._recorded.pop(key, None)
        if gone is not None:
            self._bytes -= _size(key, gone)
            self._by_host[key[0]].discard(key)

    def forget(self) -> None:
        """Something may have been changed on any host."""
        for host_id in {*self._by_host, *self._lanes}:
            self.changed(host_id)

    def changed(self, host_id: str) -> None:
        """Something was changed on that host: nothing recorded of it holds any more."""
        self._changes[host_id] = self._changes.get(host_id, 0) + 1
        for key in tuple(self._by_host.pop(host_id, ())):
            self._bytes -= _size(key, self._recorded.pop(key))


def _looked_at(task: "asyncio.Task[Recorded]") -> None:
    """A question that failed after all who asked it had left is nobody's surprise."""
    if not task.cancelled():
        task.exception()


def _size(key: Key, recorded: Recorded) -> int:
    return len(bytes(recorded.answer)) + len(key[2]) + 400
