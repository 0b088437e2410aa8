"""Both hosts of a move in one process, each with containers of its own and an agent that may crash at any step.

Containers, rsync, and the connection between the two are real; OMS, which brings them together, is played.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from oms.agent.context import Host, Job, Offer, Storage
from oms.agent.guests.containers import ContainerSettings, NewContainer
from oms.agent.guests.lxc import LxcContainers
from oms.agent.leases import Leases
from oms.agent.ovz.moving import leaving, receiving
from oms.agent.passage.passages import Passages, Terms
from oms.bus.introduction import Introduced
from oms.contract.errors import NotThere, OmsError, pack
from oms.contract.internal import ReceiveContainer
from oms.contract.operation import HostOperation
from oms.contract.ovz.migration import MigrateVm
from tests.hosts import rootfs
from tests.hosts.containers import lxc
from tests.hosts.kvm_job import Crash, Crashy, RehearsedJob
from tests.hosts.trees import varied

CTID = "129"
TARGET = "node2"
IDS = ("100000:65536", "300000:65536")
SOON = 60.0
SETTINGS = ContainerSettings(hostname="moved.example.org", memory_kb=64 * 1024, onboot=True)


class StepwiseJob(RehearsedJob):
    """Told how far it is it does not crash: nothing depends on that."""

    def __init__(self, name: str, records: dict[str, str] | None = None, break_at: int | None = None) -> None:
        super().__init__(records, break_at)
        self.id = name * 32

    def progress(self, percent: float) -> None:
        self.percents.append(percent)


CHANGES = frozenset(
    {"start", "stop", "ask_off", "set_autostart", "configure", "prepare", "create", "discard", "destroy"}
)


class TwoHosts:
    """The host that a container leaves, and the one that it comes to. As `crossing.Matchmaker`, it is OMS."""

    def __init__(self, here: LxcContainers, there: LxcContainers, scratch: Path) -> None:
        self.here, self.there, self._scratch = here, there, scratch
        terms = Terms(lambda: "127.0.0.1", range(49400, 49500))
        self.coming, self._listening = Passages(terms, self), Passages(terms, self)
        self.job_here, self.job_there = StepwiseJob("a"), StepwiseJob("b")
        self.leases_there = Leases()
        self.offer = Offer(container_stop_seconds=5)
        self._task: asyncio.Task[int] | None = None

    @classmethod
    async def on(cls, here: Path, there: Path, scratch: Path) -> "TwoHosts":
        """On two paths of LXC, with different ids."""
        return cls(await lxc(here, IDS[0]), await lxc(there, IDS[1]), scratch)

    async def close(self) -> None:
        await self.end()
        for side in (self.here, self.there):
            await side.close()
        await asyncio.sleep(0.1)  # connections that were cut are closed in the loop's next turns

    async def make(self, settings: ContainerSettings = SETTINGS, *, runs: bool = True) -> None:
        """The container, with one of everything in it, on the first host."""
        ids = self.here.capabilities.ids
        place = await self.here.prepare("c" * 32, settings.disk_kb)
        rootfs.tiny(place, ids)
        (place / "data").mkdir()
        varied(place / "data", ids)
        await self.here.create("c" * 32, NewContainer(CTID, settings))
        await self.here.discard("c" * 32)
        if runs:
            await self.here.start(CTID)

    async def unmake(self) -> None:
        """Nothing is left of it, wherever it is."""
        await self.end()
        for side in (self.here, self.there):
            if await side_has(side):
                await side.stop(CTID)
                await side.destroy(CTID)
            await side.sweep([])
        self.job_here, self.job_there = StepwiseJob("a"), StepwiseJob("b")

    async def move(self, *, crash_here: int | None = None, crash_there: int | None = None) -> int:
        """Move it; an agent that has crashed is started again. Raises OmsError."""
        self.job_here = StepwiseJob("a", break_at=crash_here)
        self.job_there = StepwiseJob("b", break_at=crash_there)
        async with asyncio.timeout(SOON):
            try:
                return await self._leave()
            except Crash:
                self.job_here = StepwiseJob("a", self.job_here.records)
                return await self._leave()

    async def settled(self) -> BaseException | None:
        """How the other side has ended; it may need a start for that."""
        async with asyncio.timeout(SOON):
            while self._task is not None:
                (ended,) = await asyncio.gather(self._task, return_exceptions=True)
                if not isinstance(ended, Crash):
                    return ended if isinstance(ended, BaseException) else None
                self._again()
        return None

    async def end(self) -> None:
        """The other side's process ends."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    # --- OMS

    async def introduce(self, job: str, op: HostOperation[Any]) -> Introduced:
        assert isinstance(op, ReceiveContainer)
        self._op = op
        if self._task is None:
            self._task = asyncio.create_task(self._receive())
        await asyncio.sleep(0.05)  # as long as an answer takes
        if self._task.done() and isinstance(self._task.exception(), Crash):
            self._again()
        if not self._task.done():
            return Introduced(self.job_there.id, "running", self._gate())
        error = self._task.exception()
        if error is None:
            return Introduced(self.job_there.id, "done")
        assert isinstance(error, OmsError), error
        return Introduced(self.job_there.id, "failed", None, pack(error))

    async def standing(self, job: str) -> str:
        return "running"

    async def call_off(self, job: str) -> bool:
        self.job_there.cancel()
        return False

    def _gate(self) -> Any:
        try:
            return self._listening.where(self.job_there.id)
        except NotThere:
            return None

    def _again(self) -> None:
        self.job_there = StepwiseJob("b", self.job_there.records)
        self._task = asyncio.create_task(self._receive())

    # --- the agents

    async def _leave(self) -> int:
        return await leaving.migrate_vm(MigrateVm(CTID, TARGET), self._host(self.here, self.job_here, self.coming))

    async def _receive(self) -> int:
        host = self._host(self.there, self.job_there, self._listening)
        host = replace(host, leases=self.leases_there)
        return await receiving.receive_container(self._op, host)

    def _host(self, containers: LxcContainers, job: StepwiseJob, passages: Passages) -> Host:
        crashy: Any = Crashy(containers, job, CHANGES)
        as_job: Job = job
        host = Host(Storage.below(self._scratch), None, as_job, Leases(), self.offer)
        return replace(host, containers=crashy, passages=passages)


async def side_has(side: LxcContainers) -> bool:
    return CTID in {state.ctid for state in await side.states()}


async def side_runs(side: LxcContainers) -> bool:
    return any(state.ctid == CTID and state.state == "running" for state in await side.states())
