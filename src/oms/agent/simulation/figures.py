"""How busy a simulated host is and was: reckoned from its rhythm for any moment. Nothing is measured or kept."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import NoReturn

from oms.agent.host.counters import Cpu, Reading, Traffic
from oms.agent.host.hardware import Processor
from oms.agent.host.mounts import Mount, Usage
from oms.agent.host.uplink import Uplink
from oms.agent.simulation.plan import Host
from oms.agent.stats.history import Figures, Steps
from oms.agent.stats.looks import Sight
from oms.agent.stats.rates import rates
from oms.agent.stats.sampler import TELL_EVERY, Moment

UP_SINCE = 30 * 86400
"""Seconds before the simulator's start at which its hosts started."""
DEVICE = "eno1"
FASTEST = 1_250_000_000
"""Bytes per second: 10 Gbit."""
WINDOW_SECONDS = 5
USER, SYSTEM, IOWAIT, OTHER = 0.75, 0.2, 0.02, 0.03
"""How the time that is not idle is spent."""


class Busy:
    """One host: `now` and `run` as what measures it has them, `steps` as what remembers it."""

    def __init__(self, host: Host, tell: Callable[[Moment], None] = lambda _moment: None) -> None:
        """`tell` hears of a moment every TELL_EVERY seconds."""
        self._host, self._tell = host, tell
        self._up_since = time.time() - UP_SINCE
        self._sight = Sight(
            uplink=Uplink(DEVICE, host.address, FASTEST),
            processor=Processor("32768 KB", "Simulated CPU", "2400.000"),
            swap_paths=("/swapfile",),
            usages=(_usage("/", "/dev/sda1", host.disk_kb // 20), _usage("/var/lib", "/dev/sdb1", host.disk_kb)),
        )

    async def now(self) -> Moment:
        """This moment."""
        moment = time.time()
        newer = self._reading(moment)
        return Moment(newer, rates(self._reading(moment - WINDOW_SECONDS), newer), self._sight)

    async def run(self) -> NoReturn:
        """Tell of it for ever."""
        await asyncio.sleep(random.uniform(0, TELL_EVERY))  # noqa: S311 - not all hosts at once
        while True:
            self._tell(await self.now())
            await asyncio.sleep(TELL_EVERY)

    def steps(self, step_seconds: int, first: int, last: int) -> Steps:
        """It has been like that for ever."""
        begins = range(-(-first // step_seconds) * step_seconds, last + 1, step_seconds)
        return {begin: self._step(begin, step_seconds) for begin in begins}

    def uptime_seconds(self) -> float:
        """Since its start."""
        return time.time() - self._up_since

    def _step(self, begin: int, seconds: int) -> tuple[Figures, Figures]:
        average = self._figures(self._host.rhythm.seconds(begin, begin + seconds) / seconds)
        ends = (self._host.rhythm.at(begin), self._host.rhythm.at(begin + seconds))
        return average, self._figures(max(*ends, average[0] / 100))

    def _figures(self, load: float) -> Figures:
        """In the order of the sampler's SERIES."""
        host, used = self._host, sum(usage.used_kb for usage in self._sight.usages)
        return (
            100 * load * (1 - IOWAIT),
            100 * load * IOWAIT,
            float(self._used_kb(load)),
            0.0,
            float(used),
            _received(load),
            _received(load) / 2,
            load * host.cpus,
        )

    def _used_kb(self, load: float) -> int:
        return int(self._host.memory_kb * (0.4 + 0.5 * load))

    def _reading(self, moment: float) -> Reading:
        host, passed = self._host, moment - self._up_since
        busy = host.rhythm.seconds(self._up_since, moment)
        load = host.rhythm.at(moment)
        swap_kb = 8 * 1024**2
        return Reading(
            at=moment,
            time=moment,
            cpu=Cpu(
                user=busy * USER * host.cpus,
                system=busy * SYSTEM * host.cpus,
                iowait=busy * IOWAIT * host.cpus,
                idle=(passed - busy) * host.cpus,
                other=busy * OTHER * host.cpus,
            ),
            memory_kb=host.memory_kb,
            available_kb=host.memory_kb - self._used_kb(load),
            swap_kb=swap_kb,
            swap_free_kb=swap_kb,
            load=round(load * host.cpus, 2),
            traffic=Traffic(DEVICE, int(_received(1) * busy), int(_received(1) * busy / 2)),
        )


def _received(load: float) -> float:
    return load * FASTEST / 10


def _usage(point: str, device: str, size_kb: int) -> Usage:
    used_kb = size_kb * 2 // 5
    return Usage(Mount(point, device), size_kb, used_kb, size_kb - used_kb)
