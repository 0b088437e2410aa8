"""The kernel's counters, read again and again: a fraction of a millisecond each time."""

import os
import time
from pathlib import Path

import msgspec
import psutil

from oms.agent.host.links import NET
from oms.agent.host.memory import MEMINFO


class Cpu(msgspec.Struct, frozen=True):
    """Seconds that all CPUs together have spent so since the host's start."""

    user: float
    system: float
    iowait: float
    idle: float
    other: float
    """Interrupts, and what the hypervisor below took away."""

    @property
    def total(self) -> float:
        """All that there was."""
        return self.user + self.system + self.iowait + self.idle + self.other


class Traffic(msgspec.Struct, frozen=True):
    """Bytes that went through a network device since it is there."""

    device: str
    received: int
    sent: int


class Reading(msgspec.Struct, frozen=True):
    """One moment. `at` is by the monotonic clock; `time` is seconds since 1970."""

    at: float
    time: float
    cpu: Cpu
    memory_kb: int
    available_kb: int
    swap_kb: int
    swap_free_kb: int
    load: float
    traffic: Traffic | None


def read(device: str) -> Reading:
    """Now, with the traffic of that device (empty: of none). Raises OSError."""
    memory = _meminfo(MEMINFO.read_text())
    return Reading(
        at=time.monotonic(),
        time=time.time(),
        cpu=_cpu(),
        memory_kb=memory["MemTotal"],
        available_kb=memory["MemAvailable"],
        swap_kb=memory["SwapTotal"],
        swap_free_kb=memory["SwapFree"],
        load=os.getloadavg()[0],
        traffic=traffic(device),
    )


def uptime_seconds() -> float:
    """Since the host was started, the time that it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def traffic(device: str, net: Path = NET) -> Traffic | None:
    """Of a device; None where it is not there (any more)."""
    if not device:
        return None
    counters = net / device / "statistics"
    try:
        received, sent = (int((counters / name).read_text()) for name in ("rx_bytes", "tx_bytes"))
    except OSError:
        return None
    return Traffic(device, received, sent)


def _cpu() -> Cpu:
    """The time of guests is in the user's already."""
    times = psutil.cpu_times()
    return Cpu(
        user=times.user + times.nice,
        system=times.system,
        iowait=times.iowait,
        idle=times.idle,
        other=times.irq + times.softirq + times.steal,
    )


def _meminfo(text: str) -> dict[str, int]:
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in text.splitlines())}
