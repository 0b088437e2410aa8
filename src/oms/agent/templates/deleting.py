"""A template taken away, with what was unpacked of it; not while anything stands upon that."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from oms import durable
from oms.agent import placing
from oms.agent.context import Host
from oms.agent.host import files
from oms.agent.host.files import OwnFile
from oms.agent.images import use
from oms.agent.images.handlers import machines
from oms.agent.templates import package, preparing, unpacking
from oms.contract.errors import InUse, NotThere

GOING, ASIDE = "going", "aside"
KEY_PART: Final = "." + "?" * package.KEY_DIGITS


async def delete(name: str, host: Host) -> None:
    """Delete it. May be repeated by the same job, which knows by its notes what it was to delete: what has come
    under the name since is another one, and stays. Raises NotThere, InUse, FuncManError."""
    templates, job = host.storage.templates, host.job
    async with host.leases.hold(job, alone=(preparing.lease(name),)):
        if (going := job.recall(GOING)) is None:
            there = [path for path in _places(name, templates) if os.path.lexists(path)]
            if not there:
                raise NotThere(
                    f"There is no template {name!r} here; list_templates shows those there are", template=name
                )
            unpacked = sorted((templates / unpacking.UNPACKED).glob(f"{name}{KEY_PART}"))
            await _refuse_needed(name, unpacked, host)
            going = {str(path): files.identity(path) for path in (*there, *unpacked)}
            await job.record(GOING, going)
        if not job.recall(ASIDE):
            with placing.told(templates):
                await asyncio.to_thread(_set_aside, templates, job.id, going)
            await job.record(ASIDE, True)  # from here on, what they were known by may be others' again
    await placing.remove(templates, job)


def _places(name: str, templates: Path) -> tuple[Path, ...]:
    return templates / f"{name}{package.ARCHIVE}", templates / name


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


def _set_aside(templates: Path, job: str, going: Mapping[str, Sequence[int] | None]) -> None:
    """Out of sight, in one step each."""
    staging = files.open_staging(templates, job)
    for number, (text, identity) in enumerate(going.items()):
        path = Path(text)
        if identity is not None and files.identity(path) == tuple(identity):
            path.rename(staging / f"{number}")
            durable.sync_directory(path.parent)
