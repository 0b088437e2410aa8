"""A template made of a machine, step by step, so that it can be broken off anywhere.

A machine that is on has its disks copied by its hypervisor, all as they are at one moment; it goes on with its
own, so there is nothing in it to be undone. Then each disk is converted, small and in one file, and all is put
together in one archive: first its description, then the digests, then the disks. That is built aside and gets its
name in the end; what is broken off before leaves nothing, and is begun anew.
"""

import asyncio
import contextlib
import hashlib
import io
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from oms.agent import placing
from oms.agent.context import Host
from oms.agent.guests import Definition, Machine, Machines
from oms.agent.host import block, files, qemu_img, space
from oms.agent.host.stoppable import Progress, in_thread
from oms.agent.images.handlers import lease as image_lease
from oms.agent.kvm import block_devices
from oms.agent.kvm.conditions import present
from oms.agent.templates import manifest, ovf_writing, package, packing_settings, preparing
from oms.agent.templates.packing_settings import Choice, Source
from oms.contract.errors import HypervisorUnavailable, OmsError

COPIED, CONVERTED, PACKED = 30.0, 85.0, 98.0
"""Percents at which the steps end; the first only where the machine is on."""
CHUNK: Final = 1024 * 1024
BLOCK: Final = 512
OPTIONS: Final = {"vmdk": ("subformat=streamOptimized", "adapter_type=lsilogic"), "qcow2": ()}


async def sources(definition: Definition) -> list[Source]:
    """The disks of a machine that can be packed. Raises FuncManError."""
    found = []
    for disk in definition.disks:
        if (disk_format := packing_settings.packable(disk)) is None:
            continue
        path = disk.file or disk.sources[0]
        about = await qemu_img.info(path, disk_format)
        taken = await asyncio.to_thread(_taken, path)
        found.append(Source(disk.target, path, disk_format, disk.bus, about.virtual_size, taken))
    return found


@dataclass(frozen=True)
class Order:
    """What is to be packed, and how."""

    machine: Machine
    template: str
    choice: Choice

    def file(self, number: int) -> str:
        """The name of a disk in the package."""
        return packing_settings.file_name(self.template, number, self.choice.format)


async def pack(order: Order, host: Host, machines: Machines) -> None:
    """Make the template. Raises OmsError, with nothing left."""
    templates, machine = host.storage.templates, order.machine
    target = templates / f"{order.template}{package.ARCHIVE}"
    try:
        async with contextlib.AsyncExitStack() as held:
            async with host.job.cancellable():
                disks = await sources(present(machine))
                lease = preparing.lease(order.template)
                shared = [_lease(disk, host) for disk in disks]
                await held.enter_async_context(host.leases.hold(host.job, alone=(lease,), shared=shared))
                if host.job.resumed and machine.live is not None:
                    await machines.end_copy(machine.uuid, _copies(files.staging_of(templates, host.job.id)))
                preparing.refuse_taken(host.job, target)
                staging = await held.enter_async_context(placing.building(templates, host.job))
                if not placing.is_placed(host.job, target):
                    work = _built(order, host, machines, disks, staging)
                    with placing.told(templates):
                        await space.while_room(templates, work, f"Template {order.template!r}")
            await placing.place(host.job, staging / target.name, target)
    except HypervisorUnavailable:
        raise  # what the machine does is not known: the job goes on when that can be asked
    except OmsError:
        await _undo(machine, host, machines)
        raise


async def _built(order: Order, host: Host, machines: Machines, disks: list[Source], staging: Path) -> None:
    begun = 0.0
    if order.machine.live is not None and disks:
        disks, begun = await _copied(order.machine, host, machines, disks, staging), COPIED
    paths = [staging / order.file(number) for number in range(1, len(disks) + 1)]
    packing, sizes = order.choice.format, [disk.file_bytes for disk in disks]
    for number, (disk, path) in enumerate(zip(disks, paths, strict=True)):

        def told(percent: float, before: int = sum(sizes[:number]), size: int = sizes[number]) -> None:
            share = (before + percent / 100 * size) / max(sum(sizes), 1)
            host.job.progress(begun + (CONVERTED - begun) * share)

        await qemu_img.convert(
            disk.path,
            disk.format,
            path,
            packing,
            options=OPTIONS[packing],
            compress=packing == "qcow2",
            progress=told,
        )
        if order.machine.live is not None:
            await asyncio.to_thread(disk.path.unlink)
    packed = [path.stat().st_size for path in paths]
    made = packing_settings.appliance(order.template, present(order.machine), order.choice, disks, packed)
    target, text = staging / f"{order.template}{package.ARCHIVE}", ovf_writing.written(made)
    await in_thread(
        lambda go_on: _archive(target, order.template, text, paths, go_on),
        lambda share: host.job.progress(CONVERTED + (PACKED - CONVERTED) * share),
    )


