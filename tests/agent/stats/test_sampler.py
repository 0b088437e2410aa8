"""The sampler on this very machine."""

import asyncio
import math
import os
import subprocess
import sys
import time
from pathlib import Path

from oms.agent.stats.history import MINUTE, History
from oms.agent.stats.looks import Looks
from oms.agent.stats.sampler import SERIES, Moment, Sampler


def _busy() -> list["subprocess.Popen[bytes]"]:
    return [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]


async def test_load_is_seen_within_seconds_and_remembered_over_a_restart(tmp_path: Path) -> None:
    """Every CPU is kept busy."""
    history, told = History(tmp_path, tuple(SERIES)), list[Moment]()
    sampler = Sampler(history, Looks(), told.append)
    running = asyncio.create_task(sampler.run())
    first = await asyncio.wait_for(sampler.now(), 60)
    assert 0 <= first.rates.cpu <= 100
    assert first.sight.usages
    busy = _busy()
    try:
        async with asyncio.timeout(60):
            while (now := await sampler.now()).rates.cpu < 90 or not told:  # noqa: ASYNC110 - the machine is watched
                await asyncio.sleep(0.1)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert now.rates.iowait + now.rates.cpu <= 100.0001
    assert told
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    kept = History(tmp_path, tuple(SERIES)).steps(MINUTE, 0, int(time.time()))
    highest = max(steps[1][0] for steps in kept.values() if not math.isnan(steps[1][0]))
    assert highest > 50
