"""What an agent works on: this machine, with the hypervisors and the disk that it has.

The one door by which an agent may be given another world than the real one: `oms.agent.simulation` has that.
"""

import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import Protocol

from oms.agent import containers as container_choice
from oms.agent.config import AgentConfig
from oms.agent.context import Host, Statistics
from oms.agent.events import Events
from oms.agent.facts import Facts
from oms.agent.guests import Machines
from oms.agent.guests.containers import Containers
from oms.agent.handlers import handlers
from oms.agent.host import counters, ssh_server
from oms.agent.host.lvm import Lvm
from oms.agent.host.ssh_server import SshServer
from oms.agent.journal import Journal
from oms.agent.libvirtd import Hypervisor
from oms.agent.netinterface.side import Side
from oms.agent.stats.figures import figures
from oms.agent.stats.history import History
from oms.agent.stats.looks import Looks
from oms.agent.stats.sampler import SERIES, Moment, Sampler
from oms.agent.stats.zabbix import Zabbix
from oms.bus.wire import RequestHandler
from oms.contract.handlers import Handlers

Guests = tuple[Machines | None, Containers | None]
"""Each None where there can be none."""
Reached = Callable[[float], Awaitable[bool]]
"""Whether OMS is reached anew within so many seconds."""


class Premises(Protocol):
    """Where an agent is. What lives no longer than its present run is put into `parts`."""

    @property
    def handlers(self) -> Handlers[Host]:
        """What can be done here."""

    async def journal(self, parts: contextlib.AsyncExitStack) -> Journal:
        """Where its jobs are written down. Raises JournalError."""

    async def guests(self, parts: contextlib.AsyncExitStack) -> Guests:
        """The hypervisors. Raises SettingsError."""

    def facts(self, guests: Guests, events: Events) -> Facts:
        """What there is to know of the host, told by these events."""

    def statistics(self, facts: Facts, events: Events) -> Statistics:
        """What measures it."""

    def lvm(self) -> Lvm:
        """Its logical volumes."""

    def network(self, reached: Reached) -> Side | None:
        """How it is connected; None where that is not for this agent to change."""

    def between(self, serve: RequestHandler) -> RequestHandler:
        """What stands between the bus and the function that answers."""


class ThisMachine:
    """The real one."""

    handlers = handlers

    def __init__(self, config: AgentConfig) -> None:
        self._config = config

    async def journal(self, parts: contextlib.AsyncExitStack) -> Journal:
        """On the disk."""
        journal = await Journal.open(self._config.home / "journal.db")
        parts.push_async_callback(journal.close)
        return journal

    async def guests(self, parts: contextlib.AsyncExitStack) -> Guests:
        """Started, where that is ours to do."""
        hypervisor = Hypervisor(self._config)
        parts.push_async_callback(hypervisor.close)
        await hypervisor.begin()
        containers = await container_choice.found(self._config)
        if containers is not None:
            parts.push_async_callback(containers.close)
        return hypervisor.machines, containers

    def facts(self, guests: Guests, events: Events) -> Facts:
        """As the kernel says."""
        machines, containers = guests
        return Facts(machines, events.facts, containers, self.ssh(), events.guests)

    def ssh(self) -> SshServer:
        """The SSH server by which terminals come."""
        config = self._config
        return ssh_server.found(config.ssh_address, config.server, config.ssh_host_keys)

    def statistics(self, facts: Facts, events: Events) -> Statistics:
        """As the kernel says, or a Zabbix agent. Raises OSError."""

        def tell(now: Moment) -> None:
            events.figures(
                figures(now, facts.guests(), cpus=os.cpu_count() or 0, uptime_seconds=counters.uptime_seconds())
            )

        history = History(self._config.home, tuple(SERIES))
        zabbix = Zabbix(*self._config.zabbix_address) if self._config.stats == "zabbix" else None
        return Statistics(Sampler(history, Looks(), tell), history, zabbix)

    def lvm(self) -> Lvm:
        """Of the devices that the settings leave to it."""
        return Lvm(self._config.device_mapper, self._config.lvm_devices)

    def network(self, reached: Reached) -> Side:
        """Whatever brings it up."""
        config = self._config
        return Side(reached, config.network_root, config.network_files, config.network_confirm)

    def between(self, serve: RequestHandler) -> RequestHandler:
        """Nothing."""
        return serve
