"""Tasks beside whoever began them: asyncio forgets a task that nobody holds, and ends none with its owner."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Background(set[asyncio.Task[Any]]):
    """The tasks of one owner, each held until it has ended."""

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have it done in a task of its own."""
        task = asyncio.create_task(work)
        self.add(task)
        task.add_done_callback(self.discard)
        return task

    async def end(self) -> None:
        """Break off what has not ended, and wait until it has."""
        await ended(*self)


async def ended(*tasks: asyncio.Future[Any] | None) -> None:
    """Break tasks off, and wait until they have ended, whatever with. None is one that was never begun."""
    begun = [task for task in tasks if task is not None]
    for task in begun:
        task.cancel()
    await asyncio.gather(*begun, return_exceptions=True)
