"""What the hosts' agents measured last: each tells it every few seconds, so that no scrape asks any host.

Kept in memory alone, and only of hosts that are connected.
"""

import time

import msgspec
import structlog
from prometheus_client import Counter

from oms.bus.call import UNREADABLE
from oms.bus.wire import ServerWire
from oms.contract.internal import Figures

log = structlog.get_logger("oms.metrics")
AT_MOST_BYTES = 64 * 1024
FRESH_SECONDS = 60.0
"""What is older is not told any more: agents tell four times in that."""
KNOWN_TOPICS = frozenset({"job", "facts", "figures"})
_decoder = msgspec.json.Decoder(Figures)


class HostFigures:
    """The last word of each host."""

    def __init__(self, wire: ServerWire, events: Counter) -> None:
        """`events` counts by topic what hosts say unasked."""
        self._wire, self._events = wire, events
        self._last: dict[str, tuple[Figures, float]] = {}
        wire.on_event(self._hear)
        wire.on_presence(self._presence)

    def fresh(self) -> dict[str, Figures]:
        """By host id."""
        oldest = time.monotonic() - FRESH_SECONDS
        return {host_id: figures for host_id, (figures, at) in self._last.items() if at >= oldest}

    def _hear(self, host_id: str, topic: str, payload: bytes) -> None:
        self._events.labels(topic if topic in KNOWN_TOPICS else "other").inc()
        if topic != "figures" or len(payload) > AT_MOST_BYTES or host_id not in self._wire.connected_hosts():
            return
        try:
            self._last[host_id] = _decoder.decode(payload), time.monotonic()
        except UNREADABLE:
            log.warning("figures not understood", id=host_id)

    def _presence(self, host_id: str, connected: bool, _reason: str) -> None:
        if not connected:
            self._last.pop(host_id, None)
