"""OMS's end of the wire over NATS.

Two connections: SYS (who may connect, who is connected, cutting off) and BUS (requests and events). Hosts are let
in only when BUS is there, so that an answer that waited for the bus finds us listening.

A request that finds nobody right after its host has connected is tried again: nats-server tells of a connection a
moment before the agent's subscription is there. So a request sent from within `on_presence(host, True)` arrives.
So is one that finds nobody, or no bus, because a node of the bus has ended: it was certainly not delivered.
"""

import asyncio
import contextlib
import inspect
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from oms.background import Background
from oms.bus.nats import subjects
from oms.bus.nats.callout import Callout, Lookup
from oms.bus.nats.client import BUS_ERRORS, BusClient, Credentials, Silence
from oms.bus.nats.control import Control, IsSigned
from oms.bus.nats.lanes import Lanes
from oms.bus.nats.link import SERVER_TIMING, Link, LinkTiming
from oms.bus.nats.meter import Meter
from oms.bus.nats.moving import NODE_ENDED, OMS, Moving
from oms.bus.nats.nkey import Issuer
from oms.bus.nats.requests import AskAgain, Nobody, Requests
from oms.bus.nats.sysapi import Connection, SysApi
from oms.bus.wire import (
    MAX_EVENT_BYTES,
    EventHandler,
    HostAway,
    NoAnswer,
    PresenceHandler,
    ServerWire,
    TellHandler,
    WireDown,
    check_host_id,
    check_size,
    check_verb,
    is_verb,
)

log = structlog.get_logger("oms.bus.nats")

_SETTLING_S = 2.0
_RESYNC_EVERY_S = 60.0
_RESYNC_AGAIN_S = 1.0
_SYS_WAIT_S = 1.0
_SHUN_S = 60.0


async def _nothing() -> None:
    return


async def _told(client: BusClient, subject: str, payload: bytes) -> None:
    """Lost with the connection, if that ends just now."""
    with contextlib.suppress(*BUS_ERRORS):
        await client.publish(subject, payload)


