"""What this host is, told to OMS whenever it changes and, as a sign of life, at intervals.

The number of guests follows the hypervisors' own events; they are not asked by the clock.
"""

import asyncio
import contextlib
import os
import platform
from collections.abc import Callable

import msgspec
import structlog

from oms import __version__
from oms.agent.given import KB_PER_MB
from oms.agent.guests import Change, Machines
from oms.agent.guests.containers import Containers
from oms.agent.host.memory import total_memory_kb
from oms.agent.host.ssh_server import NO_SSH, SshServer
from oms.agent.roster import Rosters
from oms.contract.errors import OmsError
from oms.contract.internal import GuestFigures, GuestNews, HostFacts, Hypervisor
from oms.contract.operation import HostOperation

log = structlog.get_logger("oms.agent")
GATHER_SECONDS = 0.3
"""Changes come in swarms: so long they are gathered before the machines are counted."""
HEARTBEAT_SECONDS = 20.0
AGAIN_SECONDS = 10.0
"""After the hypervisor did not answer: it may not say when it is back."""


class Facts:
    """The facts of this host as they are now."""

    def __init__(
        self,
        machines: Machines | None,
        tell: Callable[[HostFacts], None],
        containers: Containers | None = None,
        ssh: SshServer = NO_SSH,
        news: Callable[[GuestNews], None] = lambda _news: None,
        *,
        known: HostFacts | None = None,
    ) -> None:
        """`machines` and `containers` are None where there can be none; `tell` and `news` publish. `known`: what
        is said of the host in place of what this machine says."""
        self._machines, self._containers, self._tell = machines, containers, tell
        self._now = known or of_this_host(machines, containers, ssh=ssh)
        self._counts: dict[Hypervisor, GuestFigures] = {}
        self._names: dict[str, str] = {}
        kinds: dict[Hypervisor, object | None] = {"kvm": machines, "openvz": containers}
        self.roster = Rosters((kind for kind, guests in kinds.items() if guests is not None), news)
        """The guests themselves."""
        self._changed = asyncio.Event()
        self._changed.set()

    def now(self) -> HostFacts:
        """The facts; the number of guests as of the last change."""
        return self._now

    def guests(self) -> dict[Hypervisor, GuestFigures]:
        """How many guests there are and run, as of the last change."""
        return dict(self._counts)

    def look(self) -> None:
        """A job of ours has ended, which may have changed what no hypervisor tells of: look at the guests."""
        self._changed.set()

    def target(self, op: HostOperation[object]) -> str:
        """What an operation changes, under one name: a machine may be called by its name or its UUID."""
        name = str(getattr(op, op.facts.target)) if op.facts.target else ""
        return op.facts.queue(self._names.get(name.lower(), name))

    async def run(self) -> None:
        """Watch and tell, for ever."""
        ends = [guests.on_change(self._hear) for guests in self._guests()]
        loop = asyncio.get_running_loop()
        alive_until = loop.time() + HEARTBEAT_SECONDS
        try:
            while True:
                if await self._looked() or loop.time() >= alive_until:
                    self._tell(self._now)
                    alive_until = loop.time() + HEARTBEAT_SECONDS
                await self._rest(alive_until)
        finally:
            for end in ends:
                end()

    def _hear(self, change: Change) -> None:
        if change.what == "defined":
            self.roster.redefined(change.uuid)
        self._changed.set()

    async def _looked(self) -> bool:
        """Count the guests if something happened to them; answers whether the facts are others now."""
        before = self._now
        if self._changed.is_set():
            self._changed.clear()
            for guests in self._guests():
                await self._count(guests)
            self._now = msgspec.structs.replace(
                self._now, vmcount=sum(counted.total for counted in self._counts.values())
            )
        return self._now != before

    def _guests(self) -> list[Machines | Containers]:
        return [guests for guests in (self._machines, self._containers) if guests is not None]

    async def _count(self, guests: Machines | Containers) -> None:
        try:
            states = await guests.states()
        except OmsError as error:
            log.warning("the guests cannot be counted", why=error.message)
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._changed.set)
            return
        counted: Hypervisor = "kvm" if guests is self._machines else "openvz"
        if guests is self._machines:
            self._names = {machine.key.lower(): machine.name for machine in states}
        self._counts[counted] = GuestFigures(len(states), sum(guest.state == "running" for guest in states))
        self.roster.look(counted, states)

    async def _rest(self, until: float) -> None:
        """Until something has changed, or the time has come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._changed.wait() if self._guests() else await asyncio.Event().wait()
                await asyncio.sleep(GATHER_SECONDS)


def of_this_host(
    machines: Machines | None,
    containers: Containers | None = None,
    ssh: SshServer = NO_SSH,
) -> HostFacts:
    """What is known without asking the hypervisor."""
    system = os.uname()
    return HostFacts(
        version=__version__,
        hypervisors=(*(("kvm",) if machines else ()), *(("openvz",) if containers else ())),
        kvm_domain_type=machines.capabilities.domain_type if machines else "",
        architecture=system.machine,
        distribution=distribution(),
        kernel=system.release,
        cpus=os.cpu_count() or 0,
        memory_mb=total_memory_kb() // KB_PER_MB,
        ssh_address=ssh.address,
        ssh_host_keys=ssh.keys,
    )


def distribution() -> str:
    """As in `Debian GNU/Linux 12`; the system's bare name where it does not say."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return os.uname().sysname
    return " ".join(filter(None, (release.get("NAME", ""), release.get("VERSION_ID", ""))))
