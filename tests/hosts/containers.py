"""Containers for tests, made as a job makes them, of the tiny root file system."""

import asyncio
import os
from pathlib import Path

from oms.agent.guests.containers import ContainerSettings, NewContainer
from oms.agent.guests.lxc import LxcContainers
from oms.agent.guests.lxc.ids import ids_for_containers
from tests.hosts import rootfs
from tests.hosts.rootfs import INIT


async def lxc(path: Path, ids: str = "") -> LxcContainers:
    """The containers of an LXC path."""
    containers = LxcContainers(path, await ids_for_containers(ids))
    await containers.begin()
    return containers


async def make(
    containers: LxcContainers, ctid: str, settings: ContainerSettings, *, init: str = INIT, disk_kb: int = 0
) -> None:
    """A container that is off."""
    job = os.urandom(16).hex()
    place = await containers.prepare(job, disk_kb)
    rootfs.tiny(place, containers.capabilities.ids, init=init)
    await containers.create(job, NewContainer(ctid, settings))


def made(path: Path, ctid: str, settings: ContainerSettings, *, init: str = INIT) -> None:
    """The same, outside of an event loop."""

    async def work() -> None:
        await make(await lxc(path), ctid, settings, init=init)

    asyncio.run(work())
