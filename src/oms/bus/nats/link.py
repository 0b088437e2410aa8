"""One connection to the bus that is always being restored: made, watched, given up, made again, for ever.

A `Link` owns the client of the moment. A round trip at intervals finds a nats-server that hangs; whatever the end
of a connection was, the next is a new client with freshly read certificates. Delays are random ("full jitter"), so
that thousands of hosts that lost one server do not come back in one moment.
"""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import nats.errors
import structlog

from oms.bus.nats.client import BUS_ERRORS, BusClient, Credentials, LinkFailed, Silence, connect, discard, named
from oms.bus.wire import Refused

log = structlog.get_logger("oms.bus.nats")

_STEADY_S = 10.0
"""A connection that held this long was a good one: the delays begin anew."""

_LET_GO = "this node of the bus ends"


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkTiming:
    """All in seconds."""

    first_delay: float = 5.0
    """A lost connection is restored after 0 to this long; then the bound doubles up to `longest_delay`."""
    longest_delay: float = 60.0
    connect_timeout: float = 15.0
    round_trip_every: float = 10.0
    round_trip_timeout: float = 10.0


AGENT_TIMING = LinkTiming()
"""For hosts by the thousand."""

SERVER_TIMING = LinkTiming(
    first_delay=0.05, longest_delay=0.1, connect_timeout=5.0, round_trip_every=3.0, round_trip_timeout=5.0
)
"""OMS must be back before its hosts: it is OMS that lets them in. A hung nats-server is noticed within 8 s."""


class Link:
    """A connection that comes back. `client` is None while there is none."""

    def __init__(
        self,
        servers: tuple[str, ...],
        credentials: Credentials,
        *,
        name: str,
        timing: LinkTiming,
        on_up: Callable[[BusClient], Awaitable[None]],
        on_change: Callable[[bool], None] = lambda _connected: None,
        on_alive: Callable[[], None] = lambda: None,
        on_failure: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        """`on_up` subscribes; only when nats-server has taken that in does the link count as connected.

        `on_change` hears of coming and going, `on_alive` of each round trip: nats-server has everything that was
        sent before it. `on_failure` hears why there is no connection: LinkFailed, Silence or Refused.
        """
        if not servers:
            raise ValueError("no address of a nats-server was given: one host:port at least is needed")
        self.client: BusClient | None = None
        self.connected = asyncio.Event()
        self._servers, self._server = itertools.cycle(servers), ""
        self._credentials = credentials
        self._name = name
        self._timing = timing
        self._on_up, self._on_change = on_up, on_change
        self._on_alive, self._on_failure = on_alive, on_failure
        self._bound = timing.first_delay
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._task = asyncio.create_task(self._run(), name=f"link {self._name}")

    def renew(self) -> None:
        """Drop the connection if there is one and connect now: there is a new certificate, or a new decision."""
        self._bound = self._timing.first_delay
        self._hurry.set()
        if self.client is not None:
            self.client.lost.set()

    def use(self, servers: tuple[str, ...]) -> None:
        """The bus is at these from the next connection on; the present one is tried last."""
        self._servers = itertools.cycle(sorted(servers, key=lambda server: server == self._server))

    async def close(self) -> None:
        """Leave for good."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        said = ""
        while True:
            self._hurry.clear()
            lasted = 0.0
            try:
                self._server = next(self._servers)
                lasted, reason = await self._hold(self._server)
            except (LinkFailed, Refused) as error:
                reason = str(error)
                self._on_failure(error)
            except Exception as bug:
                reason = f"a defect: {bug!r}"
                log.exception("the connection to the bus broke", name=self._name)
            if reason != said:
                log.warning("no connection to the bus", name=self._name, reason=reason)
            said = "" if lasted else reason
            await self._pause(lasted, reason)

    async def _pause(self, lasted: float, reason: str) -> None:
        if lasted > _STEADY_S:
            self._bound = self._timing.first_delay
        # The end of an expired token was jittered when it was given, and a node that lets its clients go does that
        # in turns: come back at once.
        in_turn = lasted > 1 and ("authentication expired" in reason or reason == _LET_GO)
        delay = 0.0 if in_turn else random.uniform(0, self._bound)  # noqa: S311 - jitter
        self._bound = min(self._bound * 2, self._timing.longest_delay)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._hurry.wait()

    async def _hold(self, server: str) -> tuple[float, str]:
        """Connect and stay so; (seconds it lasted, why it ended). Raises LinkFailed or Refused."""
        timeout = self._timing.connect_timeout
        client = await connect(server, self._credentials, name=self._name, timeout=timeout)
        try:
            await self._ready(client, server)
            since = time.monotonic()
            log.info("connected to the bus", name=self._name, server=server)
            reason = await self._watch(client)
            return time.monotonic() - since, reason
        finally:
            self._set_down()
            await discard(client)

    async def _ready(self, client: BusClient, server: str) -> None:
        try:
            await self._on_up(client)
            await client.barrier(self._timing.round_trip_timeout)
        except BUS_ERRORS as error:
            raise named(error, server) from error
        self.client = client
        self.connected.set()
        self._on_change(True)

    def _set_down(self) -> None:
        if self.client is not None:
            self.client = None
            self.connected.clear()
            self._on_change(False)

    async def _watch(self, client: BusClient) -> str:
        """Return why the connection is over."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timing.round_trip_every):
                    await client.lost.wait()
            if self._hurry.is_set():
                return "renewed on request"
            if client.lost.is_set():
                return _LET_GO if client.is_let_go else str(client.last_error or "connection lost")
            try:
                await client.barrier(self._timing.round_trip_timeout)
            except TimeoutError:
                self._on_failure(Silence("nats-server hangs"))
                return "nats-server hangs"
            except (nats.errors.Error, OSError) as error:
                return str(error)
            self._on_alive()
