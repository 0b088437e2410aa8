"""What happens to containers, told to who listens.

LXC tells of it only through a further daemon of its own; two readings of the kernel, a millisecond together, say
the same, so while somebody listens they are made every two seconds, and at once after a change of ours.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable

import structlog

from oms.agent.guests import Change
from oms.contract.errors import HypervisorUnavailable

log = structlog.get_logger("oms.agent.guests")
LOOK_SECONDS = 2.0
Look = Callable[[], dict[str, bool]]
"""Which containers there are, and which of them run."""


class Watching:
    """Who listens, and what was seen last."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._listeners: list[Callable[[Change], None]] = []
        self._now = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def listen(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call back in the event loop at each change. Answers the function that ends it."""
        self._listeners.append(callback)
        if self._task is None:
            self._task = asyncio.create_task(self._watch())

        def end() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(callback)

        return end

    def look(self) -> None:
        """Something was changed: look at once."""
        self._now.set()

    def tell(self, change: Change) -> None:
        """Pass it on."""
        for listener in list(self._listeners):
            listener(change)

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _watch(self) -> None:
        before = await self._seen({})
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS if self._listeners else None):
                    await self._now.wait()
            self._now.clear()
            after = await self._seen(before)
            for change in differences(before, after):
                self.tell(change)
            before = after

    async def _seen(self, otherwise: dict[str, bool]) -> dict[str, bool]:
        try:
            return await asyncio.to_thread(self._look)
        except (OSError, HypervisorUnavailable) as error:
            log.warning("containers cannot be looked at", why=str(error))
            return otherwise


def differences(before: dict[str, bool], after: dict[str, bool]) -> list[Change]:
    """What happened between two looks."""
    found = [Change(name, name, "removed") for name in before if name not in after]
    for name, runs in after.items():
        if name not in before:
            found.append(Change(name, name, "defined"))
        if runs != before.get(name, False):
            found.append(Change(name, name, "started" if runs else "stopped"))
    return found


async def ended(pid: int, seconds: float) -> bool:
    """Wait until a process has ended; False where it has not within so many seconds."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process, gone.set)
    try:
        async with asyncio.timeout(seconds):
            await gone.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(process)
        os.close(process)
    return True
