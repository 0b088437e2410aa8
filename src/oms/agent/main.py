"""The composition root: from settings to an agent that serves its host, until it is told to end."""

import asyncio
import contextlib
import fcntl
import signal
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import structlog

from oms.agent import dispatch
from oms.agent.clock import ServerClocks
from oms.agent.config import AgentConfig
from oms.agent.context import Host, Job, Storage
from oms.agent.enrol import Enrolment, NotOurs
from oms.agent.events import Events
from oms.agent.facts import Facts
from oms.agent.host import authorized_keys, durable
from oms.agent.host.authorized_keys import KeyRefused
from oms.agent.identity import Identity, Place
from oms.agent.jobs import Jobs
from oms.agent.journal import Journal, JournalError
from oms.agent.kvm.handlers import handlers
from oms.agent.libvirtd import Hypervisor
from oms.bus.nats.agent import NatsAgentWire
from oms.bus.nats.client import Credentials
from oms.bus.nats.link import AGENT_TIMING, LinkTiming
from oms.contract.internal import Hello

log = structlog.get_logger("oms.agent")
GRACE_SECONDS = 5.0
"""For what runs to end; the rest is taken up by the next start."""
REFUSED_AGAIN_SECONDS = 5.0


class CannotRun(Exception):
    """Why this agent does not start, and what to do."""


async def run(config: AgentConfig) -> None:
    """Serve until SIGTERM or SIGINT. Raises CannotRun."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    try:
        durable.own_directory(config.home)
        durable.own_directory(config.images_directory, 0o711)
        with _alone(config.home):
            await _until(told, Agent(config).serve())
    except OSError as error:
        raise CannotRun(f"{error.filename}: {error.strerror}. Run as root, or give another --data.") from error
    except (NotOurs, JournalError) as error:
        raise CannotRun(str(error)) from error


async def enrol(config: AgentConfig) -> Place:
    """Ask to be let in, and wait; for setting a host up before its agent runs. Raises CannotRun."""
    try:
        durable.own_directory(config.home)
        with _alone(config.home):
            facts = Facts(None, lambda _facts: None)
            return await Enrolment(config, Identity(config.home), facts.now).enter()
    except OSError as error:
        raise CannotRun(f"{error.filename}: {error.strerror}. Run as root, or give another --data.") from error
    except NotOurs as error:
        raise CannotRun(str(error)) from error


async def _until(told: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    serving, ending = asyncio.create_task(work), asyncio.create_task(told.wait())
    await asyncio.wait((serving, ending), return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if not serving.done():
        serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


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

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._identity = Identity(config.home)
        self._clocks = ServerClocks()
        self._events = Events()
        self._thrown_out = asyncio.Event()

    async def serve(self) -> None:
        """Everything, for ever."""
        async with contextlib.AsyncExitStack() as parts:
            hypervisor = Hypervisor(self._config)
            parts.push_async_callback(hypervisor.close)
            await hypervisor.begin()
            facts = Facts(hypervisor.machines, self._events.facts)
            journal = await Journal.open(self._config.home / "journal.db")
            parts.push_async_callback(journal.close)
            storage = Storage(self._config.images_directory)

            def surroundings(job: Job) -> Host:
                return Host(storage, hypervisor.machines, job)

            self._jobs = Jobs(
                journal, handlers, surroundings, clocks=self._clocks, events=self._events, lane=facts.target
            )
            parts.push_async_callback(self._jobs.stop, GRACE_SECONDS)
            await self._jobs.recover()
            serve = dispatch.build(
                handlers,
                self._jobs,
                surroundings=surroundings,
                clocks=self._clocks,
                facts=facts.now,
                on_greeted=self._greeted,
            )
            await self._beside(parts, self._events.run(), facts.run())
            enrolment = Enrolment(self._config, self._identity, facts.now)
            while True:
                await self._member(enrolment, serve)
                await asyncio.sleep(self._config.rejoin_after)

    async def _beside(self, parts: contextlib.AsyncExitStack, *works: Coroutine[Any, Any, None]) -> None:
        tasks = [asyncio.create_task(work) for work in works]

        async def end() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        parts.push_async_callback(end)

    async def _member(self, enrolment: Enrolment, serve: Any) -> None:
        """Get in, and serve until thrown out."""
        place = await enrolment.enter()
        self._thrown_out.clear()
        refusals = asyncio.Event()
        wire = self._wire(place, lambda _refused: refusals.set())
        wire.serve(serve)
        wire.on_state(lambda connected: None if connected else self._clocks.disconnected())
        self._events.use(wire)
        async with contextlib.AsyncExitStack() as parts:
            parts.push_async_callback(wire.close)
            wire.start()
            await self._beside(
                parts, enrolment.renew_in_time(wire.renew), self._look_into(refusals, enrolment, wire)
            )
            await self._thrown_out.wait()
            log.warning("this host was removed from OMS", asks_again_in_seconds=self._config.rejoin_after)
            self._events.use(None)
            self._forget(place)

    async def _look_into(self, refusals: asyncio.Event, enrolment: Enrolment, wire: NatsAgentWire) -> None:
        """The bus says no to a host that was removed, and to any while OMS is away: ask OMS which it is."""
        while True:
            await refusals.wait()
            if await enrolment.thrown_out():
                self._thrown_out.set()
                return
            await asyncio.sleep(min(REFUSED_AGAIN_SECONDS, self._config.reconnect_delay))
            refusals.clear()
            wire.renew()

    def _wire(self, place: Place, on_refused: Any) -> NatsAgentWire:
        delay = self._config.reconnect_delay
        return NatsAgentWire(
            place.host_id,
            (place.bus,),
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

    def _greeted(self, hello: Hello) -> None:
        place = self._identity.place()
        if not (hello.authorized_key and self._config.authorized_keys and place):
            return
        try:
            if authorized_keys.install(Path(self._config.authorized_keys), place.host_id, hello.authorized_key):
                log.info("OMS's SSH key installed", file=self._config.authorized_keys)
        except (OSError, KeyRefused) as failure:
            log.warning("OMS's SSH key was not installed", why=str(failure))

    def _forget(self, place: Place) -> None:
        if self._config.authorized_keys:
            try:
                authorized_keys.remove(Path(self._config.authorized_keys), place.host_id)
            except OSError as failure:
                log.warning("OMS's SSH key was not removed", why=str(failure))
        self._identity.throw_away()
