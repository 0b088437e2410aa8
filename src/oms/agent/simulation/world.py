"""What a simulated host's agent works on, in place of a machine."""

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any

from oms import __version__
from oms.agent.context import Host, Statistics
from oms.agent.events import Events
from oms.agent.facts import Facts
from oms.agent.guests import Capacity, Definition, Disk, Nic
from oms.agent.guests.containers import ContainerSettings
from oms.agent.guests.fake import FakeContainers, FakeMachines
from oms.agent.guests.fake.machines import FakeMachine
from oms.agent.handlers import ROOMS
from oms.agent.host.lvm import Lvm
from oms.agent.journal import Journal
from oms.agent.lvm import handlers as lvm
from oms.agent.netinterface import handlers as netinterface
from oms.agent.premises import Guests, Reached
from oms.agent.simulation import plan
from oms.agent.simulation.figures import Busy
from oms.agent.stats.figures import figures
from oms.agent.stats.sampler import Moment
from oms.bus.wire import RequestHandler
from oms.contract.errors import NotSupported
from oms.contract.handlers import Handlers
from oms.contract.internal import Hello, HostFacts

REAL = (lvm, netinterface)
"""What these do, they do to the machine that the simulator runs on: a simulated host cannot."""
START_SECONDS = 0.5
SLOW_SECONDS = (0.5, 3.0)
HANGS_SECONDS = 600.0


def _handlers() -> Handlers[Host]:
    """All that an agent can do, and a refusal of what it would do to this machine."""
    found: Handlers[Host] = Handlers()
    for room in ROOMS:
        if room not in REAL:
            found.include(room.handlers)
    for kind in (kind for room in REAL for kind in room.handlers):

        async def refuse(_op: Any, host: Host) -> Any:  # noqa: ARG001
            raise NotSupported("This host is simulated: it has no network and no logical volumes of its own.")

        refuse.__name__ = kind.facts.name
        found.handles(kind)(refuse)
    return found


class SimulatedHost:
    """The premises of one. They outlive its agent: one that is started anew finds what it left."""

    handlers = _handlers()

    def __init__(self, wanted: plan.Wanted, host: plan.Host, home: Path) -> None:
        """`home`: where root file systems of new containers go."""
        self.host = host
        capacity = Capacity(cpus=host.cpus, max_vcpus=host.cpus, available_memory_kb=host.memory_kb // 2)
        self.machines = FakeMachines(capacity=capacity, seconds=START_SECONDS)
        self.containers = FakeContainers(home / "containers", capacity=capacity)
        machines, containers = plan.guests(wanted, host)
        for guest in machines:
            self.machines.put(_machine(guest, home), runs=guest.runs)
        for guest in containers:
            self.containers.put(guest.key, _settings(guest), guest.rhythm, runs=guest.runs)
        self._journal = Journal.in_memory()

    async def journal(self, parts: contextlib.AsyncExitStack) -> Journal:  # noqa: ARG002
        """In memory: what it promises ends with the simulator."""
        return self._journal

    async def guests(self, parts: contextlib.AsyncExitStack) -> Guests:  # noqa: ARG002
        """Those of the plan, as they are by now."""
        return self.machines, self.containers

    def facts(self, guests: Guests, events: Events) -> Facts:
        """As planned."""
        machines, containers = guests
        known = HostFacts(
            version=__version__,
            hypervisors=("kvm", "openvz"),
            kvm_domain_type="kvm",
            architecture="x86_64",
            distribution=self.host.distribution,
            kernel=self.host.kernel,
            cpus=self.host.cpus,
            memory_mb=self.host.memory_kb // 1024,
        )
        return Facts(machines, events.facts, containers, news=events.guests, known=known)

    def statistics(self, facts: Facts, events: Events) -> Statistics:
        """By the host's rhythm."""

        def tell(now: Moment) -> None:
            up = busy.uptime_seconds()
            events.figures(figures(now, facts.guests(), cpus=self.host.cpus, uptime_seconds=up))

        busy = Busy(self.host, tell)
        return Statistics(busy, busy)

    def lvm(self) -> Lvm:
        """Nothing asks for it."""
        return Lvm("never", ())

    def network(self, reached: Reached) -> None:
        """It is not this agent's to change."""

    def between(self, serve: RequestHandler) -> RequestHandler:
        """The host's conduct. Every host greets, so that OMS takes it for one that is there."""

        async def served(verb: str, payload: bytes) -> bytes:
            if verb != Hello.facts.wire:
                await asyncio.sleep(self._delay())
            return await serve(verb, payload)

        return served

    def _delay(self) -> float:
        """Seconds before an answer."""
        if self.host.conduct == "slow":
            return random.uniform(*SLOW_SECONDS)  # noqa: S311 - no secret
        return HANGS_SECONDS if self.host.conduct == "hung" else 0


def _machine(guest: plan.Guest, home: Path) -> FakeMachine:
    file = home / "storage" / "images" / f"{guest.name}.qcow2"
    disk = Disk(target="vda", device="disk", file=file, sources=(file,), bus="virtio", format="qcow2")
    kept = Definition(
        vcpus=guest.vcpus,
        max_vcpus=guest.vcpus,
        memory_kb=guest.memory_kb,
        max_memory_kb=guest.memory_kb,
        vcpus_pinned=False,
        memory_pinned=False,
        balloon=True,
        disks=(disk,),
        nics=(Nic(guest.mac, "vmbr0", "", kind="bridge", model="virtio"),),
        guest_agent=False,
        boot=("hd",),
        graphics=("vnc",),
        serial=True,
    )
    return FakeMachine(
        guest.key, guest.name, kept, rhythm=guest.rhythm, address=guest.address, disk_kb=guest.disk_kb
    )


def _settings(guest: plan.Guest) -> ContainerSettings:
    return ContainerSettings(
        hostname=f"{guest.name}.example.org",
        memory_kb=guest.memory_kb,
        vcpus=guest.vcpus,
        disk_kb=guest.disk_kb,
        addresses=(guest.address,),
        nameservers=("10.0.0.53",),
    )