class NatsServerWire(ServerWire):
    """See ServerWire. `start`, and from then on it is connected whenever there is a bus."""

    def __init__(
        self,
        servers: tuple[str, ...],
        *,
        sys: Credentials,
        bus: Credentials,
        issuer: Issuer,
        lookup: Lookup,
        is_signed: IsSigned,
        timing: LinkTiming = SERVER_TIMING,
        answer_grace_s: float = 10.0,
        longest_admission_s: float = 24 * 3600,
        on_hung: Callable[[], Coroutine[Any, Any, None]] = _nothing,
        hung_after_s: float = 5.0,
    ) -> None:
        """`servers` are host:port; `sys` and `bus` hold the certificates with the two users' URIs.

        `lookup` and `is_signed` ask the database. `answer_grace_s`: how long the answers of a host that has gone
        away are still waited for. `on_hung`: called when a nats-server takes connections and says nothing for
        `hung_after_s` more, after the first silence was noticed: whoever supervises it may replace it.
        """
        self._presence_handlers: list[PresenceHandler] = []
        self._event_handlers: list[EventHandler] = []
        self._told_handlers: list[TellHandler] = []
        self._missed_handlers: list[Callable[[], None]] = []
        self._self = secrets.token_hex(8)
        self._grace_s = answer_grace_s
        self._on_hung, self._hung_after_s, self._silent_since = on_hung, hung_after_s, 0.0
        self._meter = Meter(self._flooded)
        self._requests = Requests(self._meter.allows)
        self._lanes = Lanes(self._handle_event)
        self._control = Control(is_signed, self._host_connected, self._host_gone)
        self._connected_at: dict[str, float] = {}
        self._moving = Moving()
        self._here: frozenset[str] | None = None
        """What was answered last, while it holds: it is asked for at everything that any host tells."""
        self._bus = Link(
            servers, bus, name="oms-bus", timing=timing, on_up=self._open_bus, on_change=self._bus_changed
        )
        self._sys = Link(
            servers,
            sys,
            name="oms-sys",
            timing=timing,
            on_up=self._open_sys,
            on_change=self._sys_changed,
            on_failure=self._sys_failed,
        )
        self._callout = Callout(issuer, lookup, longest_s=longest_admission_s, ready=self._bus.connected.wait)
        self._api: SysApi | None = None
        self._resync = asyncio.Event()
        self._ready = asyncio.Event()
        self._tasks = Background()

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._bus.start()
        self._sys.start()
        self._tasks.begin(self._keep_presence())

    async def wait_ready(self) -> None:
        """Return when both connections are there and it is known which hosts are."""
        await self._bus.connected.wait()
        await self._ready.wait()

    async def request(
        self, host_id: str, verb: str, payload: bytes, timeout: float, *, harmless: bool = False
    ) -> bytes:
        """See ServerWire."""
        check_host_id(host_id)
        check_verb(verb)
        check_size(f"request {verb}", payload)
        try:
            async with asyncio.timeout(timeout):
                return await self._ask(host_id, verb, payload, harmless)
        except TimeoutError:
            raise NoAnswer(f"no answer from host {host_id} to {verb} within {timeout:g} s") from None

    async def _ask(self, host_id: str, verb: str, payload: bytes, harmless: bool) -> bytes:
        pause_s = 0.002
        while True:
            try:
                return await self._ask_once(host_id, verb, payload, harmless)
            except WireDown:
                if not self._moving.left(OMS):
                    raise
            except AskAgain:
                log.info("a read is asked again", host_id=host_id, verb=verb)
            except Nobody:
                if not self._may_be_back(host_id):
                    raise HostAway(f"host {host_id} is not connected") from None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.1)

    async def _ask_once(self, host_id: str, verb: str, payload: bytes, harmless: bool) -> bytes:
        client = self._bus.client
        if client is None:
            raise WireDown("OMS has no connection to the bus at the moment")
        try:
            answer = await self._requests.ask(client, host_id, verb, payload, harmless=harmless)
        except WireDown:
            if self._bus.client is client:  # it ended just now, which will be noticed in a moment
                self._moving.begins(OMS)
            raise
        if host_id in self._control.hosts:
            self._moving.is_over(host_id)
        return answer

    def _may_be_back(self, host_id: str) -> bool:
        """Whether a host to which nobody listened just now is worth a second try."""
        if host_id in self._control.hosts:  # nobody has told us that it has gone: its node may have died
            self._moving.begins(host_id)
        settling = time.monotonic() - self._connected_at.get(host_id, -_SETTLING_S) < _SETTLING_S
        return settling or self._moving.left(host_id) > 0

    def awaited(self, host_id: str) -> float:
        """See ServerWire."""
        return self._moving.left(host_id)

    def on_event(self, handler: EventHandler) -> None:
        """See ServerWire. Events of one host come one at a time; what a host sends beyond a bound is dropped."""
        self._event_handlers.append(handler)

    def on_presence(self, handler: PresenceHandler) -> None:
        """See ServerWire. A host that comes back on a new connection is told as gone and there again."""
        self._presence_handlers.append(handler)

    def tell(self, topic: str, payload: bytes) -> None:
        """See ServerWire."""
        check_size(f"notice {topic}", payload, MAX_EVENT_BYTES)
        if (client := self._bus.client) is not None:
            self._tasks.begin(_told(client, subjects.told(self._self, check_verb(topic)), payload))

    def on_told(self, handler: TellHandler) -> None:
        """See ServerWire."""
        self._told_handlers.append(handler)

    def on_missed(self, handler: Callable[[], None]) -> None:
        """See ServerWire."""
        self._missed_handlers.append(handler)

    @property
    def connected(self) -> bool:
        """See ServerWire."""
        return self._bus.client is not None and self._sys.client is not None

    def connected_hosts(self) -> frozenset[str]:
        """See ServerWire. While OMS has no connection to the bus this is what was known last."""
        if self._here is None:
            self._here = frozenset(self._control.hosts)
        return self._here

    async def cut_off(self, host_id: str) -> bool:
        """See ServerWire. False, too, when the bus cannot be asked within a second."""
        check_host_id(host_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SYS_WAIT_S):
                await self._sys.connected.wait()
        confirmed = self._api is not None and await self._control.cut_off(self._api, host_id)
        if confirmed:
            self._requests.give_up_on(host_id, "was cut off")
        return confirmed

    async def close(self) -> None:
        """See ServerWire."""
        await self._tasks.end()
        await self._callout.close()
        await self._control.close()
        await self._lanes.close()
        await asyncio.gather(self._sys.close(), self._bus.close())
        self._moving.is_over(OMS)
        self._requests.close()

    async def _open_bus(self, client: BusClient) -> None:
        await self._requests.subscribe(client)
        await client.listen(subjects.ALL_EVENTS, self._receive_event)
        await client.listen(subjects.ALL_TOLD, self._receive_told)

    async def _open_sys(self, client: BusClient) -> None:
        self._api = SysApi(client, self._control.seen_servers)
        await self._control.subscribe(self._api)
        await self._callout.subscribe(client)

    def _bus_changed(self, connected: bool) -> None:
        if not connected:
            self._moving.begins(OMS)
            return
        self._moving.is_over(OMS)
        self._requests.lost()
        for handler in self._missed_handlers:
            handler()

    def _receive_told(self, subject: str, _reply: str, _headers: bytes, payload: bytes) -> None:
        server, topic = subjects.split_told(subject)
        if server != self._self:
            for handler in self._told_handlers:
                handler(topic, payload)

    def _sys_changed(self, connected: bool) -> None:
        if connected:
            self._silent_since = 0.0
            self._resync.set()
        else:
            self._api = None

    def _sys_failed(self, error: Exception) -> None:
        if not isinstance(error, Silence):
            self._silent_since = 0.0
            return
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._silent_since >= self._hung_after_s:
            self._silent_since = now
            log.error("nats-server takes connections and says nothing: it hangs")
            self._tasks.begin(self._tell_hung())

    async def _tell_hung(self) -> None:
        try:
            await self._on_hung()
        except Exception:
            log.exception("replacing a nats-server that hangs broke")

    async def _keep_presence(self) -> None:
        """Resync after each new SYS connection (asking the database about all hosts), and every minute."""
        anew = True
        while True:
            await self._sys.connected.wait()
            anew = anew or self._resync.is_set()
            self._resync.clear()
            pause_s = _RESYNC_EVERY_S
            try:
                if self._api is not None:
                    await self._control.resync(self._api, anew=anew)
                    self._ready.set()
                    anew = False
            except BUS_ERRORS as error:
                log.warning("could not ask who is connected to the bus", error=str(error))
                pause_s = _RESYNC_AGAIN_S
            except Exception:
                log.exception("asking who is connected to the bus broke")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._resync.wait()

    def _host_connected(self, host_id: str, connection: Connection) -> None:
        self._here = None
        self._connected_at[host_id] = time.monotonic()
        self._moving.is_over(host_id)
        self._requests.rejoin(host_id, connection.instance)
        self._tell(host_id, True, "connect")

    def _host_gone(self, host_id: str, connection: Connection, reason: str) -> None:
        self._here = None
        self._connected_at.pop(host_id, None)
        if reason in NODE_ENDED:
            self._moving.begins(host_id)
        else:
            self._moving.is_over(host_id)
        self._meter.forget(host_id)
        self._requests.strand(host_id, connection.instance, self._grace_s)
        self._tell(host_id, False, reason)

    def _tell(self, host_id: str, connected: bool, reason: str) -> None:
        for handler in self._presence_handlers:
            try:
                handler(host_id, connected, reason)
            except Exception:
                log.exception("a presence handler broke", host_id=host_id)

    def _receive_event(self, subject: str, _reply: str, _headers: bytes, payload: bytes) -> None:
        # The reply subject of an event is whatever the host wrote: never answer it.
        host_id, topic = subjects.split_event(subject)
        allowed = bool(host_id) and self._meter.allows(host_id, len(payload))
        if allowed and is_verb(topic) and len(payload) <= MAX_EVENT_BYTES:
            self._lanes.put(host_id, topic, payload)

    def _flooded(self, host_id: str) -> None:
        log.error("a host floods the bus and is sent away", host_id=host_id, seconds=_SHUN_S)
        self._callout.shun(host_id, _SHUN_S)
        if self._api is not None:
            self._tasks.begin(self._control.send_away(self._api, host_id))

    async def _handle_event(self, host_id: str, topic: str, payload: bytes) -> None:
        for handler in self._event_handlers:
            try:
                done = handler(host_id, topic, payload)
                if inspect.isawaitable(done):
                    await done
            except Exception:
                log.exception("an event handler broke", host_id=host_id, topic=topic)
