"""Every guest of every host, as the hosts tell of them: so that a list of all of them asks nobody.

Each host is asked for its guests when it is greeted, and tells every change after that, numbered; where a number
is missing, it is asked again. What a host said last is kept while it is away, in memory and, so that a restart
does not lose it, in the database. The truth is on the hosts: nothing is decided by what stands here.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec
import structlog
from sqlalchemy import Connection

from oms.background import Background, ended
from oms.bus.call import UNREADABLE, Caller, encode
from oms.contract.errors import NotSupported, OmsError
from oms.contract.internal import AskGuests, GuestLine, GuestNews, Hypervisor, Roster
from oms.server.rules.rows import Rows
from oms.server.store import Store, hosts

log = structlog.get_logger("oms.inventory")
AT_MOST_BYTES = 256 * 1024
MOST_GUESTS = 20_000
"""Of one host. What a broken one tells beyond that is not kept."""
AGAIN_SECONDS = 5.0

Key = tuple[Hypervisor, str]
"""Kind and id, unique on a host."""
Lines = Mapping[Key, GuestLine]


class Difference(NamedTuple):
    """What became of a guest of a host: `before` None where it is new, `after` None where it is gone."""

    host_id: str
    before: GuestLine | None
    after: GuestLine | None


class _Known(msgspec.Struct, frozen=True):
    """What a host said last. Never changed, always replaced: whoever looks at one sees one moment."""

    lines: Lines
    stamp: str = ""
    number: int = 0
    told: bool = True
    """In this run of the server, and not only kept from an earlier one."""


_NOTHING = _Known({}, told=False)
_news = msgspec.json.Decoder(GuestNews)
_kept = msgspec.json.Decoder(tuple[GuestLine, ...])


class Inventory:
    """The guests by host id."""

    def __init__(self, store: Store, caller: Caller) -> None:
        self._store, self._caller = store, caller
        self._hosts: dict[str, _Known] = {}
        self._rows = Rows()
        self._stale: set[str] = set()
        """Hosts whose guests have changed since `_rows` were put together."""
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._keeping = Background()
        self._kept: dict[str, Lines] = {}
        """What stands in the database."""
        self._listeners: list[Callable[[Difference], None]] = []
        self._first_heard: list[Callable[[str], None]] = []
        caller.wire.on_event(self._hear)
        caller.wire.on_presence(self._presence)

    async def begin(self) -> None:
        """Remember what hosts that are away said last. Raises the errors of the store."""
        for host_id, text in (await self._store.read(hosts.guests_kept)).items():
            try:
                self._hosts.setdefault(host_id, _Known(_by_key(_kept.decode(text)), told=False))
                self._stale.add(host_id)
            except UNREADABLE:
                log.warning("kept guests not understood", id=host_id)

    def all(self) -> Iterator[tuple[str, Lines]]:
        """Each host's guests by its id, at one moment for each host; may be read in any thread."""
        return ((host_id, known.lines) for host_id, known in dict(self._hosts).items())

    def rows(self) -> Rows:
        """Every guest in the order of BY_NAME. To be asked for in the event loop; the answer is never changed."""
        if self._stale:
            lines = {host_id: self._hosts[host_id].lines.values() for host_id in self._stale & self._hosts.keys()}
            self._rows = self._rows.anew(self._stale, lines)
            self._stale = set()
        return self._rows

    def name(self, host_id: str, kind: Hypervisor, guest: str) -> str:
        """What a guest is called, by its id; empty where none of that host is known by it."""
        line = self._hosts.get(host_id, _NOTHING).lines.get((kind, guest))
        return line.name if line else ""

    def on_change(self, callback: Callable[[Difference], None]) -> None:
        """Call back in the event loop at each difference. What a host told an earlier run of the server, or before
        it was signed, makes none."""
        self._listeners.append(callback)

    def on_first(self, callback: Callable[[str], None]) -> None:
        """Call back with the id of a host that has told all of its guests for the first time in this run."""
        self._first_heard.append(callback)

    def greeted(self, host_id: str) -> None:
        """A host may be asked: ask for all of its guests."""
        if host_id not in self._asking:
            task = self._asking[host_id] = asyncio.create_task(self._ask(host_id))
            task.add_done_callback(lambda _task: self._asking.pop(host_id, None))

    def forget(self, host_id: str) -> None:
        """A host was removed, and its guests with it."""
        self._replace(host_id, _NOTHING)
        self._hosts.pop(host_id, None)
        self._kept.pop(host_id, None)

    async def close(self) -> None:
        """Ask and keep nothing more."""
        await ended(*self._asking.values(), *self._keeping)

    async def _ask(self, host_id: str) -> None:
        while host_id in self._caller.wire.connected_hosts():
            try:
                roster = await self._caller.ask(host_id, AskGuests())
            except NotSupported:
                return  # an older agent
            except OmsError as failure:
                log.info("guests not told yet", id=host_id, failure=failure.message)
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                self._put(host_id, roster)
                return

    def _put(self, host_id: str, roster: Roster) -> None:
        told = _by_key(roster.guests[:MOST_GUESTS])
        before = self._hosts.get(host_id, _NOTHING).lines
        unseen = {key: line for key, line in before.items() if key[0] not in roster.looked}
        self._replace(host_id, _Known({**unseen, **told}, roster.stamp, roster.number))

    def _hear(self, host_id: str, topic: str, payload: bytes) -> None:
        if topic != "guests" or host_id not in self._caller.wire.connected_hosts():
            return
        try:
            news = _news.decode(payload) if len(payload) <= AT_MOST_BYTES else None
        except UNREADABLE:
            news = None
        known = self._hosts.get(host_id, _NOTHING)
        if news is None:
            log.warning("news of guests not understood", id=host_id, bytes=len(payload))
        elif news.stamp != known.stamp or news.number > known.number + 1 or not news.number:
            self.greeted(host_id)  # one was missed
        elif news.number == known.number + 1:
            gone = {(news.kind, key) for key in news.gone}
            lines = {key: line for key, line in known.lines.items() if key not in gone}
            lines |= _by_key(news.now[: max(0, MOST_GUESTS - len(lines))])
            self._replace(host_id, _Known(lines, news.stamp, news.number))

    def _replace(self, host_id: str, now: _Known) -> None:
        before = self._hosts.get(host_id, _NOTHING)
        self._hosts[host_id] = now
        self._stale.add(host_id)
        if not before.told:
            for first in self._first_heard if now.told else ():
                first(host_id)
            return
        if not self._listeners:
            return
        for key in before.lines.keys() | now.lines.keys():
            was, then = before.lines.get(key), now.lines.get(key)
            if was != then:
                for listener in self._listeners:
                    listener(Difference(host_id, was, then))

    def _presence(self, host_id: str, connected: bool, _reason: str) -> None:
        if not connected and (asking := self._asking.get(host_id)):
            asking.cancel()
        if not connected and host_id in self._hosts:
            self._keeping.begin(self._keep(host_id, self._hosts[host_id].lines))

    async def _keep(self, host_id: str, lines: Lines) -> None:
        if self._kept.get(host_id) == lines:
            return  # it came and went, and nothing changed
        text = encode(tuple(lines.values())).decode()

        def write(tx: Connection) -> None:
            hosts.keep_guests(tx, host_id, text)

        try:
            await self._store.write(write)
        except OmsError as failure:
            log.warning("guests not kept", id=host_id, failure=failure.message)
        else:
            self._kept[host_id] = lines


def _by_key(lines: Iterable[GuestLine]) -> dict[Key, GuestLine]:
    return {(line.kind, line.id): line for line in lines}
