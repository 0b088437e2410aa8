"""Templates unpacked once for all containers that will come of them, where files can be copied by reference.

On such a file system (btrfs, XFS with reflinks) a copy takes no room and no reading, so the first look at a
template unpacks it beside the containers, in `.templates/NAME.KEY`, closed to everybody. On others that would only
take twice the room and the time: there each container is written from the archive.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from oms import durable
from oms.agent import placing
from oms.agent.guests.containers import Containers
from oms.agent.host import process
from oms.agent.host.copying import FICLONE, NOT_HERE
from oms.agent.rootfs import catalogue, looking
from oms.agent.rootfs.catalogue import Template
from oms.contract.errors import FuncManError, NoSpace

PLACE: Final = ".templates"
HALF: Final = ".half"
PROBE: Final = ".probe"
COPY_SECONDS: Final = 3600.0
Write = Callable[[Path], Awaitable[None]]


def place_of(containers: Containers, template: Template) -> Path:
    """Where this content of a template is, or will be."""
    note = looking.note_of(Path(), template, containers.capabilities.ids)
    return containers.home / PLACE / note.name


async def can_clone(containers: Containers, place: Path) -> bool:
    """Whether files beside the containers can be copied into `place` by reference. Raises OSError."""
    return await asyncio.to_thread(_can_clone, containers.home, place)


async def ready(containers: Containers, template: Template, write: Write) -> Path:
    """The unpacked template, made by `write` where it is not there; the caller holds it alone then.

    Raises what `write` raises, OSError.
    """
    place = place_of(containers, template)
    if not await asyncio.to_thread(place.is_dir):
        await asyncio.to_thread(forget, containers, template.name)
        durable.own_directory(place.parent)
        half = place.with_name(f"{place.name}{HALF}")
        half.mkdir(mode=0o700)
        try:
            await write(half)
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, half, ignore_errors=True)
            raise
        half.rename(place)
        durable.sync_directory(place.parent)
    return place


async def copied(unpacked: Path, place: Path) -> None:
    """Copy a tree into an empty directory by reference, with all that its files have. Raises NoSpace,
    FuncManError."""
    words = ["cp", "--archive", "--one-file-system", "--preserve=all", "--reflink=always", "--no-target-directory"]
    done = await process.run([*words, "--", str(unpacked), str(place)], timeout=COPY_SECONDS)
    if done.exit == 0:
        return
    if any(os.strerror(number) in done.stderr.decode(errors="replace") for number in placing.FULL):
        raise NoSpace(
            f"{place.parent.parent.parent} has no room left, or the container's disk is too small for it"
        )
    raise FuncManError(f"The files could not be copied by reference: {done.words}")


def forget(containers: Containers, name: str) -> None:
    """Delete what was unpacked of a template, whichever content. Raises OSError."""
    for stale in (containers.home / PLACE).glob(f"{name}.{'?' * catalogue.KEY_DIGITS}.????????*"):
        shutil.rmtree(stale)


def _can_clone(source: Path, target: Path) -> bool:
    probes = [directory / f"{PROBE}-{secrets.token_hex(8)}" for directory in (source, target)]
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.ExitStack() as opened:
        files = []
        for probe in probes:
            files.append(os.open(probe, flags, 0o600))
            opened.callback(os.close, files[-1])
            opened.callback(probe.unlink)
        try:
            os.write(files[0], bytes(4096))
            fcntl.ioctl(files[1], FICLONE, files[0])
        except OSError as error:
            if error.errno in (*NOT_HERE, errno.EOPNOTSUPP):
                return False
            raise
        return True
