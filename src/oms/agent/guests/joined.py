"""One question in flight for all who ask it.

Who asks while an answer is on its way gets the next one, not that: an answer may be older than the change that
made somebody ask. All who wait for the next one share it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Joined(Generic[T]):
    """A question without parameters, asked by many at a time."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._under_way: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """An answer that was begun after this call. An asker who goes away does not take it from the others."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._under_way))
            self._next.add_done_callback(_take_note)
        return await asyncio.shield(self._next)

    async def _after(self, before: "asyncio.Task[T] | None") -> T:
        if before is not None and not before.done():
            await asyncio.wait([before])
        await asyncio.sleep(0)  # whoever asks in the same turn of the event loop belongs to it
        self._under_way, self._next = self._next, None
        return await self._ask()


def _take_note(task: "asyncio.Task[T]") -> None:
    """Where every asker has gone, nobody else would look at the error, and asyncio would complain."""
    if not task.cancelled():
        task.exception()
