"""The honest agent of a host: its own journal, queue and dispatch, with handlers that a test gives."""

import asyncio
import contextlib
from collections import Counter
from pathlib import Path
from typing import Any, Self

from oms.agent import dispatch
from oms.agent.context import Host, Storage
from oms.agent.events import Events
from oms.agent.jobs import Jobs
from oms.agent.journal import Journal
from oms.agent.leases import Leases
from oms.agent.server_clocks import ServerClocks
from oms.bus.local import LocalBus
from oms.contract.handlers import Handlers
from oms.contract.operation import Operation
from tests.server.double import FACTS, Does, Handler


class HostAgent:
    """One host, connected. `done` counts by method how often a handler was begun."""

    def __init__(self, bus: LocalBus, host_id: str, name: str, journal: Journal) -> None:
        self.id, self.name, self.journal = host_id, name, journal
        self.done: Counter[str] = Counter()
        self.wire = bus.agent(host_id)
        self._clocks, self._events = ServerClocks(), Events()

    @classmethod
    async def start(cls, bus: LocalBus, host_id: str, name: str, does: Does, folder: Path) -> Self:
        """The agent with its journal in the folder, made or taken up."""
        agent = cls(bus, host_id, name, await Journal.open(folder / "agent.db"))
        handlers: Handlers[Host] = Handlers()
        for kind, handler in does.items():
            agent._handle(handlers, kind, handler)
        await agent._serve(handlers, folder)
        return agent

    def _handle(self, handlers: Handlers[Host], kind: type[Operation[Any]], handler: Handler) -> None:
        async def do(op: Operation[Any], _host: Host) -> Any:
            self.done[kind.facts.name] += 1
            return await handler(op)

        do.__name__ = kind.facts.name
        handlers.handles(kind)(do)

    async def _serve(self, handlers: Handlers[Host], folder: Path) -> None:
        def surroundings(job: Any) -> Host:
            return Host(Storage.below(folder), None, job, Leases())

        self._jobs = Jobs(self.journal, handlers, surroundings, clocks=self._clocks, events=self._events)
        await self._jobs.recover()
        self._events.use(self.wire)
        self._telling = asyncio.create_task(self._events.run())
        self.wire.on_state(lambda connected: None if connected else self._clocks.disconnected())
        self.wire.serve(
            dispatch.build(
                handlers, self._jobs, surroundings=surroundings, clocks=self._clocks, facts=lambda: FACTS
            )
        )

    async def close(self) -> None:
        """End the agent; what it runs is broken off."""
        await self.wire.close()
        await self._jobs.stop(0)
        self._telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._telling
        await self.journal.close()
