"""Templates brought to this host: a package that has come whole gets its name once it was looked at.

A changing method may be broken off by a crash at any point and is then called again with the same job.
"""

from pathlib import Path
from typing import Final

from oms.agent import placing
from oms.agent.context import Host, Job
from oms.agent.templates import package, preparing, unpacking
from oms.agent.transfer import arrival
from oms.agent.transfer.arrival import Kind
from oms.contract.handlers import Handlers
from oms.contract.incoming import Received, Upload
from oms.contract.kvm import arrivals

handlers: Handlers[Host] = Handlers()
NOUN: Final = "template"


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
        host.storage.templates,
        NOUN,
        preparing.LEASE,
        _check,
        _place,
        ending=package.ARCHIVE,
        refuse_taken=preparing.refuse_taken,
    )


async def _check(path: Path) -> None:
    """As when it is used, and its digests too: whoever brought it is there to hear of it."""
    async with package.opened(path.parent, path.name.removesuffix(package.ARCHIVE)) as opened:
        await unpacking.compare(opened)


async def _place(job: Job, staged: Path, path: Path) -> None:
    preparing.refuse_taken(job, path)
    await placing.place(job, staged, path)
