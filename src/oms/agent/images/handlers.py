"""KVMService's disk images on this host.

A changing method may be broken off by a crash at any point and is then called again with the same job.
"""

import asyncio
from pathlib import Path

from oms.agent import placing, shelf
from oms.agent.context import Host, Job
from oms.agent.guests import Machine
from oms.agent.host import files, qemu_img, space
from oms.agent.images import catalogue, foreign, look, use
from oms.agent.transfer import arrival
from oms.agent.transfer.arrival import Kind
from oms.contract.errors import AlreadyThere, InUse
from oms.contract.handlers import Handlers
from oms.contract.incoming import Received, Upload
from oms.contract.kvm import images as api
from oms.contract.types import DiskFormat

handlers: Handlers[Host] = Handlers()
MIB = 1024 * 1024
NOUN = "disk image"


@handlers.handles(api.CreateFileBasedImage)
async def create_file_based_image(op: api.CreateFileBasedImage, host: Host) -> int:
    """Room is needed for all of the disk, though it takes none yet: a machine that finds no room in its own disk
    later loses what it writes."""
    images, job, name = host.storage.images, host.job, op.diskimage_name
    disk_format = op.diskimage_format or host.offer.disk_format
    async with host.leases.hold(job, alone=(lease(name),)):
        path = shelf.path_of(images, name)
        placing.refuse_taken(job, path)
        async with placing.building(images, job) as staging:
            if not placing.is_placed(job, path):
                size_bytes = op.diskimage_size_megabytes * MIB
                space.require(images, size_bytes, f"Disk image {name!r}")
                await qemu_img.create(staging / name, disk_format, size_bytes)
                await catalogue.take_in(job, staging / name, path, disk_format)
    job.note("format", disk_format)
    return 0


@handlers.handles(api.DeleteFileBasedImage)
async def delete_file_based_image(op: api.DeleteFileBasedImage, host: Host) -> api.Done:
    """What needs it is looked for last, right before it goes."""
    images, name = host.storage.images, op.diskimage_name
    async with host.leases.hold(host.job, alone=(lease(name),)):

        async def refuse_needed(file: files.OwnFile) -> None:
            needed = use.needed_by(await machines(host), images, [file])
            if who := needed.by(file):
                raise InUse(f"Disk image {name!r} is needed by {who}: nothing was deleted", file=name, user=who)

        await shelf.take_away(images, name, NOUN, host.job, refuse_needed)
        await asyncio.to_thread(catalogue.forget_missing, images)
    return 0, "", ""


@handlers.handles(api.ListFileBasedImages)
async def list_file_based_images(_op: api.ListFileBasedImages, host: Host) -> list[str]:
    """What lies there, whoever put it there."""
    with placing.told(host.storage.images):
        return await asyncio.to_thread(shelf.names, host.storage.images)


@handlers.handles(api.ListFileBasedImagesUsed)
async def list_file_based_images_used(_op: api.ListFileBasedImagesUsed, host: Host) -> list[str]:
    """By the definitions of machines, of the next start and of now."""
    with placing.told(host.storage.images):
        return list(await asyncio.to_thread(use.users, await machines(host), host.storage.images))


@handlers.handles(api.DescribeFileBasedImages)
async def describe_file_based_images(_op: api.DescribeFileBasedImages, host: Host) -> list[api.DiskImage]:
    """From the files' own heads; no program is run for it."""
    images = host.storage.images
    with placing.told(images):
        return await asyncio.to_thread(look.described, images, use.users(await machines(host), images))


@handlers.handles(api.AdoptFileBasedImage)
async def adopt_file_based_image(op: api.AdoptFileBasedImage, host: Host) -> int:
    """The same word may be given again; another one only where nobody gave one before."""
    images, name = host.storage.images, op.diskimage_name
    async with host.leases.hold(host.job, alone=(lease(name),)):
        file = shelf.find(images, name, NOUN)
        known = catalogue.format_of(images / name)
        if known not in (None, op.diskimage_format):
            raise AlreadyThere(f"Disk image {name!r} is {known}, as OMS was told before: that stays", file=name)
        await foreign.check(images / name, op.diskimage_format)
        await catalogue.adopt(images / name, file, op.diskimage_format)
    return 0


@handlers.handles(api.UploadFileBasedImage)
async def upload_file_based_image(op: api.UploadFileBasedImage, host: Host) -> Upload:
    """Answered once there is a place for it; the job ends when it is whole and was looked at."""
    return await arrival.upload(
        host, _kind(host, op.diskimage_format), op.diskimage_name, op.size_bytes, op.sha256
    )


@handlers.handles(api.FetchFileBasedImage)
async def fetch_file_based_image(op: api.FetchFileBasedImage, host: Host) -> Received:
    """From the web."""
    return await arrival.fetch(host, _kind(host, op.diskimage_format), op.diskimage_name, op.url, op.sha256)


def _kind(host: Host, disk_format: DiskFormat) -> Kind:
    async def check(path: Path) -> None:
        await foreign.check(path, disk_format)

    async def place(job: Job, staged: Path, path: Path) -> None:
        await catalogue.take_in(job, staged, path, disk_format)

    return Kind(host.storage.images, NOUN, "image", check, place)


def lease(name: str) -> str:
    """The name under which a disk image is held."""
    return f"image/{name}"


async def machines(host: Host) -> list[Machine]:
    """All machines of the host; none where it can have none."""
    return [] if host.machines is None else await host.machines.all()
