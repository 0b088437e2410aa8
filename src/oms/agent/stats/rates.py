"""What a host did between two readings of its counters. Pure."""

import math

import msgspec

from oms.agent.host.counters import Reading

UNKNOWN = math.nan


class Rates(msgspec.Struct, frozen=True):
    """What the host did between two readings: percent of its CPUs, bytes per second; NaN where it is not known."""

    cpu: float
    iowait: float
    received: float
    sent: float


def rates(older: Reading, newer: Reading) -> Rates:
    """Counters that went backwards, as those of a device that was made anew do, tell nothing."""
    passed = newer.cpu.total - older.cpu.total
    waited = _share(newer.cpu.iowait - older.cpu.iowait, passed)
    idle = _share(newer.cpu.idle - older.cpu.idle, passed)
    received, sent = _traffic(older, newer)
    busy = 100 - idle - waited
    return Rates(cpu=0.0 if busy < 0 else busy, iowait=waited, received=received, sent=sent)


def _share(part: float, whole: float) -> float:
    """In percent. The kernel's idle and waiting times may step back a little."""
    return min(100.0, max(0.0, 100 * part / whole)) if whole > 0 else UNKNOWN


def _traffic(older: Reading, newer: Reading) -> tuple[float, float]:
    before, now, seconds = older.traffic, newer.traffic, newer.at - older.at
    if before is None or now is None or before.device != now.device or seconds <= 0:
        return UNKNOWN, UNKNOWN
    received, sent = now.received - before.received, now.sent - before.sent
    if received < 0 or sent < 0:
        return UNKNOWN, UNKNOWN
    return received / seconds, sent / seconds
