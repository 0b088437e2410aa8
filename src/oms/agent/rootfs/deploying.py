"""A container made of a template, step by step, so that it can be broken off anywhere.

What is to be made is written down: which id, which settings. Then its files are written into a place that its
hypervisor has prepared for this job and that is on no list, and put on the disk; that is written down too. From
then on it is made, off, in one step that may be repeated. Until then the job can be cancelled, and begins anew
after a crash. Whatever fails, what was prepared is taken away.
"""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec

from oms.agent import placing
from oms.agent.context import Host
from oms.agent.guests.containers import Containers, ContainerSettings, NewContainer, outside
from oms.agent.host import copying, space
from oms.agent.host.stoppable import Progress, in_thread
from oms.agent.leases import Holder
from oms.agent.rootfs import catalogue, conditions, terminals, unpacked
from oms.agent.rootfs.catalogue import Template
from oms.agent.tarballs import unpacking
from oms.agent.tarballs.owners import Owners
from oms.agent.tarballs.scanning import Found
from oms.agent.templates import words
from oms.agent.templates.appliance import BadPackage
from oms.contract.errors import FuncManError, HypervisorUnavailable, OmsError
from oms.contract.types import Secret

LEASE: Final = "rootfs"
FILLED: Final = "filled"
LOOKED, WRITTEN = 30.0, 95.0
"""Percents at which the steps end."""


class Plan(msgspec.Struct, frozen=True):
    """What a job has set out to make: of which content of the template, which container."""

    key: str
    ctid: str
    settings: ContainerSettings
    bridge: str


def lease(template: str) -> str:
    """The name under which a container template is held."""
    return f"{LEASE}/{template}"


async def deploy(plan: Plan, template: str, password: Secret | None, host: Host, containers: Containers) -> None:
    """Make the container, or leave nothing of it; its id is held by the caller. Raises OmsError."""
    job = host.job
    try:
        if not job.recall(FILLED):
            async with job.cancellable():
                await _fill(plan, template, host, containers)
            await job.record(FILLED, True)
        new = NewContainer(plan.ctid, plan.settings, password, plan.bridge)
        await containers.create(job.id, new)
    except HypervisorUnavailable:
        raise  # nobody knows whether the container is there: the job goes on when that can be asked
    except OmsError:
        await containers.discard(job.id)
        raise


async def _fill(plan: Plan, name: str, host: Host, containers: Containers) -> None:
    """Write its files into a place that is empty, and on the disk."""
    job = host.job
    while True:
        async with (
            host.leases.hold(job, shared=(lease(name),)),
            catalogue.opened(host.storage.rootfs, name) as template,
        ):
            if template.key != plan.key:
                raise FuncManError(
                    f"Template {name!r} was replaced by another meanwhile: nothing was made; try again"
                )
            found = await conditions.look(template, host, containers, lambda share: job.progress(share * LOOKED))
            await containers.discard(job.id)
            place = await containers.prepare(job.id, plan.settings.disk_kb)
            with placing.told(place):
                if await _filled(template, found, place, host, containers):
                    break
        await unpack(name, host, containers, job, lambda share: job.progress(_written(share)))
    ids = containers.capabilities.ids
    with placing.told(place):
        await asyncio.to_thread(terminals.settle, place, (outside(ids, "user", 0), outside(ids, "group", 0)))
    await copying.sync(place)


async def _filled(template: Template, found: Found, place: Path, host: Host, containers: Containers) -> bool:
    """Whether it is: what should be copied by reference has to be unpacked first. Raises OSError."""
    what = f"A container of the template {template.name!r}"
    if await unpacked.can_clone(containers, place):
        copy = unpacked.place_of(containers, template)
        if not await asyncio.to_thread(copy.is_dir):
            return False
        await unpacked.copied(copy, place)
        return True
    for directory in (place, containers.home):  # its own disk may be larger than the room that is left
        space.require(directory, found.needed_bytes, what)
    work = write(template, found, place, containers, lambda share: host.job.progress(_written(share)))
    await space.while_room(containers.home, space.while_room(place, work, what), what)
    return True


async def unpack(name: str, host: Host, containers: Containers, holder: Holder, progress: Progress) -> None:
    """Have a template unpacked beside the containers. Raises Unusable, NoSpace, FuncManError."""
    async with (
        host.leases.hold(holder, alone=(lease(name),)),
        catalogue.opened(host.storage.rootfs, name) as template,
    ):
        found = await conditions.look(template, host, containers, lambda _share: None)

        async def writing(place: Path) -> None:
            space.require(place, found.needed_bytes, f"Template {name!r}, unpacked,")
            work = write(template, found, place, containers, progress)
            await space.while_room(place, work, f"Template {name!r}, unpacked,")
            await copying.sync(place)

        with placing.told(containers.home):
            await unpacked.ready(containers, template, writing)


async def write(template: Template, found: Found, place: Path, containers: Containers, progress: Progress) -> None:
    """Write what a template holds into an empty directory. Raises Unusable, NoSpace, OSError."""

    def unpack(go_on: Progress) -> None:
        with contextlib.ExitStack() as opened:
            root = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, root)
            unpacking.unpack(template.file, found, root, Owners(containers.capabilities.ids), go_on)

    try:
        await in_thread(unpack, progress)
    except BadPackage as bad:
        raise words.unusable(template.name, bad) from bad


def _written(share: float) -> float:
    return LOOKED + (WRITTEN - LOOKED) * share
