"""A template made of a container, step by step, so that it can be broken off anywhere.

A container that runs stands still while its files are read, so that they are as they all are at one moment, or,
where they can be copied by reference, while that is done; it is written down before, and whoever takes the job up
lets the container go on, whatever becomes of the template. The archive is built aside and gets its name in the
end; what is broken off before leaves nothing, and is begun anew.
"""

import contextlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oms.agent import placing
from oms.agent.context import Host
from oms.agent.guests.containers import Container, Containers
from oms.agent.host import space
from oms.agent.host.stoppable import Progress, in_thread
from oms.agent.rootfs import catalogue, packing_settings, unpacked
from oms.agent.rootfs.deploying import lease
from oms.agent.rootfs.packing_settings import Choice
from oms.agent.tarballs import packing, scanning, streams
from oms.agent.tarballs.owners import Owners
from oms.contract.errors import FuncManError, HypervisorUnavailable, NoSuchMachine, OmsError

ENDING: Final = ".tar.zst"
STANDS: Final = "stands still"
PACKED: Final = 98.0
PIECE: Final = 1024 * 1024


@dataclass(frozen=True)
class Order:
    """What is to be packed, and as what."""

    ctid: str
    template: str
    choice: Choice


async def pack(order: Order, host: Host, containers: Containers) -> None:
    """Make the template. Raises OmsError, with nothing left."""
    directory, job = host.storage.rootfs, host.job
    target = directory / f"{order.template}{ENDING}"
    try:
        async with contextlib.AsyncExitStack() as held:
            async with job.cancellable():
                await held.enter_async_context(host.leases.hold(job, alone=(lease(order.template),)))
                catalogue.refuse_taken(job, order.template, target)
                staging = await held.enter_async_context(placing.building(directory, job))
                if not placing.is_placed(job, target):
                    await _still(order, staging / target.name, host, containers)
            await placing.place(job, staging / target.name, target)
    except HypervisorUnavailable:
        raise  # whether the container goes on is not known: the job goes on when that can be asked
    except OmsError:
        await _leave(order.ctid, host, containers)
        raise
    await _leave(order.ctid, host, containers)


async def _still(order: Order, target: Path, host: Host, containers: Containers) -> None:
    """Pack a container that is off, or that stands still for it; for as long as its files are copied by reference,
    where they can be."""
    container = await containers.find(order.ctid)
    source = _files(container)
    copies = False
    if container.state == "running":
        if not containers.capabilities.pause:
            raise FuncManError(
                f"Container {order.ctid} runs, and this host cannot have it stand still: stop it first",
                container=order.ctid,
            )
        with placing.told(containers.home):
            beside = container.disk_limit != "image"  # else on another file system than what is beside it
            copies = beside and await unpacked.can_clone(containers, containers.home)
        await host.job.record(STANDS, True)
        await containers.pause(order.ctid)
    try:
        if copies:
            source = await _copied(source, host, containers)
            await _go_on(order.ctid, host, containers)
        with placing.told(host.storage.rootfs):
            work = _built(order, source, Owners(container.ids), target, host)
            digest = await space.while_room(host.storage.rootfs, work, f"Template {order.template!r}")
    finally:
        await _go_on(order.ctid, host, containers)
    host.job.note("sha256", digest)


def _files(container: Container) -> Path:
    if container.rootfs is None:
        raise FuncManError(
            f"The files of container {container.ctid} cannot be seen while it is off: start it first"
        )
    return container.rootfs


async def _copied(source: Path, host: Host, containers: Containers) -> Path:
    """Its files as they are now, on no list."""
    await containers.discard(host.job.id)
    place = await containers.prepare(host.job.id, 0)
    await unpacked.copied(source, place)
    return place


async def _leave(ctid: str, host: Host, containers: Containers) -> None:
    """Nothing of the job's is left with the container, or beside it."""
    await _go_on(ctid, host, containers)
    if host.job.recall(STANDS):
        await containers.discard(host.job.id)


async def _go_on(ctid: str, host: Host, containers: Containers) -> None:
    """Let it go on, if it stands still because of this job."""
    if not host.job.recall(STANDS):
        return
    try:
        container = await containers.find(ctid)
    except NoSuchMachine:
        return
    if container.state == "paused":
        await containers.resume(ctid)


async def _built(order: Order, source: Path, owners: Owners, target: Path, host: Host) -> str:
    """The archive; its SHA-256. Raises NoSpace, FuncManError, OSError."""

    def work(go_on: Progress) -> tuple[str, int]:
        root = os.open(source, packing.DIRECTORY)
        try:
            return _packed(root, order, owners, target, go_on)
        finally:
            os.close(root)

    digest, left_out = await in_thread(work, lambda share: host.job.progress(share * PACKED))
    if left_out:
        host.job.note("left out", f"{left_out} sockets, devices and mounted directories")
    return digest


def _packed(root: int, order: Order, owners: Owners, target: Path, go_on: Progress) -> tuple[str, int]:
    weight = packing.weigh(root, lambda: go_on(0))
    with target.open("xb", buffering=PIECE) as file:
        sink = streams.Packing(file)
        packer = packing.Packer(sink, owners, weight, go_on)
        machine = platform.machine()
        packer.text(scanning.METADATA, packing_settings.metadata(order.template, machine))
        packer.text(scanning.DESCRIPTOR, packing_settings.descriptor(order.template, order.choice))
        packer.tree(root, scanning.ROOTFS)
        return sink.end(), packer.left_out
