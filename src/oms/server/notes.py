"""What is written down of hosts as they are heard of: hundreds at once when all of them come back.

That one has come, has gone, or is other than before is written, and told as an event. Most of what hosts tell is a
sign of life: when each was seen last is gathered, and written for all of them together.
"""

import asyncio
import functools
from collections.abc import Callable

import msgspec
import structlog
from sqlalchemy import Connection

from oms.background import Background
from oms.contract.errors import OmsError
from oms.contract.event.fleet import HostChange, HostChanged, HostConnected, HostGone
from oms.contract.event.shape import NoData
from oms.contract.internal import HostFacts
from oms.server.rules.hosttype import automatic_tags
from oms.server.store import Store, events, hosts, now

log = structlog.get_logger("oms.fleet")
GATHER_SECONDS = 0.2
FACTS_AT_MOST_BYTES = 8192


class Notes:
    """Whatever could not be written is told again soon."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[str, float] = {}
        self._told: dict[str, HostFacts] = {}
        """What stands in the database, as far as this process wrote it there."""
        self._gathering = False
        self._tasks = Background()

    def gone(self, host_id: str) -> None:
        """A host's agent is away: it was heard of now, for the last time."""
        self._tasks.begin(self._write(functools.partial(_gone, host_id=host_id)))

    async def told(self, host_id: str, facts: HostFacts, *, connected: bool = False) -> None:
        """A host said this of itself; `connected`: it was greeted just now."""
        news = self._told.get(host_id) != facts
        if not news and not connected:
            self._alive(host_id)
            return
        text = msgspec.json.encode(facts).decode()
        if len(text) > FACTS_AT_MOST_BYTES:
            log.warning("facts too long to be kept", id=host_id, bytes=len(text))
            return

        def note(tx: Connection) -> None:
            if (host := hosts.by_id(tx, host_id)) is None:
                return
            hosts.seen(tx, {host_id: now()})
            if news:
                hosts.say(tx, host_id, text)
                hosts.pin_ssh(tx, host_id, facts.ssh_host_keys)
                hosts.put_tags(tx, host_id, 2, automatic_tags(facts))
            if connected:
                events.tell(tx, HostConnected, NoData(), host=host.name)
            if text != host.facts:
                events.tell(tx, HostChanged, HostChange(_differences(hosts.facts_of(host), facts)), host=host.name)

        if await self._write(note):
            self._told[host_id] = facts

    def forget(self, host_id: str) -> None:
        """A host was removed."""
        self._seen.pop(host_id, None)
        self._told.pop(host_id, None)

    async def close(self) -> None:
        """Write nothing more."""
        await self._tasks.end()

    def _alive(self, host_id: str) -> None:
        self._seen[host_id] = now()
        if not self._gathering:
            self._gathering = True
            self._tasks.begin(self._gathered())

    async def _gathered(self) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        self._gathering = False
        seen, self._seen = self._seen, {}
        await self._write(lambda tx: hosts.seen(tx, seen))

    async def _write(self, change: Callable[[Connection], None]) -> bool:
        try:
            await self._store.write(change)
        except OmsError as failure:
            log.warning("host not noted", failure=failure.message)
            return False
        return True


def _gone(tx: Connection, host_id: str) -> None:
    if (host := hosts.by_id(tx, host_id)) is not None:
        hosts.seen(tx, {host_id: now()})
        events.tell(tx, HostGone, NoData(), host=host.name)


def _differences(before: HostFacts, now: HostFacts) -> list[str]:
    """The names of the facts that are others."""
    return [name for name in HostFacts.__struct_fields__ if getattr(before, name) != getattr(now, name)]
