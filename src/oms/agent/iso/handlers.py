"""ISOService on this host.

A changing method may be broken off by a crash at any point and is then called again with the same job.
"""

import asyncio
from pathlib import Path

from oms.agent import placing, shelf
from oms.agent.context import Host
from oms.agent.guests import Machine
from oms.agent.host import files
from oms.agent.images import use
from oms.agent.transfer import arrival
from oms.agent.transfer.arrival import Kind
from oms.contract import iso
from oms.contract.errors import InUse
from oms.contract.handlers import Handlers
from oms.contract.incoming import Received, Upload

handlers: Handlers[Host] = Handlers()
NOUN = "ISO image"


@handlers.handles(iso.ListImages)
async def list_images(_op: iso.ListImages, host: Host) -> list[str]:
    """What lies there, whoever put it there."""
    with placing.told(host.storage.iso):
        return await asyncio.to_thread(shelf.names, host.storage.iso)


@handlers.handles(iso.DescribeImages)
async def describe_images(_op: iso.DescribeImages, host: Host) -> list[iso.IsoImage]:
    """Users are those machines whose definition of now or of the next start has it in a drive."""
    with placing.told(host.storage.iso):
        return await asyncio.to_thread(_described, host.storage.iso, await _machines(host))


@handlers.handles(iso.UploadImage)
async def upload_image(op: iso.UploadImage, host: Host) -> Upload:
    """Answered once there is a place for it; the job ends when it is whole."""
    return await arrival.upload(host, _kind(host), op.image_name, op.size_bytes, op.sha256)


@handlers.handles(iso.FetchImage)
async def fetch_image(op: iso.FetchImage, host: Host) -> Received:
    """From the web."""
    return await arrival.fetch(host, _kind(host), op.image_name, op.url, op.sha256)


@handlers.handles(iso.CopyImage)
async def copy_image(op: iso.CopyImage, host: Host) -> Received:
    """OMS asks the other host to send it when this one begins to take."""
    return await arrival.copy(host, _kind(host), op.image_name)


@handlers.handles(iso.DeleteImage)
async def delete_image(op: iso.DeleteImage, host: Host) -> int:
    """Who has it in a drive is looked for last, right before it goes."""
    name = op.image_name

    async def refuse_needed(file: files.OwnFile) -> None:
        if who := use.by_machines(await _machines(host)).by(file):
            raise InUse(f"ISO image {name!r} is in a drive of {who}: nothing was deleted", file=name, user=who)

    async with host.leases.hold(host.job, alone=(lease(name),)):
        await shelf.take_away(host.storage.iso, name, NOUN, host.job, refuse_needed)
    return 0


def lease(name: str) -> str:
    """The name under which an ISO image is held."""
    return f"iso/{name}"


def _kind(host: Host) -> Kind:
    return Kind(host.storage.iso, NOUN, "iso", _check, placing.place)


async def _check(_path: Path) -> None:
    """A CD's content is its reader's business: to this host it is bytes, whatever they are."""


async def _machines(host: Host) -> list[Machine]:
    return [] if host.machines is None else await host.machines.all()


def _described(directory: Path, machines: list[Machine]) -> list[iso.IsoImage]:
    found = []
    needs = [(machine.name, use.by_machines([machine])) for machine in machines]
    for name in shelf.names(directory):
        file = files.own_file(directory / name, directory)
        if isinstance(file, files.OwnFile):
            size_kb = Path(file.path).stat().st_size // 1024
            found.append(iso.IsoImage(name, size_kb, [who for who, needed in needs if needed.by(file)]))
    return found
