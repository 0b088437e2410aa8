"""How much each host sends unasked, so that a host that floods the bus is sent away before others feel it.

What counts: events, and answers that nobody waits for. Answers to requests are bounded by the requests.
"""

import time
from collections.abc import Callable

WINDOW_S = 1.0
MOST_MESSAGES = 2000
MOST_BYTES = 32 * 1024 * 1024


class _Window:
    __slots__ = ("bytes", "messages", "since", "told")

    def __init__(self) -> None:
        self.since = self.messages = self.bytes = 0.0
        self.told = False


class Meter:
    """Counts by host, in windows of a second."""

    def __init__(
        self,
        on_excess: Callable[[str], None],
        *,
        most_messages: int = MOST_MESSAGES,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """`on_excess(host_id)` is called once in a window, when a host goes above either bound.

        A working agent stays far below: a few events a second, and after a broken line what its outbox kept.
        """
        self._on_excess = on_excess
        self._most_messages, self._most_bytes = most_messages, most_bytes
        self._windows: dict[str, _Window] = {}

    def allows(self, host_id: str, size: int) -> bool:
        """Count one message; whether it is to be handled."""
        now = time.monotonic()
        window = self._windows.get(host_id)
        if window is None:
            window = self._windows[host_id] = _Window()
        if now - window.since > WINDOW_S:
            window.since, window.messages, window.bytes, window.told = now, 0, 0, False
        window.messages += 1
        window.bytes += size
        if window.messages <= self._most_messages and window.bytes <= self._most_bytes:
            return True
        if not window.told:
            window.told = True
            self._on_excess(host_id)
        return False

    def forget(self, host_id: str) -> None:
        """The host is gone."""
        self._windows.pop(host_id, None)
