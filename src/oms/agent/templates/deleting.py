"""A template taken away, with what was unpacked of it; not while anything stands upon that."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final

from oms.agent import placing
from oms.agent.context import Host
from oms.agent.host import durable, files
from oms.agent.host.files import OwnFile
from oms.agent.images import use
from oms.agent.images.handlers import machines
from oms.agent.templates import package, preparing, unpacking
from oms.contract.errors import InUse, NotThere

KEY_PART: Final = "." + "?" * package.KEY_DIGITS


async def delete(name: str, host: Host) -> None:
    """Delete it. May be repeated by the same job. Raises NotThere, InUse, FuncManError."""
    templates, job = host.storage.templates, host.job
    async with host.leases.hold(job, alone=(preparing.lease(name),)):
        there = [
            path for path in (templates / f"{name}{package.ARCHIVE}", templates / name) if os.path.lexists(path)
        ]
        if not there and not job.recall("goes"):
            raise NotThere(
                f"There is no template {name!r} here; list_templates shows those there are", template=name
            )
        unpacked = await asyncio.to_thread(
            lambda: list((templates / unpacking.UNPACKED).glob(f"{name}{KEY_PART}"))
        )
        await _refuse_needed(name, unpacked, host)
        await job.record("goes", True)
        with placing.told(templates):
            await asyncio.to_thread(_away, templates, job.id, [*there, *unpacked])


async def _refuse_needed(name: str, unpacked: list[Path], host: Host) -> None:
    disks = [file for place in unpacked for file in map(_identified, place.iterdir())]
    needed = await asyncio.to_thread(use.needed_by, await machines(host), host.storage.images, disks)
    if who := sorted({found for file in disks if (found := needed.by(file))}):
        raise InUse(
            f"Template {name!r} is needed by {', '.join(who)}, made of it as a linked clone: nothing was deleted",
            template=name,
            users=who,
        )


def _identified(path: Path) -> OwnFile:
    found = path.lstat()
    return OwnFile(str(path), found.st_dev, found.st_ino)


def _away(templates: Path, job: str, paths: list[Path]) -> None:
    """Out of sight in one step each, and then for good."""
    staging = files.open_staging(templates, job)
    for number, path in enumerate(paths):
        path.rename(staging / f"{number}")
        durable.sync_directory(path.parent)
    shutil.rmtree(staging)
