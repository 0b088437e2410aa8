"""The composition root: from settings to an agent that serves its host, until it is told to end."""

import asyncio
import contextlib
import fcntl
import functools
import random
import signal
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from oms import durable, systemd
from oms.agent import dispatch, placing
from oms.agent.config import AgentConfig
from oms.agent.context import Host, Job, Offer, Storage
from oms.agent.enrol import Enrolment, wall_clock
from oms.agent.errands import Errands
from oms.agent.events import Events
from oms.agent.facts import Facts
from oms.agent.host import authorized_keys
from oms.agent.host.authorized_keys import KeyRefused
from oms.agent.identity import Identity, Place
from oms.agent.images import catalogue
from oms.agent.jobs import Jobs
from oms.agent.journal import Journal, JournalError
from oms.agent.leases import Leases
from oms.agent.moving import sockets
from oms.agent.netinterface import applying
from oms.agent.passage.matchmaker import OmsMatchmaker
from oms.agent.passage.passages import Passages
from oms.agent.premises import Guests, Premises, ThisMachine
from oms.agent.reach import Reach
from oms.agent.server_clocks import ServerClocks
from oms.agent.transfer import sending
from oms.agent.transfer.relay import Relay
from oms.background import Background, ended
from oms.bus.call import defect
from oms.bus.nats.agent import NatsAgentWire
from oms.bus.nats.client import Credentials
from oms.bus.nats.link import AGENT_TIMING, LinkTiming
from oms.bus.pinning import NotOurs
from oms.bus.wire import RequestHandler
from oms.contract.internal import Hello

log = structlog.get_logger("oms.agent")
GRACE_SECONDS = 5.0
"""For what runs to end; the rest is taken up by the next start."""
REFUSED_AGAIN_SECONDS = 5.0
MOST_PATIENT = 12
"""So many times that wait is the longest, after the bus has refused this host again and again."""
LOST_DELAYS = 6
"""So many first waits after a lost connection, at most, go by before OMS is asked where its bus is."""


class CannotRun(Exception):
    """Why this agent does not start, and what to do."""


async def run(config: AgentConfig) -> None:
    """Serve until SIGTERM or SIGINT. Raises CannotRun."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    with _said():
        durable.own_directory(config.home)
        for directory in Storage.below(config.storage, config.images).all():
            durable.own_directory(directory, 0o711)
        with _alone(config.home):
            await Agent(config).live(told)


async def enrol(config: AgentConfig) -> Place:
    """Ask to be let in, and wait; for setting a host up before its agent runs. Raises CannotRun."""
    with _said():
        durable.own_directory(config.home)
        with _alone(config.home):
            facts = Facts(None, lambda _facts: None, ssh=ThisMachine(config).ssh())
            return await Enrolment(config, Identity(config.home), facts.now).enter()


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """Turn what the host or OMS is to blame for into words."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise CannotRun(f"{where}{error.strerror or error}. Run as root, or give another --data.") from error
    except (NotOurs, JournalError) as error:
        raise CannotRun(str(error)) from error


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotRun(f"An agent runs in {home} already: end that one, or give another --data.") from None
        yield


