"""A host with containers that are in memory alone, and templates for it."""

from pathlib import Path
from typing import Any

import msgspec

from oms.agent.context import Host, Storage
from oms.agent.guests import Capacity
from oms.agent.guests.containers import Container, Containers, IdRange
from oms.agent.guests.fake import FakeContainers
from oms.agent.leases import Leases
from oms.agent.rootfs import handlers
from oms.contract.ovz import templates
from tests.agent.tarballs.trees import FIRST, system
from tests.agent.templates.packages import member
from tests.hosts.kvm_job import Crashy, RehearsedJob

IDS = (IdRange("user", 0, FIRST, 65536), IdRange("group", 0, FIRST, 65536))
CAPACITY = Capacity(cpus=4, max_vcpus=4, available_memory_kb=4096 * 1024)


class Steady(RehearsedJob):
    """Its progress comes from threads by way of the loop, in which no crash could be told from another."""

    def progress(self, percent: float) -> None:
        self.percents.append(percent)


CHANGES = frozenset({"start", "stop", "pause", "resume", "prepare", "discard", "create", "destroy"})


class Shifted(FakeContainers):
    """Their users have other numbers on the host."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, capacity=CAPACITY)
        self.capabilities = msgspec.structs.replace(self.capabilities, ids=IDS)

    async def find(self, name: str, /) -> Container:
        return msgspec.structs.replace(await super().find(name), ids=IDS)


class Rig:
    """`containers` and `storage` stay; each job is given a host of its own."""

    def __init__(self, directory: Path) -> None:
        self.storage = Storage.below(directory / "storage")
        for place in self.storage.all():
            place.mkdir(parents=True)
        (directory / "ct").mkdir()
        self.containers: Containers = Shifted(directory / "ct")
        self.leases = Leases()

    @property
    def shelf(self) -> Path:
        """Where the templates are."""
        return self.storage.rootfs

    def template(self, name: str = "tiny", *members: bytes) -> Path:
        """A template of a system so small."""
        files = (member(b"etc/hostname", b"packed\n"), member(b"bin/sh", b"x" * 2000, mode=0o755))
        return system(self.shelf / f"{name}.tar.gz", *files, *members)

    def host(self, job: RehearsedJob | None = None, *, crashy: bool = False) -> Host:
        job = job or RehearsedJob()
        containers: Any = Crashy(self.containers, job, CHANGES) if crashy else self.containers
        return Host(self.storage, None, job, self.leases, containers=containers)

    async def parse(self, name: str = "tiny", vm_name: str = "web") -> templates.ContainerTemplateSettings:
        return await handlers.parse_template_for_vm(templates.ParseTemplateForVm(name, vm_name), self.host())

    async def deploy(
        self, given: dict[str, Any], name: str = "tiny", vm_name: str = "web", job: RehearsedJob | None = None
    ) -> dict[str, str]:
        op = templates.DeployTemplateForVm(name, vm_name, given)
        return await handlers.deploy_template_for_vm(op, self.host(job))

    async def pack(
        self, ctid: str, name: str, given: dict[str, Any] | None = None, job: RehearsedJob | None = None
    ) -> dict[str, str]:
        op = templates.CreateTemplateFromVm(ctid, name, given or {})
        return await handlers.create_template_from_vm(op, self.host(job))

    async def ids(self) -> list[str]:
        return [state.ctid for state in await self.containers.states()]

    def left(self) -> list[str]:
        """What lies about of jobs that are over."""
        places = (self.shelf / ".staging", self.containers.home / ".staging")
        return [str(path) for place in places if place.is_dir() for path in place.iterdir()]
