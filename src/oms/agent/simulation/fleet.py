"""Many simulated hosts in one process: each enrols, and is there from then on, in its own way."""

import asyncio
import random
import re
from collections import Counter

import structlog
from msgspec.structs import replace

from oms import durable
from oms.agent.config import AgentConfig
from oms.agent.context import Storage
from oms.agent.desk import Desk
from oms.agent.enrol import Enrolment
from oms.agent.events import Events
from oms.agent.identity import Identity
from oms.agent.main import Agent
from oms.agent.simulation import life, plan
from oms.agent.simulation.world import SimulatedHost

log = structlog.get_logger("oms.sim")
ENROLLING_AT_ONCE = 32
"""Hosts that ask to be let in and wait; the others wait for their turn, as OMS keeps no endless list of askers."""
COMING_PER_SECOND = 100.0
"""Hosts that were let in earlier come one after the other too."""
KEY = re.compile(r"; this host's key is [0-9a-f]+")
"""What reasons differ in."""
FLAPPING_THERE, FLAPPING_AWAY = (10.0, 60.0), (2.0, 30.0)


async def pinned(common: AgentConfig) -> AgentConfig:
    """The same, with the CA in a file: it is asked for once, and not by each host. Raises NotOurs, OutOfReach."""
    identity = Identity(durable.own_directory(common.data))
    await Desk(common, identity).pin()
    return replace(common, ca_file=identity.ca)


class Simulated:
    """One host: its premises, and its agent while that runs."""

    def __init__(self, host: SimulatedHost, config: AgentConfig) -> None:
        self.host, self.config = host, config
        self.name = host.host.name
        self.entered = False
        """It has been let in."""
        self._agent: Agent | None = None
        self._enrolment: Enrolment | None = None

    @property
    def connected(self) -> bool:
        """Whether its agent is connected, and OMS has greeted it."""
        return self._agent is not None and self._agent.reached

    @property
    def waiting(self) -> str:
        """Why it is not let in yet; "" where that is not known."""
        return self._enrolment.waiting if self._enrolment else ""

    async def enter(self, gate: asyncio.Semaphore) -> None:
        """Be let in, now or before."""
        identity = Identity(self.config.home)
        async with gate:
            await asyncio.to_thread(self._directories)
            known = self.host.facts((self.host.machines, self.host.containers), Events())
            self._enrolment = Enrolment(self.config, identity, known.now)
            await self._enrolment.enter()
        self.entered, self._enrolment = True, None

    async def be_there(self) -> None:
        """Until cancelled, in the host's own way."""
        conduct = self.host.host.conduct
        if conduct == "expired":
            return
        while True:
            await self._live(random.uniform(*FLAPPING_THERE) if conduct == "flapping" else None)  # noqa: S311
            await asyncio.sleep(random.uniform(*FLAPPING_AWAY))  # noqa: S311

    async def _live(self, seconds: float | None) -> None:
        """An agent from its start to its end, which is told it after so many seconds."""
        told = asyncio.Event()
        timer = asyncio.get_running_loop().call_later(seconds, told.set) if seconds else None
        self._agent = Agent(self.config, self.host)
        try:
            await self._agent.live(told)
        finally:
            self._agent = None
            if timer is not None:
                timer.cancel()

    def _directories(self) -> None:
        for directory in (self.config.home, self.host.containers.home):
            durable.own_directory(directory)
        for directory in Storage.below(self.config.storage).all():
            durable.own_directory(directory, 0o711)


class Fleet:
    """All of them."""

    def __init__(self, wanted: plan.Wanted, common: AgentConfig) -> None:
        """`common`: OMS's address and fingerprint; each host has a directory of its own in `data`."""
        self._wanted = wanted
        self.hosts = [self._simulated(host, common) for host in plan.hosts(wanted)]

    def _simulated(self, host: plan.Host, common: AgentConfig) -> Simulated:
        data = common.data / host.name
        config = replace(common, name=host.name, data=data, authorized_keys="", containers="never")
        return Simulated(SimulatedHost(self._wanted, host, data), config)

    async def run(self) -> None:
        """Until cancelled. Raises NotOurs where OMS is another than that which was meant."""
        gate = asyncio.Semaphore(ENROLLING_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(life.go_on([one.host for one in self.hosts], self._wanted.guests))
            for one in self.hosts:
                tasks.create_task(self._one(one, gate))
                await asyncio.sleep(1 / COMING_PER_SECOND)

    async def _one(self, one: Simulated, gate: asyncio.Semaphore) -> None:
        await one.enter(gate)
        await one.be_there()

    def count(self) -> Counter[str]:
        """How many there are: `entered`, `connected`."""
        return Counter(
            {
                "entered": sum(one.entered for one in self.hosts),
                "connected": sum(one.connected for one in self.hosts),
            }
        )

    def waiting(self) -> Counter[str]:
        """Why hosts are not let in yet, and how many for each reason."""
        return Counter(KEY.sub("", one.waiting) for one in self.hosts if one.waiting)

    def to_sign(self) -> set[str]:
        """Names of hosts that are not let in yet."""
        return {one.name for one in self.hosts if not one.entered}
