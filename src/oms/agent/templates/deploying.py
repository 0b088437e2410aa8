"""A machine made of a template, step by step, so that it can be broken off anywhere.

The plan is written down: which machine, which disks. Then, as often as it takes: the template is held and
unpacked; each disk that has no place yet is made aside; all are given their places and names; the machine is
defined. Every run knows by its notes which files it has placed, and a definition replaces itself. Until the first
file has its place the job can be cancelled. Whatever fails, all that was made is taken back: the definition first,
then the files that are this job's own.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from oms import durable
from oms.agent import placing
from oms.agent.context import Host
from oms.agent.guests import Machines
from oms.agent.host import block, copying, files, qemu_img, space
from oms.agent.host.stoppable import Progress
from oms.agent.images import catalogue
from oms.agent.images.handlers import lease as image_lease
from oms.agent.kvm import block_devices
from oms.agent.kvm.domain_xml import domain_xml
from oms.agent.templates import preparing, seed
from oms.agent.templates.new_machine import NewDisk, Plan
from oms.contract.errors import FuncManError, HypervisorUnavailable, NoSuchMachine, OmsError

UNPACKING_PERCENT: Final = 70.0
MADE_PERCENT: Final = 97.0
SEED_FILE: Final = "seed.iso"


async def deploy(plan: Plan, template: str, host: Host, machines: Machines) -> None:
    """Make the machine, or leave nothing of it. Raises OmsError."""
    try:
        async with contextlib.AsyncExitStack() as held:
            async with host.job.cancellable():
                staging = await _begin(plan, template, host, held)
            await _settle(plan, staging, host)
            await machines.define(domain_xml(plan.machine))
    except HypervisorUnavailable:
        raise  # nobody knows whether the machine is defined: the job goes on when that can be asked
    except OmsError:
        await _undo(plan, host, machines)
        raise


async def _begin(plan: Plan, template: str, host: Host, held: contextlib.AsyncExitStack) -> Path:
    """Make all disks aside; answers where. What is needed for that is held from then on."""
    begun = 0.0

    def unpacked(share: float) -> None:
        nonlocal begun
        begun = UNPACKING_PERCENT
        host.job.progress(share * begun)

    alone = [_lease(disk) for disk in plan.disks]
    opened, _ = await held.enter_async_context(preparing.ready(host, template, unpacked, alone=alone))
    if opened.key != plan.key:
        raise FuncManError(f"Template {template!r} was replaced by another meanwhile: nothing was made; try again")
    staging = await held.enter_async_context(placing.building(host.storage.images, host.job))
    sizes = [await asyncio.to_thread(files.allocated_bytes, Path(disk.source)) for disk in plan.disks]
    for number, disk in enumerate(plan.disks):
        before, whole = sum(sizes[:number]), max(sum(sizes), 1)

        def told(share: float, before: int = before, size: int = sizes[number], whole: int = whole) -> None:
            host.job.progress(begun + (MADE_PERCENT - begun) * (before + share * size) / whole)

        with placing.told(host.storage.images):
            await _disk(disk, plan, staging, host, told)
    if plan.seed:
        await _seed(plan, staging)
    return staging


def _lease(disk: NewDisk) -> str:
    return image_lease(Path(disk.path).name) if disk.deploy_type == "file" else block_devices.lease(disk.path)


async def _disk(disk: NewDisk, plan: Plan, staging: Path, host: Host, told: Progress) -> None:
    """One disk, aside; a device is written where it is. Raises NoSpace, FuncManError, OSError."""
    source, path = Path(disk.source), Path(disk.path)
    if disk.deploy_type != "file":
        await block_devices.check(disk.path, host)
        await qemu_img.convert(
            source, "qcow2", path, "raw", onto_device=True, progress=lambda percent: told(percent / 100)
        )
        await block.zero(path, (await qemu_img.info(source, "qcow2")).virtual_size)
        return
    if placing.is_placed(host.job, path):
        return
    made = staging / path.name
    if plan.linked:
        await qemu_img.create(made, "qcow2", disk.size_bytes, backing=(source, "qcow2"))
        return
    space.require(staging, files.allocated_bytes(source), f"Disk image {path.name!r}")
    await copying.copy(source, made, told)
    if disk.grown:
        await qemu_img.resize(made, "qcow2", disk.size_bytes)


async def _seed(plan: Plan, staging: Path) -> None:
    directory = staging / "seed"
    with placing.told(staging):
        directory.mkdir(mode=0o700)
        await seed.write(plan.seed, directory, staging / SEED_FILE)


async def _settle(plan: Plan, staging: Path, host: Host) -> None:
    """Give all files their places."""
    for disk in plan.disks:
        if disk.deploy_type == "file":
            path = Path(disk.path)
            await catalogue.take_in(host.job, staging / path.name, path, "qcow2")
    if plan.seed:
        path = Path(plan.seed_path)
        with placing.told(path.parent):
            durable.own_directory(path.parent, 0o711)
        await placing.place(host.job, staging / SEED_FILE, path)


async def _undo(plan: Plan, host: Host, machines: Machines) -> None:
    """Take back what this job has made, and nothing else."""
    with contextlib.suppress(NoSuchMachine):
        await machines.undefine(plan.machine.uuid)
    for path in (*(Path(disk.path) for disk in plan.disks if disk.deploy_type == "file"), Path(plan.seed_path)):
        with placing.told(path.parent):
            await asyncio.to_thread(placing.take_back, host.job, path)
    with placing.told(host.storage.images):
        await asyncio.to_thread(catalogue.forget_missing, host.storage.images)
    await placing.remove(host.storage.images, host.job)
