"""So many at once, and who takes long counts no more: what hangs holds up nobody else for long."""

import asyncio
from types import TracebackType


class Turns:
    """`async with`: begins when fewer than `most` have begun within the last `seconds` and not ended."""

    def __init__(self, most: int, seconds: float) -> None:
        self._free, self._seconds = asyncio.Semaphore(most), seconds
        self._held: dict[asyncio.Task[object] | None, asyncio.TimerHandle] = {}

    async def __aenter__(self) -> None:
        await self._free.acquire()
        task = asyncio.current_task()
        self._held[task] = asyncio.get_running_loop().call_later(self._seconds, self._over, task)

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over(asyncio.current_task())

    def _over(self, task: "asyncio.Task[object] | None") -> None:
        if (timer := self._held.pop(task, None)) is not None:
            timer.cancel()
            self._free.release()
