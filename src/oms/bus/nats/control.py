"""Which hosts are connected, and cutting one off: OMS's hand on the nats-servers.

Presence comes from nats-server's CONNECT and DISCONNECT events, in milliseconds; what is missed (a nats-server
that died, our own connection away) is found by `resync`, which asks every nats-server for its connections.

One host has one connection. When a second comes, the older is cut off: it is either the dead end of a broken line,
or a copy of the machine with its key, and a request must never be run twice. Each new connection is told as one
(gone, then there), because what the host said while it was away is lost.

Each connection is checked against the database once more after it came about. That closes the gap between
"admitted just before the revocation" and "connected just after".
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from oms.background import Background
from oms.bus.nats.client import BUS_ERRORS
from oms.bus.nats.config import LAME_DUCK_S
from oms.bus.nats.sysapi import Connection, Key, SysApi
from oms.bus.wire import is_host_id

log = structlog.get_logger("oms.bus.nats")

IsSigned = Callable[[str], Awaitable[bool]]
"""host id -> whether the database says that it is signed now."""

_CHECKS_AT_ONCE = 64
_ENDS_IN_S = LAME_DUCK_S + 5.0
_CUT_OFF_PAUSES_S = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)


class Control:
    """Presence and cut-off, through whichever SYS connection there is at the moment."""

    def __init__(
        self,
        is_signed: IsSigned,
        on_connected: Callable[[str, Connection], None],
        on_gone: Callable[[str, Connection, str], None],
    ) -> None:
        """`on_connected(host_id, connection)`, `on_gone(host_id, connection, reason)`."""
        self.hosts: dict[str, Connection] = {}
        self._is_signed, self._on_connected, self._on_gone = is_signed, on_connected, on_gone
        self.seen_servers: set[str] = set()
        """For each new SysApi: the nats-servers that were there."""
        self._ending: dict[str, float] = {}
        """The nats-servers that have begun to end, and when."""
        self._checking: set[Key] = set()
        self._gate = asyncio.Semaphore(_CHECKS_AT_ONCE)
        self._tasks = Background()

    async def subscribe(self, api: SysApi) -> None:
        """Hear of hosts from now on; `resync` tells about those that are there already."""
        await api.subscribe(
            lambda user, connection: self._see(api, user, connection),
            lambda user, key, reason: self._gone(user, key, reason or "disconnect"),
            self._server_gone,
            self._server_ends,
        )

    async def resync(self, api: SysApi, *, anew: bool) -> None:
        """Make `hosts` what the nats-servers say. Raises BUS_ERRORS; then nothing has changed.

        `anew`: our connection is new, so we may have missed a revocation (ask the database about the known hosts,
        too) and the question who somebody is (send those who still wait away; they come again, and we hear it).
        """
        before = dict(self.hosts)
        servers, complete = await api.servers()
        listings = [await api.connections(server) for server in servers]
        listed = [pair for listing in listings for pair in listing.hosts]
        live = {(host, seen.key) for host, seen in listed}
        if anew:
            await asyncio.gather(*(self._kick(api, one.key) for listing in listings for one in listing.undecided))
        for host, known in before.items():
            certain = complete or known.server_id in servers
            if certain and not self._is_ending(known.server_id) and (host, known.key) not in live:
                self._gone(host, known.key, "no longer connected")
        for host, seen in listed:
            self._see(api, host, seen, again=anew)

    async def cut_off(self, api: SysApi, host_id: str) -> bool:
        """End every connection of the host; True when all nats-servers say that none is left."""
        try:
            known = self.hosts.get(host_id)
            if known is not None:
                await api.kick(known.key)
            for pause_s in _CUT_OFF_PAUSES_S:
                await asyncio.sleep(pause_s)
                servers, complete = await api.servers()
                left = [seen for server in servers for _, seen in (await api.connections(server, host_id)).hosts]
                if not left and complete:
                    self._forget(host_id)
                    return True
                await asyncio.gather(*(api.kick(seen.key) for seen in left))
        except BUS_ERRORS as error:
            log.warning("cutting a host off failed", host_id=host_id, error=str(error))
        return False

    async def send_away(self, api: SysApi, host_id: str) -> None:
        """End the connection of a host that is signed, because of how it behaves."""
        known = self.hosts.get(host_id)
        if known is not None:
            await self._kick(api, known.key)

    async def close(self) -> None:
        """Drop what is in hand."""
        await self._tasks.end()

    def _see(self, api: SysApi, host: str, connection: Connection, *, again: bool = False) -> None:
        """A connection is there: check it, unless that is done or being done."""
        known = self.hosts.get(host)
        is_known = known is not None and known.key == connection.key
        if not is_host_id(host) or connection.key in self._checking or (is_known and not again):
            return
        self._checking.add(connection.key)
        self._tasks.begin(self._check(api, host, connection))

    async def _check(self, api: SysApi, host: str, connection: Connection) -> None:
        try:
            async with self._gate:
                signed = await self._is_signed(host)
        except Exception:  # unknown for now; the next resync asks again
            log.exception("could not ask whether a connected host is signed", host_id=host)
            self._checking.discard(connection.key)
            return
        if connection.key not in self._checking:
            return  # gone meanwhile
        self._checking.discard(connection.key)
        if signed:
            self._admit(api, host, connection)
        else:
            log.warning("a revoked host was connected", host_id=host, address=connection.address)
            await self._kick(api, connection.key)

    def _admit(self, api: SysApi, host: str, connection: Connection) -> None:
        known = self.hosts.get(host)
        if known is not None:
            if known.key == connection.key:
                return
            if known.instance != connection.instance:
                addresses = [known.address, connection.address]
                log.warning("two agents with one certificate", host_id=host, addresses=addresses)
            if known.is_newer_than(connection):
                self._tasks.begin(self._kick(api, connection.key))
                return
            self._tasks.begin(self._kick(api, known.key))
            self._gone(host, known.key, "connected anew")
        self.hosts[host] = connection
        self._on_connected(host, connection)

    async def _kick(self, api: SysApi, key: Key) -> None:
        try:
            await api.kick(key)
        except BUS_ERRORS as error:  # its nats-server is gone and it with it, or the next resync will see it
            log.warning("a connection could not be ended", server_id=key[0], cid=key[1], error=str(error))

    def _gone(self, host: str, key: Key, reason: str) -> None:
        self._checking.discard(key)
        known = self.hosts.get(host)
        if known is not None and known.key == key:
            del self.hosts[host]
            self._on_gone(host, known, reason)

    def _forget(self, host: str) -> None:
        known = self.hosts.get(host)
        if known is not None:
            self._gone(host, known.key, "cut off")

    def _server_ends(self, server_id: str) -> None:
        self._ending[server_id] = time.monotonic()

    def _is_ending(self, server_id: str) -> bool:
        """Whether it lets its clients go one after the other: those that are left can be asked, but not listed."""
        return time.monotonic() < self._ending.get(server_id, -_ENDS_IN_S) + _ENDS_IN_S

    def _server_gone(self, server_id: str) -> None:
        self._ending.pop(server_id, None)
        for host, known in list(self.hosts.items()):
            if known.server_id == server_id:
                self._gone(host, known.key, "nats-server shut down")