class Agent:
    """What lives as long as the process: the hypervisor, the journal, the jobs. The connection comes and goes."""

    def __init__(self, config: AgentConfig, premises: Premises | None = None) -> None:
        """`premises`: what it works on, where that is not this machine."""
        self._config = config
        self._premises = premises or ThisMachine(config)
        self._identity = Identity(config.home)
        self._clocks = ServerClocks()
        self._events = Events()
        self._reach = Reach()
        self._jobs: Jobs | None = None
        self._bus: NatsAgentWire | None = None
        self._place: Place | None = None
        self._keys = asyncio.Lock()
        self._beside = Background()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def reached(self) -> bool:
        """Whether OMS has said hello to it on its present connection."""
        return self._reach.reached

    async def live(self, told: asyncio.Event) -> None:
        """Serve until told to end. Raises CannotRun after a defect, and what `serve` raises."""
        serving, ending = asyncio.create_task(self.serve()), asyncio.create_task(told.wait())
        try:
            await asyncio.wait((serving, ending, self._broken), return_when=asyncio.FIRST_COMPLETED)
            systemd.ending()
            if self._jobs is not None:
                await self._jobs.stop(GRACE_SECONDS if told.is_set() else 0)
                await self._events.flush()
        finally:
            await ended(serving, ending)
        if self._broken.done():
            self._broken.result()
        if not serving.cancelled():
            serving.result()

    async def serve(self) -> None:
        """Everything, for ever."""
        async with contextlib.AsyncExitStack() as parts:
            journal = await self._premises.journal(parts)
            if (network := self._premises.network(self._reach.again)) is not None:
                await applying.recover(network, await journal.unfinished())
            guests = await self._premises.guests(parts)
            facts = self._premises.facts(guests, self._events)
            self._events.on_job_ended(facts.look)
            serve = await self._prepared(parts, journal, facts, guests)
            parts.push_async_callback(self._beside.end)
            self._while_in(parts, self._events.run(), facts.run(), systemd.pulse())
            enrolment = Enrolment(self._config, self._identity, facts.now, self._now)
            while True:
                if await self._member(enrolment, serve):
                    await asyncio.sleep(self._config.rejoin_after)

    async def _prepared(
        self, parts: contextlib.AsyncExitStack, journal: Journal, facts: Facts, guests: Guests
    ) -> RequestHandler:
        """The jobs, those of the last run taken up again, and the function that answers requests."""
        machines, containers = guests
        handlers, lvm = self._premises.handlers, self._premises.lvm()
        storage, leases = Storage.below(self._config.storage, self._config.images), Leases()
        statistics = self._premises.statistics(facts, self._events)
        self._while_in(parts, statistics.sampler.run())
        errands = Errands()
        parts.push_async_callback(errands.close)
        relay = Relay(self._config, self._identity, self._now)
        parts.callback(relay.close)
        passages = Passages(self._config.passages, OmsMatchmaker(relay))

        def surroundings(job: Job) -> Host:
            return Host(
                storage=storage,
                machines=machines,
                containers=containers,
                job=job,
                leases=leases,
                errands=errands,
                offer=self._offer(),
                lvm=lvm,
                relay=relay,
                fetching=self._config.fetching,
                passages=passages,
                statistics=statistics,
                network=self._premises.network(self._reach.again),
            )

        self._jobs = Jobs(
            journal, handlers, surroundings, clocks=self._clocks, events=self._events, lane=facts.target
        )
        parts.push_async_callback(self._jobs.stop, 0)
        open_jobs = {entry.id for entry, _ in await journal.unfinished()}
        await self._sweep(storage, open_jobs)
        if containers is not None:
            await containers.sweep(open_jobs)
        await self._jobs.recover()
        return self._premises.between(
            dispatch.build(
                handlers,
                self._jobs,
                surroundings=surroundings,
                clocks=self._clocks,
                facts=facts.now,
                on_greeted=self._greeted,
                guests=facts.roster.whole,
                send=functools.partial(sending.send, relay, storage),
            )
        )

    def _offer(self) -> Offer:
        return Offer(
            bridge=self._config.bridge,
            disk_format=self._config.image_format,
            block_devices=self._config.block_devices,
            container_bridge=self._config.container_bridge,
            container_stop_seconds=self._config.container_stop_seconds,
        )

    @staticmethod
    async def _sweep(storage: Storage, open_jobs: set[str]) -> None:
        """What was half made when the last run broke off, and no job will go on with, is in nobody's way twice."""
        try:
            swept = await asyncio.to_thread(placing.sweep, storage.all(), open_jobs)
            await asyncio.to_thread(catalogue.forget_missing, storage.images)
            await asyncio.to_thread(sockets.sweep, storage.sockets)
        except OSError as failure:
            log.warning("staging was not swept", why=str(failure))
        else:
            if swept:
                log.info("staging swept", paths=swept)

    def _while_in(self, parts: contextlib.AsyncExitStack, *works: Coroutine[Any, Any, None]) -> None:
        """Have this done until `parts` end. Should it break, so does the agent: half of one is worse than none."""
        tasks = [asyncio.create_task(work) for work in works]
        for task in tasks:
            task.add_done_callback(self._look_at)
            parts.push_async_callback(ended, task)

    def _look_at(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (bug := task.exception()) is not None and not self._broken.done():
            self._broken.set_exception(CannotRun(defect(bug, "agent").message))

    def _now(self) -> datetime:
        """OMS's time where OMS has told it, else the host's."""
        seconds = self._clocks.latest()
        return wall_clock() if seconds is None else datetime.fromtimestamp(seconds, UTC)

    async def _member(self, enrolment: Enrolment, serve: RequestHandler) -> bool:
        """Get in, and serve until thrown out (True), or until OMS has its bus elsewhere."""
        place = self._place = await enrolment.enter()
        systemd.ready(f"looks for OMS at {self._config.server}")
        over, refused = asyncio.Event(), asyncio.Event()
        wire = self._wire(place, lambda _refusal: refused.set())
        self._bus = wire
        wire.serve(serve)
        wire.on_state(lambda connected: None if connected else self._clocks.disconnected())
        wire.on_state(self._reach.state)
        wire.on_state(self._told)
        self._events.use(wire)
        async with contextlib.AsyncExitStack() as parts:
            parts.push_async_callback(wire.close)
            parts.callback(self._events.use, None)
            self._reach.use(wire)
            parts.callback(self._reach.use, None)
            wire.start()
            self._while_in(
                parts,
                enrolment.renew_in_time(wire.renew, over.set),
                self._look_into(refused, over, enrolment, wire),
            )
            await over.wait()
        now = self._identity.place()
        if now is not None and now != self._place:
            log.info("OMS has its bus elsewhere now", bus=now.bus)
            return False
        log.warning("this host is no longer signed at OMS", asks_again_in_seconds=self._config.rejoin_after)
        await self._forget(place)
        return True

    async def _look_into(
        self, refused: asyncio.Event, over: asyncio.Event, enrolment: Enrolment, wire: NatsAgentWire
    ) -> None:
        """The bus says no to a host that was removed, and to any while OMS is away; it may also be elsewhere now:
        ask OMS which it is."""
        at_first = wait = min(REFUSED_AGAIN_SECONDS, self._config.reconnect_delay)
        while True:
            await self._in_doubt(refused, wire)
            if await enrolment.thrown_out() or self._identity.place() != self._place:
                over.set()
                return
            await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - jitter
            # An OMS that has too much to do would have more by being asked the sooner the less it answers.
            wait = at_first if wire.connected else min(wait * 2, at_first * MOST_PATIENT)
            if refused.is_set():
                refused.clear()
                wire.renew()

    async def _in_doubt(self, refused: asyncio.Event, wire: NatsAgentWire) -> None:
        """Return when the bus says no, or has been away for longer than a restart, which all hosts meet."""
        wait = self._config.reconnect_delay * LOST_DELAYS
        while not refused.is_set():
            try:
                async with asyncio.timeout(wait * random.uniform(0.5, 1)):  # noqa: S311 - jitter
                    await refused.wait()
            except TimeoutError:
                if not wire.connected:
                    return

    def _wire(self, place: Place, on_refused: Any) -> NatsAgentWire:
        delay = self._config.reconnect_delay
        return NatsAgentWire(
            place.host_id,
            _spread(place.buses),
            Credentials(
                ca_file=self._identity.server_ca,
                cert_file=self._identity.certificate,
                key_file=self._identity.signed_key,
            ),
            timing=LinkTiming(
                first_delay=delay, longest_delay=min(AGENT_TIMING.longest_delay, max(delay * 12, 1.0))
            ),
            on_refused=on_refused,
        )

    def _told(self, connected: bool) -> None:
        systemd.status(f"{'is connected to' if connected else 'looks for'} OMS at {self._config.server}")

    def _greeted(self, hello: Hello) -> None:
        self._reach.greeted()
        if hello.authorized_key and self._config.authorized_keys:
            self._beside.begin(self._install(hello.authorized_key))
        if hello.buses and self._place is not None and set(hello.buses) != set(self._place.buses):
            self._find_at(hello.buses)

    def _find_at(self, buses: tuple[str, ...]) -> None:
        """Know all nodes of the bus, so that any may go: also those that came since this host was let in."""
        log.info("the bus has other nodes now", buses=buses)
        try:
            self._place = self._identity.found_at(buses)
        except OSError as failure:
            log.warning("the nodes of the bus were not written down", why=failure.strerror)
        if self._bus is not None:
            self._bus.use(_spread(buses))

    async def _install(self, key: str) -> None:
        file = Path(self._config.authorized_keys)
        async with self._keys:
            if (place := self._identity.place()) is None:
                return
            try:
                if await asyncio.to_thread(authorized_keys.install, file, place.host_id, key):
                    log.info("OMS's SSH key installed", file=str(file))
            except (OSError, KeyRefused) as failure:
                log.warning("OMS's SSH key was not installed", why=str(failure))

    async def _forget(self, place: Place) -> None:
        async with self._keys:
            self._identity.throw_away()
            if not self._config.authorized_keys:
                return
            try:
                authorized_keys.remove(Path(self._config.authorized_keys), place.host_id)
            except OSError as failure:
                log.warning("OMS's SSH key was not removed", why=str(failure))


def _spread(buses: tuple[str, ...]) -> tuple[str, ...]:
    """In an order of this host's own, so that hosts are at all of them."""
    return tuple(random.sample(buses, len(buses)))
