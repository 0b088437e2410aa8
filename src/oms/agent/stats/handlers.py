"""StatsService on this host."""

import asyncio
import os
import time

from oms.agent import facts
from oms.agent.context import Host, Statistics
from oms.agent.host import counters
from oms.agent.stats import words
from oms.agent.stats.history import KEPT, step_for
from oms.contract import stats
from oms.contract.errors import FuncManError, NotSupported
from oms.contract.handlers import Handlers

handlers: Handlers[Host] = Handlers()
STEPS = {"1s": 1, "1m": 60, "15m": 900}


@handlers.handles(stats.GetStats)
async def get_stats(op: stats.GetStats, host: Host) -> stats.HostStats:
    """What was measured last, unless a Zabbix agent is to be asked."""
    statistics, names = _of(host), words.wanted(op.stats_argument)
    now = await statistics.sampler.now()
    if statistics.zabbix is not None:
        return await statistics.zabbix.stats(names, now.sight.uplink)
    return words.host_stats(
        now,
        names,
        uptime=counters.uptime_seconds(),
        kernel=os.uname().release,
        release=facts.distribution(),
    )


@handlers.handles(stats.GetHistory)
async def get_history(op: stats.GetHistory, host: Host) -> stats.HostHistory:
    """Up to the last step that has begun; of seconds, up to the last that is over."""
    history = _of(host).history
    step = STEPS.get(op.resolution) or step_for(op.seconds)
    now = time.time()
    last = int(now) - 1 if step == 1 else int(now) // step * step
    first = max(int(now - op.seconds) // step * step, last - (KEPT[step] - 1) * step)
    try:
        steps = await asyncio.to_thread(history.steps, step, first, last)
    except OSError as failure:
        raise FuncManError(f"What this host remembers cannot be read: {failure.strerror}.") from failure
    return words.history(steps, first, last, step, op.series_argument)


def _of(host: Host) -> Statistics:
    if host.statistics is None:
        raise NotSupported("This agent measures nothing.")
    return host.statistics
