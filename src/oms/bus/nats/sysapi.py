"""What nats-servers tell OMS, and what they do when asked, over the SYS account: typed, and nothing more.

Works with one nats-server and with a cluster: events and the roll call reach every one of them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import nats.errors

from oms.bus.nats.client import BusClient
from oms.bus.nats.config import BUS_ACCOUNT
from oms.bus.wire import is_host_id

_CONNECT = f"$SYS.ACCOUNT.{BUS_ACCOUNT}.CONNECT"
_DISCONNECT = f"$SYS.ACCOUNT.{BUS_ACCOUNT}.DISCONNECT"
_SHUTDOWN = "$SYS.SERVER.*.SHUTDOWN"
_ENDING = "$SYS.SERVER.*.LAMEDUCK"
_ROLL_CALL = "$SYS.REQ.SERVER.PING"
_ROLL_CALL_S = 0.5
_ASK_S = 10.0  # 10,000 connections are listed in a quarter of a second
_KICK_S = 2.0
_PAGE = 4096  # connections; each page sorts all of them anew in nats-server

_DECISION = timedelta(milliseconds=10)

Key = tuple[str, int]
"""(id of the nats-server, number of the connection there)."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection of a host, as nats-server knows it."""

    server_id: str
    cid: int
    started: datetime
    address: str
    instance: str
    """What the agent calls itself: new with every start of an agent. Believe it only about the host itself."""

    @property
    def key(self) -> Key:
        """What names it among all."""
        return (self.server_id, self.cid)

    def is_newer_than(self, other: "Connection") -> bool:
        """Whether the host made this connection after the other one."""
        return (self.started, self.cid) > (other.started, other.cid)


class Listing(NamedTuple):
    """What a nats-server says about its connections."""

    hosts: list[tuple[str, Connection]]
    """(host id, connection)."""
    undecided: list[Connection]
    """Those that wait for somebody to say who they are, longer than it takes."""


class _ServerId(msgspec.Struct):
    id: str


class _EventClient(msgspec.Struct):
    id: int
    start: datetime
    user: str = ""
    host: str = ""
    name: str = ""


class _Event(msgspec.Struct):
    server: _ServerId
    client: _EventClient
    reason: str = ""


class _Listed(msgspec.Struct):
    cid: int
    start: datetime
    authorized_user: str = ""
    ip: str = ""
    name: str = ""


class _Connz(msgspec.Struct):
    now: datetime
    total: int = 0
    connections: list[_Listed] = []


class _ConnzAnswer(msgspec.Struct):
    data: _Connz


class _Statsz(msgspec.Struct):
    active_servers: int = 1


class _Present(msgspec.Struct):
    server: _ServerId
    statsz: _Statsz


_event = msgspec.json.Decoder(_Event)
_connz = msgspec.json.Decoder(_ConnzAnswer)
_present = msgspec.json.Decoder(_Present)


class _RollCall:
    """The nats-servers that have answered so far; `all_here` when they are as many as they say they are."""

    def __init__(self) -> None:
        self.servers: set[str] = set()
        self.expected = 1
        self.all_here = asyncio.Event()

    def add(self, answer: _Present) -> None:
        """One more answer."""
        self.servers.add(answer.server.id)
        self.expected = max(self.expected, answer.statsz.active_servers)
        if len(self.servers) >= self.expected:
            self.all_here.set()


