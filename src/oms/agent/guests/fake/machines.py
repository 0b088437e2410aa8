"""Virtual machines that are in memory alone; `reacts` says whether a guest shuts down when it is asked."""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from oms.agent.guests import (
    Asking,
    Capabilities,
    Capacity,
    Change,
    Definition,
    DiskUse,
    End,
    Machine,
    MachineState,
    MemoryUse,
    NetworkUse,
    Progress,
    Stat,
    Use,
)
from oms.agent.guests.fake.listeners import Listeners
from oms.agent.guests.fake.parts import FakeDevices, read
from oms.agent.guests.fake.rhythm import STILL, Rhythm
from oms.agent.guests.fake.snapshots import FakeSnapshots
from oms.agent.guests.fake.unmoved import Unmoved
from oms.contract.errors import FuncManError, MachineIsOff, NoSuchMachine

What = Literal["defined", "removed", "started", "stopped", "paused", "resumed"]
CAPACITY = Capacity(cpus=4, max_vcpus=4, available_memory_kb=8 * 1024**2)
DISK_KB = 20 * 1024**2
NS = 1_000_000_000


@dataclass(slots=True)
class FakeMachine:
    """One of them; `seconds` is how long its starts take."""

    uuid: str
    name: str
    kept: Definition | None
    live: Definition | None = None
    rhythm: Rhythm = STILL
    address: str = ""
    disk_kb: int = DISK_KB
    paused: bool = False
    saved: bool = False
    autostart: bool = False
    ended: End = ""
    run: int = 0
    since: float = 0

    @property
    def now(self) -> Definition:
        """As it is, or will start."""
        found = self.live or self.kept
        assert found is not None
        return found

    @property
    def state(self) -> Literal["running", "paused", "shutdown"]:
        """How it is."""
        return "shutdown" if self.live is None else "paused" if self.paused else "running"


