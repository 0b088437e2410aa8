"""Whether this host reaches OMS now: over a connection that was not there before the question.

The connection to the bus is dropped and made anew, with the host's certificate; OMS itself decides whether to let
it in, and then greets. That is a round trip through all that a command and its answer need, where an old
connection may stand for minutes on a way that is cut already.
"""

import asyncio
import contextlib
from typing import Protocol

LOOK_SECONDS = 0.5
"""How often a connection that does not come about is hurried along: its own waits grow up to a minute."""


class Wire(Protocol):
    """The connection to the bus, as far as is needed here."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""

    def renew(self) -> None:
        """Connect anew and at once."""


class Reach:
    """Asks whichever connection there is at the moment."""

    def __init__(self) -> None:
        self._wire: Wire | None = None
        self._old = False
        """The connection of before the question is still there."""
        self._greeted = asyncio.Event()

    @property
    def reached(self) -> bool:
        """Whether OMS has said hello on the present connection."""
        return self._greeted.is_set()

    def use(self, wire: Wire | None) -> None:
        """The connection from now on."""
        self._wire = wire
        self.state(False)

    def greeted(self) -> None:
        """OMS has said hello."""
        if not self._old:
            self._greeted.set()

    def state(self, connected: bool) -> None:
        """The connection has come or gone. OMS may greet on a new one in the moment before it counts as there."""
        if not connected:
            self._old = False
            self._greeted.clear()

    async def again(self, seconds: float) -> bool:
        """Drop the connection, and answer whether OMS has greeted on a new one within that time."""
        self._greeted.clear()
        if self._wire is not None:
            self._old = self._wire.connected
            self._wire.renew()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._greeted.is_set():
                    await self._look()
                return True
        return False

    async def _look(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._greeted.wait()
                return
        if self._wire is not None and not self._wire.connected:
            self._wire.renew()
