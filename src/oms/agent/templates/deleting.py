"""A template taken away, with what was unpacked of it; not while anything stands upon that."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from oms.agent import shelf
from oms.agent.context import Host
from oms.agent.host.files import OwnFile
from oms.agent.images import use
from oms.agent.images.handlers import machines
from oms.agent.templates import package, preparing, unpacking, words
from oms.contract.errors import InUse

KEY_PART: Final = "." + "?" * package.KEY_DIGITS


async def delete(name: str, host: Host) -> None:
    """Delete it. May be repeated by the same job. Raises NotThere, InUse, FuncManError."""
    templates = host.storage.templates

    async def doomed() -> Iterable[Path]:
        places = (templates / f"{name}{package.ARCHIVE}", templates / name)
        there = [path for path in places if os.path.lexists(path)]
        if not there:
            raise words.not_there(name)
        unpacked = sorted((templates / unpacking.UNPACKED).glob(f"{name}{KEY_PART}"))
        await _refuse_needed(name, unpacked, host)
        return *there, *unpacked

    async with host.leases.hold(host.job, alone=(preparing.lease(name),)):
        await shelf.clear_away(templates, host.job, doomed)


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
