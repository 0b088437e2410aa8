"""Virtual machines through libvirt: the port's methods, each laid on the line that it belongs on.

What is asked of libvirt on the lines stands in `calls`, `power` and `use`.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable
from typing import Any, Final, Literal

import libvirt
import structlog
from msgspec.structs import replace

from oms.agent.guests import (
    Asking,
    Capabilities,
    Capacity,
    Change,
    DomainType,
    Machine,
    MachineState,
    Progress,
    Stat,
    Use,
)
from oms.agent.guests.joined import Joined
from oms.agent.guests.libvirt import calls, power
from oms.agent.guests.libvirt.connections import Farewell
from oms.agent.guests.libvirt.copies import LibvirtCopies
from oms.agent.guests.libvirt.devices import LibvirtDevices
from oms.agent.guests.libvirt.ends import Ends
from oms.agent.guests.libvirt.lines import Lines
from oms.agent.guests.libvirt.moves import LibvirtMoves
from oms.agent.guests.libvirt.remembered import Remembered, definitions_of
from oms.agent.guests.libvirt.snapshots import LibvirtSnapshots
from oms.agent.guests.libvirt.soon import Soon
from oms.agent.guests.libvirt.use import Meter
from oms.agent.guests.load import CpuLoad
from oms.agent.host.memory import available_memory_kb
from oms.agent.host.neighbours import addresses
from oms.contract.errors import HypervisorUnavailable

log = structlog.get_logger("oms.agent.guests")

ASK_SECONDS = 5.0
USE_SECONDS = 3.0
SOON_SECONDS = 2.0
CHANGE_SECONDS = 50.0
"""Limits of one call. Stopping a machine that does not react takes libvirt 15 s; one saved to disk starts
slowly."""

What = Literal["defined", "removed", "started", "stopped", "crashed", "paused", "resumed"]
EVENTS: Final[dict[int, What]] = {
    libvirt.VIR_DOMAIN_EVENT_DEFINED: "defined",
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: "removed",
    libvirt.VIR_DOMAIN_EVENT_STARTED: "started",
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "paused",
    libvirt.VIR_DOMAIN_EVENT_RESUMED: "resumed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED: "stopped",
    libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: "stopped",
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: "paused",
    libvirt.VIR_DOMAIN_EVENT_CRASHED: "crashed",
}
NOTHING_KNOWN = Use()


class LibvirtMachines(LibvirtSnapshots, LibvirtCopies, LibvirtDevices, LibvirtMoves):
    """The machines of one libvirtd; see the Protocol `Machines` for what each method does."""

    def __init__(
        self,
        uri: str,
        domain_type: DomainType,
        *,
        ask_seconds: float = ASK_SECONDS,
        use_seconds: float = USE_SECONDS,
        soon_seconds: float = SOON_SECONDS,
        change_seconds: float = CHANGE_SECONDS,
        neighbours: Callable[[], dict[str, str]] = addresses,
    ) -> None:
        self._uri, self._domain_type = uri, domain_type
        self._listeners: list[Callable[[Change], None]] = []
        self._was_up = False
        self._lines = Lines(
            uri,
            ask_seconds=ask_seconds,
            measure_seconds=use_seconds,
            change_seconds=change_seconds,
            greet=self._listen,
            on_up=self._back,
        )
        self._soon = Soon(self._lines, soon_seconds)
        self._states = Joined(self._ask_states)
        self._remembered = Remembered(None)
        self._ends = Ends()
        self._load = CpuLoad()
        self._meter = Meter(neighbours)

    @property
    def capabilities(self) -> Capabilities:
        """qemu takes CPUs away only where the guest helps, and libvirt cannot tell whether it will."""
        return Capabilities(self._domain_type, live_memory=True, live_vcpus_up=True, live_vcpus_down=False)

    async def begin(self, seconds: float = 2.0) -> bool:
        """Connect and stay connected. Answers whether libvirtd was there within so many seconds; no is no
        error."""
        self._loop = asyncio.get_running_loop()
        return await self._lines.begin(seconds)

    async def close(self) -> None:
        """Let go of libvirtd."""
        await self._lines.close()

    def on_change(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call back in the event loop at each change."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback) if callback in self._listeners else None

    async def states(self) -> list[MachineState]:
        """All machines by name, in two or three calls of libvirt and one for each that runs."""
        return await self._states()

    async def use(self, wanted: frozenset[Stat]) -> dict[str, Use]:
        """What the running machines use, by uuid."""
        measured, loads = await asyncio.gather(self._measure(wanted), self._loads("cpu" in wanted))
        return {
            uuid: replace(measured.get(uuid, NOTHING_KNOWN), cpu_percent=loads.get(uuid))
            for uuid in measured.keys() | loads.keys()
        }

    async def capacity(self) -> Capacity:
        """What this host has for machines now."""
        cpus, max_vcpus = await self._lines.ask(functools.partial(calls.capacity, self._domain_type))
        return Capacity(cpus=cpus, max_vcpus=max_vcpus, available_memory_kb=available_memory_kb())

    async def emulator(self) -> str:
        """The program that runs machines here; libvirt knows."""
        return await self._lines.ask(functools.partial(calls.emulator, self._domain_type))

    def console(self, uuid: str) -> tuple[str, ...]:
        """libvirt's own client."""
        return "virsh", "--quiet", "--connect", self._uri, "console", "--force", uuid

    async def networks(self) -> frozenset[str]:
        """The names of libvirt's networks that are active now."""
        return await self._lines.ask(calls.active_networks)

    async def find(self, name: str) -> Machine:
        """The machine of that name, or else of that uuid."""
        return await self._lines.ask(
            lambda connection: calls.machine(connection, self._ends, calls.look_up(connection, name))
        )

    async def disk_sizes(self, machine: Machine) -> dict[str, int]:
        """Asked of each disk by itself; of a running machine it is its process that answers."""
        definition = machine.live or machine.kept
        targets = [disk.target for disk in definition.disks] if definition else []
        try:
            return await self._lines.measure(
                lambda connection: calls.disk_sizes(targets, calls.by_uuid(connection, machine.uuid))
            )
        except HypervisorUnavailable as error:
            log.warning("sizes of disks are left out", reason=error.message)
            return {}

    async def all(self) -> list[Machine]:
        """All machines in full."""
        return await self._lines.ask(functools.partial(calls.every_machine, self._ends))

    async def start(self, uuid: str) -> None:
        """Start it; libvirt restores a saved state by itself."""
        await self._lines.change(uuid, power.start)

    async def start_once(self, uuid: str, xml: str) -> None:
        """Start it from another definition, checked against libvirt's own schema, for this run alone."""
        await self._lines.change(uuid, functools.partial(power.start_once, xml=xml))

    async def resume(self, uuid: str) -> None:
        """Let a paused machine go on, or wake one that sleeps."""
        await self._lines.change(uuid, power.resume)

    async def stop(self, uuid: str) -> None:
        """Take its power away."""
        await self._lines.change(uuid, power.stop)

    async def ask_off(self, uuid: str, how: Asking) -> None:
        """Ask the guest to shut down."""
        await self._lines.change(uuid, functools.partial(power.ask_off, how=how))

    async def reset(self, uuid: str) -> None:
        """Start it anew at once; its process stays."""
        await self._lines.change(uuid, power.reset)

    async def pause(self, uuid: str) -> None:
        """Have it stand still."""
        await self._lines.change(uuid, power.pause)

    async def save(self, uuid: str, on_progress: Progress) -> None:
        """Put its memory on the disk, where libvirt finds it by itself when it is started, and end it."""
        await self._lines.work(uuid, power.save, on_progress)

    async def forget_saved(self, uuid: str) -> None:
        """Drop the saved memory."""
        await self._lines.change(uuid, power.forget_saved)

    async def settle(self, uuid: str) -> None:
        """Wait until libvirt has come to the end of what it does to it."""
        await self._lines.settle(uuid)

    async def set_autostart(self, uuid: str, *, on: bool) -> None:
        """Whether libvirtd starts it when it starts itself."""
        await self._lines.change(uuid, lambda domain: domain.setAutostart(int(on)))

    async def define(self, xml: str) -> str:
        """Make a machine, checked against libvirt's own schema."""
        return await self._lines.make(functools.partial(calls.define, xml))

    async def undefine(self, uuid: str) -> None:
        """Forget it; if somebody has started it meanwhile, it is stopped."""
        await self._lines.change(uuid, calls.undefine)

    async def redefine(self, uuid: str, *, vcpus: int | None, memory_kb: int | None) -> None:
        """Change what it starts with next, in one step."""
        await self._lines.change(uuid, functools.partial(calls.redefine, vcpus=vcpus, memory_kb=memory_kb))

    async def set_live_vcpus(self, uuid: str, vcpus: int) -> None:
        """Change the CPUs of a running machine."""
        await self._soon.change(uuid, lambda domain: domain.setVcpusFlags(vcpus, libvirt.VIR_DOMAIN_AFFECT_LIVE))

    async def set_live_memory(self, uuid: str, memory_kb: int) -> None:
        """Change the memory of a running machine, by its balloon."""
        await self._soon.change(
            uuid, lambda domain: domain.setMemoryFlags(memory_kb, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        )

    async def _ask_states(self) -> list[MachineState]:
        return await self._lines.ask(lambda connection: calls.states(self._remembered, connection))

    async def _measure(self, wanted: frozenset[Stat]) -> dict[str, Use]:
        try:
            return await self._lines.measure(lambda connection: self._meter.read(connection, wanted))
        except HypervisorUnavailable as error:
            # A machine that hangs holds up whoever asks it. The next question passes it over.
            log.warning("statistics are left out", reason=error.message)
            return {}

    async def _loads(self, wanted: bool) -> dict[str, float | None]:
        if not wanted:
            return {}
        states, now_ns = await self.states(), time.monotonic_ns()
        running = [machine for machine in states if machine.cpu_time_ns]
        self._load.forget_all_but({machine.uuid for machine in running})
        return {
            machine.uuid: self._load.percent(
                machine.uuid, used_ns=machine.cpu_time_ns, vcpus=machine.vcpus, at_ns=now_ns
            )
            for machine in running
        }

    def _listen(self, connection: Any) -> list[Farewell]:
        """In a thread, when libvirtd has been started: have it tell what happens to machines."""
        self._remembered = Remembered(definitions_of(connection))
        part_from_ends = self._ends.listen(connection)
        number = connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._hear, None)
        return [lambda: connection.domainEventDeregisterAny(number), part_from_ends]

    def _hear(self, _connection: Any, domain: Any, event: int, _detail: int, _: object) -> None:
        """In libvirt's thread: pass it on."""
        if (what := EVENTS.get(event)) is None:
            return
        change = Change(domain.UUIDString(), domain.name(), what)
        if what in {"started", "removed"}:
            self._ends.forget(change.uuid)
        with contextlib.suppress(RuntimeError):  # the event loop has ended: nobody listens any more
            self._loop.call_soon_threadsafe(self._tell, change)

    def _back(self) -> None:
        if self._was_up:
            self._tell(Change("", "", "anything"))
        self._was_up = True

    def _tell(self, change: Change) -> None:
        for listener in list(self._listeners):
            listener(change)
