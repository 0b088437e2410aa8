"""Where those who bring bytes and the host that takes them meet: one pipe for each job, nothing kept on the way.

The host opens the pipe and says from where on it wants the bytes; whoever brings them fills it. A few parts are in
memory at a time: who reads slowly slows down who writes.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

DEEPEST = 4
"""Parts of a pipe in memory; uvicorn makes them of 64 KiB or a little more."""


class Broken(Exception):
    """The other side has gone."""


class Pipe:
    """Bytes of one job on their way, from `offset` on."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.begun = asyncio.Event()
        """Somebody brings bytes."""
        self.size = 0
        """Of the whole, as whoever brings it says."""
        self.at = ""
        """Not here, but at that server (host:port)."""
        self._parts: deque[bytes] = deque()
        self._ended = False
        self._broken = False
        self._moved = asyncio.Event()

    def begin(self, size: int) -> None:
        """Whoever brings the bytes is there."""
        self.size = size
        self.begun.set()

    async def give(self, part: bytes) -> None:
        """Hand over, once there is room. Raises Broken."""
        while len(self._parts) >= DEEPEST and not self._broken:
            await self._next_move()
        if self._broken:
            raise Broken
        if part:
            self._parts.append(part)
            self._moved.set()

    def end(self) -> None:
        """That was all for now."""
        self._ended = True
        self._moved.set()

    def break_off(self) -> None:
        """Whoever takes the bytes has gone."""
        self._broken = True
        self._moved.set()

    async def parts(self) -> AsyncIterator[bytes]:
        """What is brought, until its end."""
        while True:
            while self._parts:
                part = self._parts.popleft()
                self._moved.set()
                yield part
            if self._ended or self._broken:
                return
            await self._next_move()

    async def _next_move(self) -> None:
        self._moved.clear()
        await self._moved.wait()


class Meetings:
    """The pipes that hosts hold open, by job."""

    def __init__(self) -> None:
        self._pipes: dict[str, Pipe] = {}
        self._changed = asyncio.Condition()

    async def open(self, job: str, offset: int) -> Pipe:
        """A host waits there; the pipe that it had before is broken off."""
        if (before := self._pipes.get(job)) is not None:
            before.break_off()
        pipe = self._pipes[job] = Pipe(offset)
        async with self._changed:
            self._changed.notify_all()
        return pipe

    def elsewhere(self, job: str, at: str) -> None:
        """The bytes of a job are brought at another server: whoever waits for them here is to go there."""
        pipe = self._pipes.get(job)
        if pipe is not None and not pipe.begun.is_set():
            pipe.at = at
            pipe.begun.set()

    def close(self, job: str, pipe: Pipe) -> None:
        """The host waits there no more."""
        pipe.break_off()
        if self._pipes.get(job) is pipe:
            del self._pipes[job]

    async def waiting(self, job: str, seconds: float) -> Pipe | None:
        """The pipe of a job that nobody fills yet; None where there is none within so many seconds."""

        def free() -> Pipe | None:
            pipe = self._pipes.get(job)
            return pipe if pipe is not None and not pipe.begun.is_set() else None

        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(free)
        except TimeoutError:
            return None
        return free()
