"""Container templates brought to this host: an archive that has come whole gets its name once it was looked at.

A changing method may be broken off by a crash at any point and is then called again with the same job.
"""

import os
from functools import partial
from pathlib import Path
from typing import Final

from oms.agent import placing
from oms.agent.context import Host
from oms.agent.guests.containers import Containers
from oms.agent.host import space
from oms.agent.host.stoppable import in_thread
from oms.agent.ovz.conditions import containers_of
from oms.agent.rootfs import catalogue
from oms.agent.rootfs.deploying import LEASE
from oms.agent.tarballs import scanning
from oms.agent.tarballs.owners import Owners
from oms.agent.templates import ovf, words
from oms.agent.templates.appliance import BadPackage
from oms.agent.transfer import arrival
from oms.agent.transfer.arrival import Kind
from oms.contract.handlers import Handlers
from oms.contract.incoming import Received, Upload
from oms.contract.ovz import arrivals

handlers: Handlers[Host] = Handlers()
NOUN: Final = "container template"


@handlers.handles(arrivals.UploadTemplate)
async def upload_template(op: arrivals.UploadTemplate, host: Host) -> Upload:
    """Answered once there is a place for it; the job ends when it is whole and was looked at."""
    return await arrival.upload(host, _kind(host), op.template_name, op.size_bytes, op.sha256)


@handlers.handles(arrivals.FetchTemplate)
async def fetch_template(op: arrivals.FetchTemplate, host: Host) -> Received:
    """From the web."""
    return await arrival.fetch(host, _kind(host), op.template_name, op.url, op.sha256)


@handlers.handles(arrivals.CopyTemplate)
async def copy_template(op: arrivals.CopyTemplate, host: Host) -> Received:
    """OMS asks the other host to send it when this one begins to take."""
    return await arrival.copy(host, _kind(host), op.template_name)


def _kind(host: Host) -> Kind:
    return Kind(
        host.storage.rootfs,
        NOUN,
        LEASE,
        partial(_check, containers=containers_of(host)),
        placing.place,
        ending=catalogue.OURS,
        refuse_taken=lambda job, target: catalogue.refuse_taken(job, _name(target), target),
    )


async def _check(path: Path, containers: Containers) -> None:
    """All that is looked at when it is used: whoever brought it is there to hear of it."""
    file = os.open(path, catalogue.OPENED)
    try:
        room = space.free_bytes(containers.home)
        found = await in_thread(
            lambda go_on: scanning.scan(file, Owners(containers.capabilities.ids), room, go_on)
        )
        if found.descriptor:
            ovf.read(found.descriptor)
    except BadPackage as bad:
        raise words.unusable(_name(path), bad) from bad
    finally:
        os.close(file)


def _name(archive: Path) -> str:
    return archive.name.removesuffix(catalogue.OURS)
