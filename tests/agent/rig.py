"""An agent without its machines: journal, jobs and dispatch on the local wire, with handlers that tests steer."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from oms.agent import dispatch
from oms.agent.context import Host, Job, Storage
from oms.agent.events import Events
from oms.agent.jobs import Jobs
from oms.agent.journal import Journal
from oms.agent.leases import Leases
from oms.agent.server_clocks import ServerClocks, ticks
from oms.bus.call import Caller
from oms.bus.local import LocalAgentWire, LocalBus
from oms.bus.wire import ServerWire
from oms.contract.errors import FuncManError, HypervisorUnavailable, JobCancelled, NoSuchMachine
from oms.contract.handlers import Handlers
from oms.contract.internal import AskJobs, Hello, HostFacts, JobState, Welcome
from oms.contract.operation import HostOperation, Permission, Service, operation
from oms.contract.types import Password

HOST = "0123456789abcdef0123456789abcdef"
SERVICE = Service("testservices", "TestService", "Things that tests do.")
FACTS = HostFacts("0.0", hypervisors=("kvm",))


@operation(SERVICE, Permission.OPERATOR, changes=True, target="thing")
class Work(HostOperation[str], frozen=True):
    """Work on one thing."""

    thing: str
    how: str = ""


@operation(SERVICE, Permission.OPERATOR, changes=True)
class Sweep(HostOperation[int], frozen=True):
    """Work on no single thing."""


@operation(SERVICE, Permission.OPERATOR, changes=True, target="thing")
class SetPassword(HostOperation[int], frozen=True):
    """Hold a secret."""

    thing: str
    password: Password


@operation(SERVICE, Permission.VIEWER)
class Look(HostOperation[str], frozen=True):
    """Read something."""

    thing: str


@dataclass
class Workshop:
    """What the handlers do: each run waits at the gate of its thing, if there is one."""

    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    most_at_once: int = 0
    looked: int = 0
    knows_work: bool = True
    hypervisor_is_away: bool = False
    tried: int = 0
    """How often the hypervisor was asked while it was away."""

    def gate(self, thing: str) -> asyncio.Event:
        return self.gates.setdefault(thing, asyncio.Event())

    def has_resumed(self) -> bool:
        return bool(self.resumed)

    def handlers(self) -> Handlers[Host]:
        table: Handlers[Host] = Handlers()
        if self.knows_work:
            table.handles(Work)(self.work)
        table.handles(Sweep)(self.sweep)
        table.handles(SetPassword)(self.set_password)
        table.handles(Look)(self.look)
        return table

    async def work(self, op: Work, host: Host) -> str:
        match op.how:
            case "bug":
                raise KeyError("a secret path")
            case "refuse":
                raise FuncManError("It cannot be done.", thing=op.thing)
            case "step":
                await self._step(host.job)
            case "answer":
                await host.job.answer("already")
            case "undo":
                return await self._undone(op.thing, host.job)
            case "aside":
                await self._stand_aside(op.thing, host.job)
            case "much":
                await host.job.record("much", "x" * 100_000)
            case "records":
                return await self._record_twice(op.thing, host.job)
            case "hypervisor" | "recorded" | "unknown":
                await self._use_hypervisor(op.how, host.job)
        await self._run(op.how or op.thing, op.thing, host.job)
        return f"worked on {op.thing}, knew {host.job.recall('steps')}"

    async def _undone(self, thing: str, job: Job) -> str:
        try:
            async with job.cancellable():
                await self._run(thing, thing, job)
        except BaseException:
            self.undone.append(thing)
            raise
        await job.record("past the point", True)
        await self.gate(f"{thing} on").wait()
        return "done after all"

    async def _stand_aside(self, thing: str, job: Job) -> None:
        """Until somebody opens the thing's outer gate."""
        await job.record("begun", True)
        try:
            async with job.aside(), job.cancellable():
                self.aside.append(thing)
                await self.gate(f"{thing} outside").wait()
        except JobCancelled:
            self.undone.append(thing)
            raise

    async def _step(self, job: Job) -> None:
        job.note("first", "said")
        await job.record("steps", [1, {"two": 2}])
        for percent in range(0, 100, 10):
            job.progress(percent)
            await asyncio.sleep(0.01)

    async def _record_twice(self, thing: str, job: Job) -> str:
        """Once before it acts, and a lot after that."""
        await job.record("first", True)
        await self._run("records", thing, job)
        await job.record("second", "x" * 100_000)
        return "both"

    async def _use_hypervisor(self, how: str, job: Job) -> None:
        """Which may be away: before anything has happened, or, but for `hypervisor`, perhaps after that."""
        if how == "recorded":
            await job.record("steps", how)
        if self.hypervisor_is_away:
            self.tried += 1
            raise HypervisorUnavailable("It is away.", outcome="nothing" if how != "unknown" else how)
        if job.resumed and how == "unknown":
            raise NoSuchMachine("It is gone.")

    async def sweep(self, _op: Sweep, host: Host) -> int:
        await self._run("sweep", "sweep", host.job)
        return 0

    async def set_password(self, op: SetPassword, host: Host) -> int:
        await host.job.record("kept", op.password)
        await self._run(op.thing, op.thing, host.job)
        return len(op.password.reveal())

    async def look(self, op: Look, _host: Host) -> str:
        self.looked += 1
        if op.thing in self.gates:
            await self.gates[op.thing].wait()
        return op.thing

    async def _run(self, name: str, thing: str, job: Job) -> None:
        self.begun.append(name)
        self.most_at_once = max(self.most_at_once, len(self.begun) - len(self.ended))
        if job.resumed:
            self.resumed.append(name)
        if thing in self.gates:
            await self.gates[thing].wait()
        self.ended.append(name)


