"""The one task that measures this host, each second and for ever, so that whoever asks is told at once.

Percentages and traffic are those of the last five seconds; the counters that they come from are read once a
second, which takes well under a thousandth of a CPU. What is slow is looked at every ten seconds, in a thread.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable

import msgspec
import structlog

from oms.agent.host import counters
from oms.agent.host.counters import Reading
from oms.agent.stats.history import Due, Figures, History
from oms.agent.stats.looks import Looks, Sight
from oms.agent.stats.rates import Rates, rates
from oms.background import ended

log = structlog.get_logger("oms.agent")
EVERY_SECONDS = 1.0
WINDOW = 5
LOOK_EVERY = 10
TELL_EVERY = 15
FIRST_SECONDS = 0.2
"""Between the first two readings: from then on there is an answer."""
SERIES = {
    "cpu": "percent", "iowait": "percent", "memory": "KB", "swap": "KB", "df": "KB",
    "received": "bytes/s", "sent": "bytes/s", "load": "processes",
}  # fmt: skip
"""What is remembered, with its unit."""


class Moment(msgspec.Struct, frozen=True):
    """This host now."""

    reading: Reading
    rates: Rates
    sight: Sight


class Sampler:
    """Measures while `run` runs."""

    def __init__(
        self, history: History, looks: Looks, tell: Callable[[Moment], None] = lambda _moment: None
    ) -> None:
        """`tell` hears of a moment every TELL_EVERY seconds."""
        self._history, self._looks, self._tell = history, looks, tell
        self._readings: deque[Reading] = deque(maxlen=WINDOW + 1)
        self._sight = Sight()
        self._ready = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._troubles: set[str] = set()

    async def now(self) -> Moment:
        """What was measured last; right from the first call on, which waits until there is something."""
        await self._ready.wait()
        newest = self._readings[-1]
        return Moment(newest, rates(self._readings[0], newest), self._sight)

    async def run(self) -> None:
        """Measure for ever."""
        loop = asyncio.get_running_loop()
        try:
            await self._begin()
            due, beat = loop.time(), 0
            while True:
                due = max(due + EVERY_SECONDS, loop.time())
                await asyncio.sleep(due - loop.time())
                beat += 1
                await self._measure()
                if beat % LOOK_EVERY == 0 and (self._looking is None or self._looking.done()):
                    self._looking = asyncio.create_task(self._look())
                if beat % TELL_EVERY == 1:
                    self._tell(await self.now())
        finally:
            await self._end()

    async def _begin(self) -> None:
        await self._look()
        self._read()
        await asyncio.sleep(FIRST_SECONDS)
        self._read()
        self._ready.set()
        await self._on_disk(lambda: self._history.go_on(self._readings[-1].time))

    async def _end(self) -> None:
        await ended(self._looking)
        self._looks.close()
        self._write(self._history.unwritten())  # the last minute; the process is about to end
        self._history.close()

    async def _measure(self) -> None:
        before = self._readings[-1]
        if not self._read():
            return
        newest = self._readings[-1]
        if due := self._history.add(newest.time, self._figures(newest, rates(before, newest))):
            await self._on_disk(lambda: self._history.write(due))

    def _read(self) -> bool:
        try:
            self._readings.append(counters.read(self._sight.uplink.name))
        except OSError as failure:
            self._once("the host's counters cannot be read", failure)
            return False
        return True

    async def _look(self) -> None:
        self._sight = await self._looks.look()

    def _figures(self, now: Reading, done: Rates) -> Figures:
        """In the order of SERIES."""
        used = [usage.used_kb for usage in self._sight.usages]
        return (
            done.cpu,
            done.iowait,
            float(now.memory_kb - now.available_kb),
            float(now.swap_kb - now.swap_free_kb),
            float(sum(used)) if used else math.nan,
            done.received,
            done.sent,
            now.load,
        )

    async def _on_disk(self, act: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(act)
        except OSError as failure:
            self._once("what was measured cannot be kept", failure)

    def _write(self, due: Due) -> None:
        try:
            self._history.write(due)
        except OSError as failure:
            self._once("what was measured cannot be kept", failure)

    def _once(self, what: str, failure: OSError) -> None:
        """Trouble that comes every second is told once."""
        if what not in self._troubles:
            self._troubles.add(what)
            log.warning(what, why=str(failure))
