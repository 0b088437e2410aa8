"""Templates made ready: for a job that is about to use one, or ahead of it, when somebody has looked at one.

A template is held (`template/NAME`) alone while its disks are unpacked, and by many while they are used. Whoever
uses one finds it unpacked, or unpacks it, and looks again: the package may be another one by then.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Final

from oms.agent import placing
from oms.agent.context import Host, Job
from oms.agent.errands import Errand
from oms.agent.host import files, space
from oms.agent.host.stoppable import Progress
from oms.agent.leases import Holder
from oms.agent.templates import package, unpacking, words
from oms.agent.templates.package import Package

LEASE: Final = "template"
READERS_WAIT_SECONDS: Final = 8.0
"""So long a read waits for what it set going: mostly, a damaged package is refused when it is looked at."""


def lease(name: str) -> str:
    """The name under which a template is held."""
    return f"{LEASE}/{name}"


def refuse_taken(job: Job, target: Path) -> None:
    """See that an archive's name is no template's, in whichever form, or was given by this job already. Raises
    AlreadyThere."""
    placing.refuse_taken(job, target)
    name = target.name.removesuffix(package.ARCHIVE)
    if os.path.lexists(target.parent / name):
        raise words.taken(name)


@contextlib.asynccontextmanager
async def ready(
    host: Host, name: str, progress: Progress, *, alone: Collection[str] = ()
) -> AsyncIterator[tuple[Package, Path]]:
    """A template, open, and the directory of its disks; held so that nobody takes it away meanwhile, and with it
    what else is to be held.

    Raises NotThere, Unusable, NoSpace, FuncManError.
    """
    templates, hold = host.storage.templates, host.leases.hold
    while True:
        async with hold(host.job, alone=alone, shared=(lease(name),)), package.opened(templates, name) as opened:
            place = unpacking.place_of(templates, opened)
            if await asyncio.to_thread(place.is_dir):
                yield opened, place
                return
        async with hold(host.job, alone=(lease(name),)), package.opened(templates, name) as opened:
            await _unpack(opened, templates, host.job, progress)


async def ahead(host: Host, opened: Package) -> None:
    """Have a template unpacked that somebody may want to use soon. Raises what is wrong with it where that shows
    itself soon; else it goes on by itself."""
    templates, name = host.storage.templates, opened.name
    if await asyncio.to_thread(unpacking.place_of(templates, opened).is_dir):
        return

    async def work(errand: Errand) -> None:
        async with host.leases.hold(errand, alone=(lease(name),)), package.opened(templates, name) as again:
            await _unpack(again, templates, errand, lambda _share: None)

    await host.errands.run(f"unpack-{name}.{opened.key}", work, READERS_WAIT_SECONDS)


async def _unpack(opened: Package, templates: Path, holder: Holder, progress: Progress) -> None:
    if await asyncio.to_thread(unpacking.place_of(templates, opened).is_dir):
        return
    with placing.told(templates):
        files.clear_staging(templates, holder.id)
        staging = files.open_staging(templates, holder.id)
        try:
            needed = sum(unpacking.weight(disk, opened) for disk in opened.appliance.disks)
            space.require(templates, needed, f"Template {opened.name!r}, unpacked,")
            await unpacking.unpack(opened, templates, staging, progress)
        finally:
            files.clear_staging(templates, holder.id)