@dataclass
class World:
    """Both clocks, as far as a test moves them: `asleep` seconds went by while nothing of this process ran."""

    asleep: float = 0
    server_ahead: float = 0
    """How far the server's clock is ahead of this host's wall clock."""

    def ticks(self) -> float:
        return ticks() + self.asleep

    def server_time(self) -> float:
        return time.time() + self.server_ahead + self.asleep


class Server(Caller):
    """A server whose clock a test moves."""

    def __init__(self, wire: ServerWire, server: str, epoch: int, world: World) -> None:
        super().__init__(wire, server, epoch)
        self.world = world

    def now(self) -> float:
        return self.world.server_time()


class Agent:
    """One run of an agent, and a server that talks to it."""

    def __init__(self, journal: Journal, world: World, workshop: Workshop) -> None:
        self.world, self.workshop, self.journal = world, workshop, journal
        self.bus = LocalBus()
        self.server = Server(self.bus.server, "server-a", 7, world)
        self.events = Events()
        self.clocks = ServerClocks(world.ticks)
        self.told: list[tuple[float, str, Any]] = []
        self.bus.server.on_event(self._heard)
        handlers = workshop.handlers()
        self.jobs = Jobs(journal, handlers, surroundings, clocks=self.clocks, events=self.events)
        self.serve = dispatch.build(
            handlers, self.jobs, surroundings=surroundings, clocks=self.clocks, facts=lambda: FACTS
        )
        self.wire: LocalAgentWire = self.bus.agent(HOST)
        self.wire.on_state(lambda connected: None if connected else self.clocks.disconnected())

    def _heard(self, _host: str, topic: str, payload: bytes) -> None:
        kind: Any = JobState if topic == "job" else HostFacts
        self.told.append((time.monotonic(), topic, msgspec.json.decode(payload, type=kind)))

    def connect(self) -> None:
        self.wire.serve(self.serve)
        self.events.use(self.wire)

    async def hello(self, epoch: int = 7, late: float = 0) -> Welcome:
        self.server.epoch = epoch
        hello = Hello(self.world.server_time() - late, "server-a", epoch)
        return await self.server.ask(HOST, hello)

    async def send(self, op: HostOperation[Any], job: str | None = None, seconds: float = 60) -> JobState:
        """Hand a job over with a deadline so many seconds from now."""
        deadline = self.world.server_time() + seconds
        return await self.server.send_job(HOST, op, job or secrets.token_hex(16), deadline)

    async def state(self, job: str) -> JobState:
        (state,) = await self.server.ask(HOST, AskJobs((job,)))
        return state

    async def ended(self, job: str, within: float = 60) -> JobState:
        """The job's last word, once it has one."""
        async with asyncio.timeout(within):
            while True:
                state = await self.state(job)
                if state.state not in ("queued", "running"):
                    return state
                await asyncio.sleep(0.01)

    def heard(self, job: str, state: str) -> Callable[[], bool]:
        """Whether an event said that of the job."""
        return lambda: any(
            topic == "job" and (told.id, told.state) == (job, state) for _, topic, told in self.told
        )

    async def room(self, *, enough: bool) -> None:
        """Let the journal have all the room it wants, or no page more than it has."""

        def limit() -> None:
            database = self.journal._database
            pages = 1_000_000 if enough else database.execute("PRAGMA page_count").fetchone()[0]
            database.execute(f"PRAGMA max_page_count = {pages}").fetchone()

        await self.journal._do(limit)

    async def done(self, op: HostOperation[Any]) -> JobState:
        return await self.ended((await self.send(op)).id)


def surroundings(job: Job) -> Host:
    return Host(Storage.below(Path("/nowhere")), None, job, Leases())


@asynccontextmanager
async def agent(
    path: Path, *, world: World | None = None, workshop: Workshop | None = None, greet: bool = True
) -> AsyncIterator[Agent]:
    """An agent with its journal at `path`; leaving it is an abrupt end: what runs is broken off."""
    journal = await Journal.open(path)
    it = Agent(journal, world or World(), workshop or Workshop())
    telling = asyncio.create_task(it.events.run())
    try:
        it.connect()
        await it.jobs.recover()
        if greet:
            await it.hello()
        yield it
    finally:
        telling.cancel()
        await it.wire.close()
        await it.jobs.stop(0)
        await journal.close()
