"""Each server's clock, as this host knows it from being greeted: deadlines are told by that clock alone.

The host's own clock may be wrong by hours. What is kept is how far the server's time is ahead of a counter that
never jumps and goes on while the machine sleeps or this process is stopped: an agent that wakes up and finds a
command in its socket knows that it is late.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from oms.bus.call import NOT_GREETED, Request
from oms.contract.errors import HostUnavailable, JobExpired

log = structlog.get_logger("oms.agent")
MOST_SERVERS = 16


def ticks() -> float:
    """Seconds since the machine was started, its sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class _Greeting:
    epoch: int
    said: float
    """The server's time in the greeting."""
    ahead: float
    """Server's time less ticks."""
    valid: bool
    """Heard on the present connection."""


class ServerClocks:
    """The clocks of the servers that have greeted this host."""

    def __init__(self, ticks: Callable[[], float] = ticks) -> None:
        self._ticks = ticks
        self._greetings: dict[str, _Greeting] = {}

    def hear(self, server: str, epoch: int, said: float) -> None:
        """A server says what time it is. Raises JobExpired for a greeting that was overtaken by a newer one."""
        ahead = said - self._ticks()
        known = self._greetings.pop(server, None)
        if known is not None and epoch < known.epoch:
            if said < known.said:
                self._greetings[server] = known
                raise JobExpired(f"This greeting is of an earlier start of the server ({epoch}): ignored.")
            log.warning("the server counts its starts anew; was it restored?", server=server, epoch=epoch)
        elif known is not None and known.valid and epoch == known.epoch:
            # A greeting that lay about before it was read makes the clock slow, never fast: the fastest is right.
            ahead = max(ahead, known.ahead)
        self._greetings[server] = _Greeting(epoch, said, ahead, valid=True)
        while len(self._greetings) > MOST_SERVERS:
            del self._greetings[next(iter(self._greetings))]

    def disconnected(self) -> None:
        """The connection is gone: after the next one, servers greet again before anything else counts."""
        self._greetings = {
            server: _Greeting(known.epoch, known.said, known.ahead, valid=False)
            for server, known in self._greetings.items()
        }

    def now(self, server: str) -> float | None:
        """Seconds since 1970 by a server's clock; None where it has not greeted since this process began."""
        known = self._greetings.get(server)
        return None if known is None else known.ahead + self._ticks()

    def latest(self) -> float | None:
        """The time by the clock of the server that greeted last."""
        return self.now(next(reversed(self._greetings))) if self._greetings else None

    def check(self, request: Request) -> None:
        """Raises HostUnavailable before its server's greeting, JobExpired if it is late or of an earlier start."""
        known = self._greetings.get(request.server)
        if known is None or not known.valid or request.epoch > known.epoch:
            raise HostUnavailable(
                "The host's agent has not been greeted by this start of the server: nothing was done, try again.",
                cause=NOT_GREETED,
            )
        if request.epoch < known.epoch:
            raise JobExpired(
                f"This was sent by an earlier start of the server ({request.epoch}; now it is {known.epoch}):"
                " nothing was done."
            )
        if self.passed(request.server, request.deadline):
            raise JobExpired("This reached the host after its deadline: nothing was done.")

    def passed(self, server: str, deadline: float) -> bool:
        """Whether a deadline of that server is over; 0 is none. False where the server's time is not known."""
        now = self.now(server)
        return bool(deadline) and now is not None and now >= deadline
