"""Measurements in the words of the contract: texts, KB, percentages with two decimals. Pure."""

import math
from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from msgspec import UNSET

from oms.agent.host.mounts import Usage
from oms.agent.stats.history import Figures, Steps
from oms.agent.stats.rates import UNKNOWN
from oms.agent.stats.sampler import SERIES, Moment
from oms.contract.stats import (
    HostBandwidth,
    HostCpu,
    HostDf,
    HostHistory,
    HostIowait,
    HostMemory,
    HostMount,
    HostNetwork,
    HostSeries,
    HostStats,
    HostSwap,
)

ALL = frozenset({"cpu", "df", "kernel", "memory", "network", "uptime", "bandwidth", "swap", "iowait"})


def wanted(names: Collection[str]) -> frozenset[str]:
    """The statistics that are meant by these names: none means all."""
    return frozenset("cpu" if name == "cpu_load" else name for name in names) or ALL


def host_stats(now: Moment, names: Collection[str], *, uptime: float, kernel: str, release: str) -> HostStats:
    """Those that were asked for; `uptime` in seconds."""
    reading, done, sight = now.reading, now.rates, now.sight

    return HostStats(
        cpu=HostCpu(percent(done.cpu), sight.processor.cache, sight.processor.type, sight.processor.mhz)
        if "cpu" in names
        else UNSET,
        df=df(sight.usages) if "df" in names else UNSET,
        kernel=kernel if "kernel" in names else UNSET,
        memory=memory(reading.memory_kb, reading.available_kb) if "memory" in names else UNSET,
        network=HostNetwork(ip=sight.uplink.address, name=sight.uplink.name) if "network" in names else UNSET,
        uptime=str(int(uptime)) if "uptime" in names else UNSET,
        bandwidth=bandwidth(done.received, done.sent, sight.uplink.bytes_per_second)
        if "bandwidth" in names
        else UNSET,
        osrelease=release if "kernel" in names else UNSET,
        swap=swap(sight.swap_paths, reading.swap_kb, reading.swap_free_kb) if "swap" in names else UNSET,
        iowait=HostIowait(percent(done.iowait)) if "iowait" in names else UNSET,
    )


def percent(value: float) -> str:
    """With two decimals, and nothing but a number."""
    return f"{0.0 if math.isnan(value) else value:.2f}"


def share(part: float, whole: float) -> str:
    """In percent; of nothing, none."""
    return percent(100 * part / whole if whole > 0 else 0.0)


def memory(total_kb: int, available_kb: int) -> HostMemory:
    """What could be given away at once is not used."""
    used = total_kb - available_kb
    return HostMemory(share(used, total_kb), str(total_kb), str(used))


def df(usages: Iterable[Usage]) -> HostDf:
    """All together, and each."""
    found = list(usages)
    used, free = (sum(usage.used_kb for usage in found), sum(usage.free_kb for usage in found))
    return HostDf(
        percentage=share(used, used + free),
        total=str(sum(usage.total_kb for usage in found)),
        used=str(used),
        details=[HostMount(it.mount.point, str(it.used_kb), it.mount.device, str(it.free_kb)) for it in found],
    )


def bandwidth(received: float, sent: float, maximum: int) -> HostBandwidth:
    """Bytes per second."""
    inward, outward = (0 if math.isnan(value) else round(value) for value in (received, sent))
    return HostBandwidth(share(max(inward, outward), maximum), inward, maximum, outward)


def swap(paths: Collection[str], total_kb: int, free_kb: int) -> HostSwap:
    """Of all swap spaces."""
    used = total_kb - free_kb
    return HostSwap(",".join(paths), share(used, total_kb), str(total_kb), str(used))


def history(steps: Steps, first: int, last: int, step_seconds: int, names: Collection[str]) -> HostHistory:
    """The steps that began from `first` to `last`, those without a measurement as null."""
    begins = range(first, last + 1, step_seconds)
    unknown: Figures = (UNKNOWN,) * len(SERIES)
    found = [steps.get(begin, (unknown, unknown)) for begin in begins]
    return HostHistory(
        begin=datetime.fromtimestamp(first, UTC).isoformat().replace("+00:00", "Z"),
        step_seconds=step_seconds,
        series={
            name: HostSeries(
                unit,
                [_shown(average[place]) for average, _ in found],
                [_shown(highest[place]) for _, highest in found],
            )
            for place, (name, unit) in enumerate(SERIES.items())
            if not names or name in names
        },
    )


def _shown(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)