class SysApi:
    """The SYS account as seen through one connection; it ends with that connection."""

    def __init__(self, client: BusClient, seen: set[str]) -> None:
        """`seen` are the nats-servers that an earlier connection has seen; it is kept current."""
        self._client = client
        self._seen = seen
        self._inbox = client.new_inbox()
        self._roll_calls: set[_RollCall] = set()

    async def subscribe(
        self,
        on_connect: Callable[[str, Connection], None],
        on_disconnect: Callable[[str, Key, str], None],
        on_shutdown: Callable[[str], None],
        on_ending: Callable[[str], None],
    ) -> None:
        """Call `on_connect(user, connection)`, `on_disconnect(user, key, reason)`, `on_shutdown(server_id)`, and
        `on_ending(server_id)` for one that begins to let its clients go, and answers nothing from then on."""

        def connect(_subject: str, _reply: str, _headers: bytes, payload: bytes) -> None:
            event = _event.decode(payload)
            who = event.client
            on_connect(who.user, Connection(event.server.id, who.id, who.start, who.host, who.name))

        def disconnect(_subject: str, _reply: str, _headers: bytes, payload: bytes) -> None:
            event = _event.decode(payload)
            on_disconnect(event.client.user, (event.server.id, event.client.id), event.reason)

        def shutdown(subject: str, _reply: str, _headers: bytes, _payload: bytes) -> None:
            on_shutdown(subject.split(".")[2])

        def ending(subject: str, _reply: str, _headers: bytes, _payload: bytes) -> None:
            on_ending(subject.split(".")[2])

        await self._client.listen(_CONNECT, connect)
        await self._client.listen(_DISCONNECT, disconnect)
        await self._client.listen(_SHUTDOWN, shutdown)
        await self._client.listen(_ENDING, ending)
        await self._client.listen(self._inbox, self._count)

    def _count(self, _subject: str, _reply: str, _headers: bytes, payload: bytes) -> None:
        answer = _present.decode(payload)
        for roll_call in self._roll_calls:
            roll_call.add(answer)

    async def servers(self) -> tuple[set[str], bool]:
        """The ids of the nats-servers, and whether these are certainly all. Raises BUS_ERRORS."""
        roll_call = _RollCall()
        self._roll_calls.add(roll_call)
        try:
            await self._client.publish(_ROLL_CALL, b"{}", reply=self._inbox)
            async with asyncio.timeout(_ROLL_CALL_S):
                await roll_call.all_here.wait()
        except TimeoutError:
            if not roll_call.servers:
                raise
        finally:
            self._roll_calls.discard(roll_call)
        if roll_call.all_here.is_set():
            self._seen.clear()
            self._seen.update(roll_call.servers)
            return roll_call.servers, True
        # nats-servers go on counting one that was killed for minutes; but that nobody listens there is certain.
        dead = [server for server in self._seen - roll_call.servers if await self._is_dead(server)]
        self._seen.update(roll_call.servers)
        return roll_call.servers, len(roll_call.servers) + len(dead) >= roll_call.expected

    async def _is_dead(self, server_id: str) -> bool:
        try:
            await self._client.request(f"$SYS.REQ.SERVER.{server_id}.PING", b"{}", timeout=_ROLL_CALL_S)
        except nats.errors.NoRespondersError:
            return True
        except TimeoutError:
            return False
        return False

    async def connections(self, server_id: str, host_id: str = "") -> Listing:
        """The connections of all hosts on one nats-server, or of one host. Raises BUS_ERRORS."""
        wanted = {"auth": True, "limit": _PAGE} | ({"user": host_id} if host_id else {})
        listing = Listing([], [])
        offset = 0
        while True:
            ask = msgspec.json.encode({**wanted, "offset": offset})
            answer = await self._client.request(f"$SYS.REQ.SERVER.{server_id}.CONNZ", ask, timeout=_ASK_S)
            page = _connz.decode(answer.data).data
            for seen in page.connections:
                connection = Connection(server_id, seen.cid, seen.start, seen.ip, seen.name)
                if is_host_id(seen.authorized_user):
                    listing.hosts.append((seen.authorized_user, connection))
                elif not seen.authorized_user and page.now - seen.start > _DECISION:
                    listing.undecided.append(connection)
            offset += _PAGE
            if host_id or offset >= page.total:  # `total` counts everybody even when one host was asked for
                return listing

    async def kick(self, key: Key) -> None:
        """End one connection; nothing happens when it is gone already. Raises BUS_ERRORS.

        A request, because nats-server silently ignores a KICK that wants no reply.
        """
        server_id, cid = key
        ask = msgspec.json.encode({"cid": cid})
        await self._client.request(f"$SYS.REQ.SERVER.{server_id}.KICK", ask, timeout=_KICK_S)