class FakeMachines(FakeDevices, FakeSnapshots, Unmoved):
    """See the Protocol `Machines` for what each method does."""

    def __init__(self, *, reacts: bool = True, capacity: Capacity = CAPACITY, seconds: float = 0) -> None:
        """`seconds`: how long a start and a stop take."""
        self.capabilities = Capabilities("qemu", live_memory=True, live_vcpus_up=True, live_vcpus_down=False)
        self.reacts = reacts
        self._capacity, self._seconds = capacity, seconds
        self._all: dict[str, FakeMachine] = {}
        self._runs = 0
        self._snapshots = {}
        self._listeners = Listeners()

    def put(self, machine: FakeMachine, *, runs: bool) -> None:
        """Have a machine as if it had been there before."""
        self._all[machine.uuid] = machine
        if runs:
            self._begin(machine, machine.now)

    async def states(self) -> list[MachineState]:
        """All of them, in the order in which they were made."""
        moment = time.time()
        return [_line(machine, moment) for machine in self._all.values()]

    async def use(self, wanted: frozenset[Stat]) -> dict[str, Use]:
        """By the rhythm of each."""
        moment = time.time()
        return {one.uuid: _use(one, wanted, moment) for one in self._all.values() if one.live is not None}

    async def capacity(self) -> Capacity:
        """As it was made with."""
        return self._capacity

    async def emulator(self) -> str:
        """A name."""
        return "/usr/bin/qemu-system-x86_64"

    def console(self, key: str, /) -> tuple[str, ...]:
        """A program that says so."""
        return ("echo", f"machine {self._of(key).name} is a fake")

    async def networks(self) -> frozenset[str]:
        """The one that libvirt has at first."""
        return frozenset({"default"})

    async def find(self, name: str, /) -> Machine:
        """By its name, or its UUID."""
        found = next((one for one in self._all.values() if one.name == name), None) or self._of(name)
        return _machine(found)

    async def disk_sizes(self, machine: Machine) -> dict[str, int]:
        """All of one size."""
        found = self._of(machine.uuid)
        return {disk.target: found.disk_kb * 1024 for disk in found.now.disks if disk.device == "disk"}

    async def all(self) -> list[Machine]:
        """All in full."""
        return [_machine(one) for one in self._all.values()]

    async def start(self, key: str, /) -> None:
        """It runs."""
        machine = self._of(key)
        if machine.live is None and machine.kept is not None:
            await asyncio.sleep(self._seconds)
            self._begin(machine, machine.kept)

    async def start_once(self, uuid: str, xml: str) -> None:
        """It runs by another definition."""
        machine = self._of(uuid)
        if machine.live is None:
            self._begin(machine, read(xml)[1])

    async def stop(self, key: str, /) -> None:
        """It is off."""
        machine = self._of(key)
        if machine.live is not None:
            await asyncio.sleep(self._seconds)
            self._end(machine, "destroyed")

    async def ask_off(self, uuid: str, how: Asking) -> None:  # noqa: ARG002 - there is no guest
        """It goes off at once, if it reacts."""
        machine = self._of(uuid)
        if machine.live is not None and self.reacts:
            self._end(machine, "guest")

    async def reset(self, uuid: str) -> None:
        """Its time begins anew."""
        self._running(uuid).since = time.time()

    async def pause(self, key: str, /) -> None:
        """It stands still."""
        self._running(key).paused = True
        self._tell(self._of(key), "paused")

    async def resume(self, key: str, /) -> None:
        """It goes on."""
        self._running(key).paused = False
        self._tell(self._of(key), "resumed")

    async def save(self, uuid: str, on_progress: Progress) -> None:
        """It is off, and remembered as saved."""
        machine = self._running(uuid)
        on_progress(100)
        self._end(machine, "")
        machine.saved = True

    async def forget_saved(self, uuid: str) -> None:
        """It boots the next time."""
        self._of(uuid).saved = False

    async def settle(self, uuid: str) -> None:
        """Nothing takes long here."""

    async def set_autostart(self, key: str, /, *, on: bool) -> None:
        """Remembered, and nothing more."""
        self._of(key).autostart = on

    async def define(self, xml: str) -> str:
        """Remember it, under the UUID in the definition, if there is one."""
        named, definition = read(xml)
        key = named.uuid or str(uuid.uuid4())
        if (there := self._all.get(key)) is not None:
            there.kept, there.name = definition, named.name
        else:
            there = self._all[key] = FakeMachine(key, named.name, definition)
        self._tell(there, "defined")
        return key

    async def undefine(self, uuid: str) -> None:
        """Forget it."""
        machine = self._of(uuid)
        if machine.live is not None:
            raise FuncManError(f"Machine {machine.name!r} runs: stop it first", machine=machine.name)
        self._forget(machine)

    async def redefine(self, uuid: str, *, vcpus: int | None, memory_kb: int | None) -> None:
        """Change what it starts with next."""
        machine = self._of(uuid)
        machine.kept = _changed(machine.kept or machine.now, vcpus, memory_kb)

    async def set_live_vcpus(self, uuid: str, vcpus: int) -> None:
        """It has them at once."""
        machine = self._running(uuid)
        machine.live = replace(machine.now, vcpus=vcpus)

    async def set_live_memory(self, uuid: str, memory_kb: int) -> None:
        """It has it at once."""
        machine = self._running(uuid)
        machine.live = replace(machine.now, memory_kb=memory_kb)

    def on_change(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call back at each change."""
        return self._listeners.add(callback)

    async def close(self) -> None:
        """Nothing is held."""

    def _begin(self, machine: FakeMachine, definition: Definition) -> None:
        self._runs += 1
        machine.live, machine.run, machine.since = definition, self._runs, time.time()
        machine.paused = machine.saved = False
        machine.ended = ""
        self._tell(machine, "started")

    def _end(self, machine: FakeMachine, how: End) -> None:
        machine.live, machine.paused, machine.ended, machine.run = None, False, how, 0
        self._tell(machine, "stopped")
        if machine.kept is None:
            self._forget(machine)

    def _forget(self, machine: FakeMachine) -> None:
        self._all.pop(machine.uuid, None)
        self._snapshots.pop(machine.uuid, None)
        self._tell(machine, "removed")

    def _of(self, uuid: str) -> FakeMachine:
        if (machine := self._all.get(uuid.lower())) is None:
            raise NoSuchMachine(f"There is no machine {uuid!r} on this host", machine=uuid)
        return machine

    def _running(self, uuid: str) -> FakeMachine:
        machine = self._of(uuid)
        if machine.live is None:
            raise MachineIsOff(f"Machine {machine.name!r} is off", machine=machine.name)
        return machine

    def _tell(self, machine: FakeMachine, what: What) -> None:
        self._listeners.tell(Change(machine.uuid, machine.name, what))


def _line(machine: FakeMachine, moment: float) -> MachineState:
    now = machine.now
    busy = machine.rhythm.seconds(machine.since, moment) if machine.live else 0
    return MachineState(
        uuid=machine.uuid,
        name=machine.name,
        state=machine.state,
        vcpus=now.vcpus,
        memory_kb=now.memory_kb,
        max_memory_kb=now.max_memory_kb,
        cpu_time_ns=int(busy * now.vcpus * NS) + 1 if machine.live else 0,
    )


def _use(machine: FakeMachine, wanted: frozenset[Stat], moment: float) -> Use:
    now, load = machine.now, 0.0 if machine.paused else machine.rhythm.at(moment)
    nic = now.nics[0].device or "vnet0" if now.nics else ""
    used_kb = int(now.memory_kb * (0.3 + 0.5 * load))
    return Use(
        cpu_percent=100 * load if "cpu" in wanted else None,
        memory=MemoryUse(used_kb, now.memory_kb) if "memory" in wanted else None,
        disk=DiskUse(machine.disk_kb // 3, machine.disk_kb) if "df" in wanted and now.disks else None,
        network=NetworkUse(nic, machine.address) if "network" in wanted and nic else None,
    )


def _machine(machine: FakeMachine) -> Machine:
    return Machine(
        uuid=machine.uuid,
        name=machine.name,
        state=machine.state,
        live=machine.live,
        kept=machine.kept,
        autostart=machine.autostart,
        saved=machine.saved,
        ended=machine.ended,
        run=machine.run,
    )


def _changed(definition: Definition, vcpus: int | None, memory_kb: int | None) -> Definition:
    vcpus, memory_kb = vcpus or definition.vcpus, memory_kb or definition.memory_kb
    return replace(
        definition,
        vcpus=vcpus,
        max_vcpus=max(vcpus, definition.max_vcpus),
        memory_kb=memory_kb,
        max_memory_kb=max(memory_kb, definition.max_memory_kb),
    )
