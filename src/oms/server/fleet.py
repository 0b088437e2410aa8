"""The hosts that are here now: greeted when they connect, remembered when they go.

A host may be asked once it has been greeted: the greeting sets its clock for deadlines and brings the jobs of
both sides to the same state.
"""

import asyncio
import contextlib
import time

import msgspec
import structlog

from oms.background import ended
from oms.bus.call import UNREADABLE, Caller
from oms.contract.errors import HostUnavailable, OmsError
from oms.contract.internal import Hello, HostFacts, JobState, Welcome
from oms.server.inventory import Inventory
from oms.server.jobs import Jobs
from oms.server.notes import Notes
from oms.server.reads import Reads
from oms.server.store import Store, hosts
from oms.server.store.hosts import Host
from oms.server.turns import Turns

log = structlog.get_logger("oms.fleet")
GREET_SECONDS = 2.0
"""A greeting that took longer is made again: the host's clock is set no better than the greeting was quick."""
GREETED_AT_ONCE, TURN_SECONDS = 32, 0.5
"""After a restart of the bus all hosts come at once. A host that does not answer holds up nobody for longer."""
_facts = msgspec.json.Decoder(HostFacts)
_states = msgspec.json.Decoder(JobState)


class Fleet:
    """Who is connected, and greeted."""

    def __init__(
        self,
        store: Store,
        caller: Caller,
        reads: Reads,
        jobs: Jobs,
        inventory: Inventory,
        *,
        buses: tuple[str, ...] = (),
    ) -> None:
        """`buses`: host:port of the nodes of the bus, which hosts are told of."""
        self._store, self._caller, self._reads, self._jobs = store, caller, reads, jobs
        self._inventory, self._buses = inventory, buses
        self._greeted: set[str] = set()
        self._greetings: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, float] = {}
        """By host, when it was first greeted on its present connection."""
        self._coming: dict[str, asyncio.Future[None]] = {}
        """Hosts that somebody waits for, as they are only changing nodes of the bus."""
        self._names: dict[str, Host] = {}
        self._turns = Turns(GREETED_AT_ONCE, TURN_SECONDS)
        self._notes = Notes(store)
        self._closed = False
        caller.wire.on_presence(self._presence)
        caller.wire.on_event(self._event)
        for host_id in caller.wire.connected_hosts():
            self._presence(host_id, True, "was here before")

    def here(self, host_id: str) -> bool:
        """Whether the host is connected and greeted."""
        return host_id in self._greeted

    async def host(self, name: str) -> Host:
        """The signed host of that name, ready to be asked. Raises HostUnavailable."""
        host = self._names.get(name)
        if host is None or host.id not in self._greeted:
            host = await self._store.read(lambda tx: hosts.by_name(tx, name))
            if host is None:
                raise HostUnavailable(
                    f"No host {name} is signed here: funcservices.list_signed lists those that are.", host=name
                )
            await self._ready(host)
            self._names[name] = host
        return host

    def forget(self, host: Host) -> None:
        """A host was removed: nothing that was known of it holds any more."""
        self._names.pop(host.name, None)
        self._greeted.discard(host.id)
        self._notes.forget(host.id)
        self._reads.changed(host.id)
        self._inventory.forget(host.id)

    async def close(self) -> None:
        """Greet and note nothing more: the store is about to be closed."""
        self._closed = True
        await ended(*self._greetings.values())
        await self._notes.close()

    async def _ready(self, host: Host) -> None:
        while host.id not in self._greeted:
            if not await self._some_news(host.id):
                raise HostUnavailable(
                    f"{host.name} is not connected: see that its agent runs, then try again.", host=host.name
                )

    async def _some_news(self, host_id: str) -> bool:
        """Whether something has changed about a host that is being greeted, or that is about to come back."""
        greeting = self._greetings.get(host_id)
        if greeting is not None and not greeting.done():
            done, _ = await asyncio.wait((greeting,), timeout=GREET_SECONDS)
            return bool(done) or self._has_time(host_id)
        patience = self._caller.wire.awaited(host_id)
        if greeting is not None or not patience:
            return False
        coming = self._coming.setdefault(host_id, asyncio.get_running_loop().create_future())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(coming), patience)
        return coming.done()

    def _has_time(self, host_id: str) -> bool:
        """Whether its greeting waits for its turn, as after a start of this server, or was made only just now."""
        asked = self._asked.get(host_id)
        return asked is None or time.monotonic() < asked + GREET_SECONDS

    def _presence(self, host_id: str, connected: bool, reason: str) -> None:
        if self._closed:
            return
        log.info("host", id=host_id, connected=connected, reason=reason)
        self._greeted.discard(host_id)
        self._asked.pop(host_id, None)
        self._reads.changed(host_id)
        if task := self._greetings.pop(host_id, None):
            task.cancel()
        if connected:
            if coming := self._coming.pop(host_id, None):
                coming.set_result(None)
            self._greetings[host_id] = asyncio.create_task(self._greet(host_id))
        else:
            self._names = {name: host for name, host in self._names.items() if host.id != host_id}
            self._notes.gone(host_id)

    async def _greet(self, host_id: str) -> None:
        welcome = await self._welcome(host_id)
        self._greeted.add(host_id)
        self._inventory.greeted(host_id)
        try:
            await self._jobs.greeted(host_id, welcome.jobs)
        except OmsError as failure:
            log.warning("jobs not settled at the greeting", id=host_id, failure=failure.message)
        await self._notes.told(host_id, welcome.facts, connected=True)

    async def _welcome(self, host_id: str) -> Welcome:
        """Say hello until it was heard quickly enough."""
        delay = 0.05
        while True:
            try:
                if welcome := await self._hello(host_id):
                    return welcome
            except OmsError as failure:
                log.info("not greeted yet", id=host_id, failure=failure.message)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5)

    async def _hello(self, host_id: str) -> Welcome | None:
        async with self._turns:
            self._asked.setdefault(host_id, time.monotonic())
            return await self._said(host_id)

    async def _said(self, host_id: str) -> Welcome | None:
        key = await self._store.read(lambda tx: hosts.ssh_public_key(tx, host_id))
        began = time.monotonic()
        hello = Hello(self._caller.now(), self._caller.server, self._caller.epoch, key, self._buses)
        welcome = await self._caller.ask(host_id, hello)
        return welcome if time.monotonic() - began <= GREET_SECONDS else None

    async def _event(self, host_id: str, topic: str, payload: bytes) -> None:
        """A host tells something: only ever about itself, and nothing is answered to it."""
        try:
            if self._closed:
                return
            if topic == "job":
                await self._jobs.told(host_id, _states.decode(payload))
            elif topic == "facts":
                await self._notes.told(host_id, _facts.decode(payload))
        except UNREADABLE:
            log.warning("event not understood", id=host_id, topic=topic[:64])
        except OmsError as failure:
            log.warning("event not kept", id=host_id, topic=topic[:64], failure=failure.message)
