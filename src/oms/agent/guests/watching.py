"""What happens to containers, told to who listens.

Neither LXC nor OpenVZ tells of it by itself, so while somebody listens they are asked every few seconds, and at
once after a change of ours.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from oms.agent.guests import Change
from oms.background import ended
from oms.contract.errors import OmsError

log = structlog.get_logger("oms.agent.guests")
SETTLE_SECONDS = 0.05
"""From a change of ours to the look: whoever waits for its job is answered first."""


class Watching:
    """Who listens, and what was seen last."""

    def __init__(self, look: Callable[[], Awaitable[dict[str, bool]]], every_seconds: float) -> None:
        """`look`: which containers there are, and which of them run. It may raise OSError and OmsError."""
        self._look, self._every_seconds = look, every_seconds
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
        await ended(self._task)
        self._task = None

    async def _watch(self) -> None:
        before = await self._seen({})
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_seconds if self._listeners else None):
                    await self._now.wait()
                    await asyncio.sleep(SETTLE_SECONDS)
            self._now.clear()
            after = await self._seen(before)
            for change in differences(before, after):
                self.tell(change)
            before = after

    async def _seen(self, otherwise: dict[str, bool]) -> dict[str, bool]:
        try:
            return await self._look()
        except (OSError, OmsError) as error:
            log.warning("containers cannot be looked at", why=str(error))
            return otherwise


def differences(before: dict[str, bool], after: dict[str, bool]) -> list[Change]:
    """What happened between two looks."""
    found = [Change(ctid, ctid, "removed") for ctid in before if ctid not in after]
    for ctid, runs in after.items():
        if ctid not in before:
            found.append(Change(ctid, ctid, "defined"))
        if runs != before.get(ctid, False):
            found.append(Change(ctid, ctid, "started" if runs else "stopped"))
    return found
