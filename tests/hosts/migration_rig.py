"""Both agents' handlers of a move on two real libvirtds, with a real passage between them.

In OMS's place is `Both`, which gives the other side its job once and takes it up again after each crash.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import libvirt

from oms.agent.context import Host
from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.moving import leaving, receiving
from oms.agent.passage.passages import Passages, Terms
from oms.bus.introduction import Introduced
from oms.contract.errors import NotThere, OmsError, pack
from oms.contract.kvm.migration import MigrateVm
from tests.hosts.kvm_job import MACHINES, Crash, Crashy, RehearsedJob, host
from tests.hosts.kvm_machines import connected, emptied
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.movers import counter, counting_disk, counting_xml, ports

MOVE = MigrateVm("m", "node2")
LONG_SECONDS = 120.0


class Job(RehearsedJob):
    """Breaks at a step, or before or after a record is written (`before commit`)."""

    def __init__(self, ident: str, records: dict[str, str] | None = None, at: int | str | None = None) -> None:
        super().__init__(records, at if isinstance(at, int) else None)
        self.id = ident * 32
        self._when = at if isinstance(at, str) else ""

    async def record(self, key: str, value: Any) -> None:
        if self._when == f"before {key}":
            raise Crash
        await super().record(key, value)
        if self._when == f"after {key}":
            raise Crash


class Both:
    """Two hosts, and what OMS does for a move between them."""

    def __init__(
        self,
        here: LibvirtMachines,
        there: LibvirtMachines,
        virt: tuple[Any, Any],
        directory: Path,
        *,
        same_images: bool = False,
    ) -> None:
        self._machines, self.virt = (here, there), virt
        terms = Terms(lambda: "127.0.0.1", [*_range(ports())])
        self.passages = (Passages(terms, self), Passages(terms, self))
        self.images = (directory / "one" / "images", directory / "two" / "images")
        if same_images:
            self.images = (self.images[0], self.images[0])
        for images in set(self.images):
            for name in ("images", "iso", "sockets"):
                (images.parent / name).mkdir(parents=True)
        self.target: Job | None = None
        self.outcome: Any = None
        self.running: Any = None
        self.breaks: int | str | None = None
        self.crashes = 0

    def machines(self, side: int) -> LibvirtMachines:
        return self._machines[side]

    def machine(self, *, running: bool, more: str = "", disk_format: str = "raw", filled_mb: int = 1) -> None:
        disk = self.images[0] / "m.img"
        counting_disk(disk, disk_format, filled_mb)
        domain = self.virt[0].defineXML(counting_xml("m", disk, disk_format, more))
        domain.setAutostart(1)
        if running:
            domain.create()

    async def moved(self, source: int | str | None = None, target: int | str | None = None) -> Any:
        """How the move has ended, after each side was taken up again as often as it broke."""
        self.breaks, self.target, self.outcome, self.running, self.crashes = target, None, None, None, 0
        job = Job("a", at=source)
        self.first = job
        answer: Any = None
        while answer is None:
            try:
                answer = await leaving.migrate_vm(MOVE, self.host(0, job))
            except Crash:
                self.crashes += 1
                job = self.first = Job("a", job.records)
            except OmsError as error:
                answer = error
        self.first_state = "failed" if isinstance(answer, OmsError) else "done"
        if self.running is not None:
            await self.running
        return answer

    def host(self, side: int, job: Job) -> Host:
        made = host(self._machines[side], self.images[side], job, passages=self.passages[side])
        crashy: Any = Crashy(self._machines[side], job, MACHINES)
        return replace(made, machines=crashy)

    # --- in the place of OMS

    first_state = "running"

    async def introduce(self, job: str, op: Any) -> Introduced:
        if self.running is None:
            self.first_state = "running"
            self.running = asyncio.create_task(self._receives(op))
            await asyncio.sleep(0.02)
        if isinstance(self.outcome, OmsError):
            return Introduced("b" * 32, "failed", None, pack(self.outcome))
        if self.outcome is not None:
            return Introduced("b" * 32, "done")
        try:
            return Introduced("b" * 32, "running", self.passages[1].where("b" * 32))
        except NotThere:
            return Introduced("b" * 32, "running")

    async def standing(self, job: str) -> str:
        return self.first_state

    async def call_off(self, job: str) -> bool:
        """It is no job that waits: it does not let itself be cancelled."""
        return False

    async def _receives(self, op: Any) -> None:
        job = Job("b", at=self.breaks)
        while True:
            self.target = job
            try:
                self.outcome = await receiving.receive_machine(op, self.host(1, job))
                return
            except Crash:
                self.crashes += 1
                job = Job("b", job.records)
            except OmsError as error:
                self.outcome = error
                return

    # --- what is so afterwards

    def files(self, side: int) -> set[str]:
        top = self.images[side].parent
        found = (path for path in top.rglob("*") if not path.is_dir() and ".formats" not in path.parts)
        return {str(path.relative_to(top)) for path in found}

    def names(self, side: int) -> list[str]:
        return [domain.name() for domain in self.virt[side].listAllDomains(0)]

    def is_in_one_place(self, *, running: bool, reason: object) -> int:
        """On which side the machine is, whole and alone."""
        (side,) = (side for side in (0, 1) if self.names(side) == ["m"])
        domain = self.virt[side].lookupByName("m")
        assert self.names(1 - side) == [], reason
        assert (self.files(side), self.files(1 - side)) == ({"images/m.img"}, set()), reason
        assert (domain.isPersistent(), domain.autostart()) == (1, 1), reason
        if running:
            assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING, reason
        else:
            assert (self.images[side] / "m.img").read_bytes().startswith(counter()), reason
        return side

    def clear(self) -> None:
        for side in (0, 1):
            for domain in self.virt[side].listAllDomains(0):
                if domain.isActive():
                    domain.destroy()
                with contextlib.suppress(libvirt.libvirtError):
                    domain.undefine()
            for path in self.files(side):
                (self.images[side].parent / path).unlink()


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last) + 1)


@asynccontextmanager
async def both_hosts(
    one: PrivateLibvirtd, other: PrivateLibvirtd, *, same_images: bool = False
) -> AsyncIterator[Both]:
    """Both, empty at the end. `same_images`: they have one directory of images."""
    async with AsyncExitStack() as parts:
        directory = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="oms-steps-")))
        virt = (parts.enter_context(emptied(one.uri)), parts.enter_context(emptied(other.uri)))
        here = await parts.enter_async_context(connected(one.uri))
        there = await parts.enter_async_context(connected(other.uri))
        made = Both(here, there, virt, directory, same_images=same_images)
        parts.callback(made.clear)
        await parts.enter_async_context(asyncio.timeout(LONG_SECONDS * 3))
        yield made
