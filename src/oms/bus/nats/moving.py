"""Who has lost the bus only because a node of it ended, and for how long it is worth waiting until they are back.

A host that leaves by itself says so, and is not waited for. One whose node has ended is about to connect to
another, within an agent's first delay (`LinkTiming.first_delay`), or at once where the node lets its clients go in
turns.
"""

import time

MOVE_S = 8.0
"""An agent's usual first delay, and a moment to connect. Less than a host has to take a job."""

OMS = ""
"""OMS's own connection, among the ids of hosts."""

NODE_ENDED = frozenset({"Server Shutdown", "nats-server shut down", "no longer connected"})
"""Reasons of a host's being gone, the first one nats-server's own word."""


class Moving:
    """By id, until when."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def begins(self, who: str) -> None:
        """They are gone, and were there a moment ago. Told again before they are back, it is no longer."""
        self._until.setdefault(who, time.monotonic() + MOVE_S)

    def is_over(self, who: str) -> None:
        """They are there, or have left by themselves."""
        self._until.pop(who, None)

    def left(self, who: str) -> float:
        """Seconds for which they are worth waiting for; 0 where they are not."""
        until = self._until.get(who)
        return 0.0 if until is None else max(0.0, until - time.monotonic())
