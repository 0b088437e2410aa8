"""What the hosts' agents measured last: each tells it every few seconds, so that no scrape asks any host.

Kept in memory alone, and only of hosts that are connected.
"""

import time
from collections.abc import Callable, Mapping

import msgspec
import structlog
from prometheus_client import Counter

from oms.bus.call import UNREADABLE
from oms.bus.wire import ServerWire
from oms.contract.internal import Figures, Spent

log = structlog.get_logger("oms.metrics")
AT_MOST_BYTES = 64 * 1024
FRESH_SECONDS = 60.0
"""What is older is not told any more: agents tell four times in that."""
KNOWN_TOPICS = frozenset({"job", "facts", "figures", "guests"})
_decoder = msgspec.json.Decoder(Figures)


class HostFigures:
    """The last word of each host."""

    def __init__(self, wire: ServerWire, events: Counter) -> None:
        """`events` counts by topic what hosts say unasked."""
        self._wire, self._events = wire, events
        self._last: dict[str, tuple[Figures, float]] = {}
        self._busy: dict[str, float] = {}
        self._listeners: list[Callable[[str, Figures, float], None]] = []
        wire.on_event(self._hear)
        wire.on_presence(self._presence)

    def fresh(self) -> dict[str, Figures]:
        """By host id."""
        oldest = time.monotonic() - FRESH_SECONDS
        return {host_id: figures for host_id, (figures, at) in self._last.items() if at >= oldest}

    def on_figures(self, callback: Callable[[str, Figures, float], None]) -> None:
        """Call back with a host's id, what it measured, and how busy its CPUs were since it measured before."""
        self._listeners.append(callback)

    def busy(self) -> dict[str, float]:
        """How busy the CPUs of each were between its last two words, in percent of all of them, by host id."""
        return dict(self._busy)

    def _hear(self, host_id: str, topic: str, payload: bytes) -> None:
        self._events.labels(topic if topic in KNOWN_TOPICS else "other").inc()
        if topic != "figures" or len(payload) > AT_MOST_BYTES or host_id not in self._wire.connected_hosts():
            return
        try:
            figures = _decoder.decode(payload)
        except UNREADABLE:
            log.warning("figures not understood", id=host_id)
            return
        if before := self._last.get(host_id):
            self._busy[host_id] = busy(before[0].cpu_seconds, figures.cpu_seconds)
            for listener in self._listeners:
                listener(host_id, figures, self._busy[host_id])
        self._last[host_id] = figures, time.monotonic()

    def _presence(self, host_id: str, connected: bool, _reason: str) -> None:
        if not connected:
            self._last.pop(host_id, None)
            self._busy.pop(host_id, None)


def busy(before: Mapping[Spent, float], after: Mapping[Spent, float]) -> float:
    """The share of the CPU time between the two that was neither idle nor spent waiting for disks, in percent."""
    spent = {mode: max(0.0, seconds - before.get(mode, 0.0)) for mode, seconds in after.items()}
    whole = sum(spent.values())
    return 100 * (whole - spent.get("idle", 0) - spent.get("iowait", 0)) / whole if whole > 0 else 0.0