async def _copied(
    machine: Machine, host: Host, machines: Machines, disks: list[Source], staging: Path
) -> list[Source]:
    """The disks of a machine that is on, copied. The hypervisor writes under an account of its own."""
    copies = _copies(staging)
    copies.mkdir()
    for directory in (staging, copies):
        directory.chmod(0o711)
    space.require(staging, sum(disk.file_bytes for disk in disks), "A copy of the machine's disks")
    paths = {disk.target: copies / f"{disk.target}.qcow2" for disk in disks}
    await machines.copy_disks(machine.uuid, paths, lambda percent: host.job.progress(percent * COPIED / 100))
    return [_at(paths[disk.target], disk) for disk in disks]


def _at(copy: Path, disk: Source) -> Source:
    return msgspec.structs.replace(disk, path=copy, format="qcow2", file_bytes=files.allocated_bytes(copy))


def _copies(staging: Path) -> Path:
    return staging / "copies"


def _archive(target: Path, template: str, text: bytes, disks: list[Path], go_on: Progress) -> None:
    """Put all together. The digests stand before what they are of: room is left for them, which is known."""
    names = [f"{template}{package.DESCRIPTOR}", *(disk.name for disk in disks)]
    digests = {names[0]: hashlib.sha256(text).hexdigest()}
    room = len(manifest.written(dict.fromkeys(names, "0" * manifest.DIGITS[manifest.USUAL])))
    whole, done = sum(disk.stat().st_size for disk in disks) or 1, 0

    def told() -> None:
        go_on(done / whole)

    with target.open("xb") as archive, ThreadPoolExecutor(1, thread_name_prefix="digest") as beside:
        _member(archive, names[0], len(text))
        archive.write(text)
        _fill(archive)
        _member(archive, f"{template}{package.MANIFEST}", room)
        place = archive.tell()
        archive.seek(room, io.SEEK_CUR)
        _fill(archive)
        for disk in disks:
            digest = beside.submit(_digest, disk, told)
            _member(archive, disk.name, disk.stat().st_size)
            with disk.open("rb") as file:
                while chunk := file.read(CHUNK):
                    archive.write(chunk)
                    done += len(chunk)
                    told()
            _fill(archive)
            digests[disk.name] = digest.result()
            disk.unlink()
        archive.write(bytes(2 * BLOCK))
        archive.seek(place)
        archive.write(manifest.written(digests))


def _digest(path: Path, go_on: Callable[[], None]) -> str:
    """Takes about as long as copying, and is done beside it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            go_on()
    return digest.hexdigest()


def _member(archive: io.BufferedIOBase, name: str, size: int) -> None:
    about = tarfile.TarInfo(name)
    about.size, about.mode = size, 0o644
    about.uname = about.gname = "root"
    large = size >= 8**11  # the oldest form has no number for it
    archive.write(about.tobuf(tarfile.GNU_FORMAT if large else tarfile.USTAR_FORMAT))


def _fill(archive: io.BufferedIOBase) -> None:
    """To the end of the last block."""
    archive.write(bytes(-archive.tell() % BLOCK))


def _lease(disk: Source, host: Host) -> str:
    """A disk's, so that nobody takes it away meanwhile."""
    if disk.path.parent == host.storage.images:
        return image_lease(disk.path.name)
    return block_devices.lease(str(disk.path))


async def _undo(machine: Machine, host: Host, machines: Machines) -> None:
    """What is in staging goes with it; a copy that is being made into it is broken off first."""
    with contextlib.suppress(OmsError):
        await machines.end_copy(machine.uuid, _copies(files.staging_of(host.storage.templates, host.job.id)))
    await placing.remove(host.storage.templates, host.job)


def _taken(path: Path) -> int:
    return block.size_bytes(path) if path.is_block_device() else files.allocated_bytes(path)
