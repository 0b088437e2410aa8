"""Work that a read sets going, and that goes on when the read has answered: once for all who ask for the same.

What it makes only saves time later: should the agent end in its midst, it is done again by whoever needs it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from oms.background import ended
from oms.contract.errors import OmsError, Unusable

log = structlog.get_logger("oms.agent")
MOST_FAILURES = 64


class Errand:
    """Whoever runs it, as a holder of leases."""

    def __init__(self, name: str) -> None:
        self.id = name

    def note(self, key: str, text: str) -> None:
        """An errand has no record to say it in."""


class Errands:
    """Those under way, by what they are for, and why some cannot be done."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._failures: OrderedDict[str, Unusable] = OrderedDict()

    async def run(self, key: str, work: Callable[[Errand], Coroutine[Any, Any, None]], seconds: float) -> None:
        """Have it done; come back when it is, or so many seconds later while it goes on.

        Raises what the work raises, as far as that shows itself by then. What was found unusable stays so for the
        same key.
        """
        if (known := self._failures.get(key)) is not None:
            raise known
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(work(Errand(key)))
            task.add_done_callback(lambda done: self._ended(key, done))
        await asyncio.wait((task,), timeout=seconds)
        if task.done() and not task.cancelled():
            task.result()

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        del self._under_way[key]
        if task.cancelled() or (failure := task.exception()) is None:
            return
        bug = None if isinstance(failure, OmsError) else failure
        log.warning("an errand came to nothing", what=key, why=str(failure), exc_info=bug)
        if isinstance(failure, Unusable):
            self._failures[key] = failure
            while len(self._failures) > MOST_FAILURES:
                self._failures.popitem(last=False)

    async def close(self) -> None:
        """Break off what is under way, and wait until it has ended."""
        await ended(*self._under_way.values())
