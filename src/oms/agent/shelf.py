"""A directory of ours whose files are called by their names: disk images, ISO images.

A name is never more than that: no path, no link, nothing hidden. What lies there under a name that no call could
say is not listed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from oms import durable
from oms.agent import placing
from oms.agent.context import Job
from oms.agent.host import files
from oms.contract.errors import NotThere
from oms.contract.types import FileName


def path_of(directory: Path, name: str) -> Path:
    """Where the file of that name is, or would be. Raises NotThere for what is no name."""
    try:
        return directory / msgspec.convert(name, FileName)
    except msgspec.ValidationError:
        raise NotThere(f"{name!r} is no name of a file") from None


def find(directory: Path, name: str, noun: str) -> files.OwnFile:
    """The file of that name. Raises NotThere, also for a link or whatever else is no regular file.

    `noun` says what is looked for, as in "disk image".
    """
    found = files.own_file(path_of(directory, name), directory)
    if isinstance(found, files.NotOwn):
        raise NotThere(f"There is no {noun} {name!r} in {directory}: {found.why}", file=name)
    return found


def names(directory: Path) -> list[str]:
    """The files there, by name. Raises OSError."""
    return sorted(entry.name for entry in directory.iterdir() if _is_one(entry))


def _is_one(path: Path) -> bool:
    try:
        msgspec.convert(path.name, FileName)
    except msgspec.ValidationError:
        return False
    return path.is_file() and not path.is_symlink()


async def take_away(
    directory: Path, name: str, noun: str, job: Job, refuse_needed: Callable[[files.OwnFile], Awaitable[None]]
) -> None:
    """Delete a file. May be broken off anywhere, and called again by the same job: what has since been made under
    that name stays.

    `refuse_needed` raises where somebody needs it. Raises NotThere, FuncManError, with nothing changed.
    """
    if not job.recall("aside"):
        file = _doomed(directory, name, noun, job)
        if file is not None:
            await refuse_needed(file)
            await job.record("goes", [file.device, file.inode])
            with placing.told(directory):
                staging = await asyncio.to_thread(files.open_staging, directory, job.id)
                await asyncio.to_thread(files.set_aside, file, directory, staging)
        await job.record("aside", True)
    await placing.remove(directory, job)


async def clear_away(directory: Path, job: Job, doomed: Callable[[], Awaitable[Iterable[Path]]]) -> None:
    """Delete what lies under several names, files, directories or links, each out of sight in one step. May be
    broken off anywhere, and called again by the same job, which knows by its notes what it was to delete: what has
    since been made under those names is another's, and stays.

    `doomed` answers the paths, or raises where that may not be. Raises FuncManError.
    """
    if (going := job.recall("going")) is None:
        going = {str(path): files.which(path) for path in await doomed()}
        await job.record("going", going)
    if not job.recall("aside"):
        with placing.told(directory):
            await asyncio.to_thread(_set_aside, directory, job.id, going)
        await job.record("aside", True)  # from here on, what they were known by may be others' again
    await placing.remove(directory, job)


def _set_aside(directory: Path, job: str, going: Mapping[str, list[int] | None]) -> None:
    staging = files.open_staging(directory, job)
    for number, (text, which) in enumerate(going.items()):
        path = Path(text)
        if which is not None and files.which(path) == which:
            path.rename(staging / f"{number}")
            durable.sync_directory(path.parent)


def _doomed(directory: Path, name: str, noun: str, job: Job) -> files.OwnFile | None:
    """The file that is to go; None where an earlier run has moved it away already."""
    goes = job.recall("goes")
    try:
        file = find(directory, name, noun)
    except NotThere:
        if goes is None:
            raise
        return None
    return file if goes in (None, [file.device, file.inode]) else None
