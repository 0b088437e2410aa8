"""A clock to wait by, as whatever is given a time is handed one; tests have others."""

import asyncio
import contextlib
from typing import Protocol


class Clock(Protocol):
    """It counts seconds from anywhere, and never back."""

    def now(self) -> float:
        """What it shows."""

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Until the event is set, or so many seconds are over."""


class LoopClock:
    """That of the event loop."""

    def now(self) -> float:
        """What it shows."""
        return asyncio.get_running_loop().time()

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Until the event is set, or so many seconds are over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
