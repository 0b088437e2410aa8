"""A file that was built aside gets its name: whole, on the disk, and never in place of another.

A job builds in `.staging/<job>/` of the directory where the file will be. To place it, the job writes down which
file it is, and links it to its name; that fails where there is one of the name. A run that was broken off finds
its file by that note. What is left in staging goes when the building ends, or with the sweep at the agent's next
start.
"""

import asyncio
import contextlib
import errno
import os
import shutil
import stat
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from pathlib import Path

from oms import durable
from oms.agent.context import Job
from oms.agent.host import files
from oms.contract.errors import AlreadyThere, FuncManError, NoSpace

PRIVATE = 0o600
PLACED = "placed"
FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.asynccontextmanager
async def building(directory: Path, job: Job, *, anew: bool = True) -> AsyncIterator[Path]:
    """The job's own directory to build in; it goes with all that is in it, whether the building succeeds or fails.

    `anew`: what an earlier run of the job has left there is of no use. Raises NoSpace, FuncManError.
    """
    await asyncio.to_thread(_open, directory, job, anew)
    try:
        yield files.staging_of(directory, job.id)
    except Exception:
        await remove(directory, job)
        raise
    await remove(directory, job)


async def remove(directory: Path, job: Job) -> None:
    """Delete what the job has in staging. What cannot be deleted now is swept later, and does not decide how the
    job has ended."""
    with contextlib.suppress(OSError):
        await asyncio.to_thread(files.clear_staging, directory, job.id)


def refuse_taken(job: Job, target: Path) -> None:
    """See early that a name is free, or has been given by this job already. Raises AlreadyThere."""
    if os.path.lexists(target) and not is_placed(job, target):
        raise _taken(target)


def is_placed(job: Job, target: Path) -> bool:
    """Whether an earlier run of this job has placed its file, and it is still there."""
    noted = job.recall(f"{PLACED} {target}")
    return noted is not None and noted == _identity(target)


async def place(job: Job, staged: Path, target: Path, mode: int = PRIVATE) -> None:
    """Give `staged` the name `target`, on the same file system; it is on the disk when this returns.

    May be repeated by the same job. Raises AlreadyThere where the name is taken, NoSpace, FuncManError.
    """
    if is_placed(job, target):
        return
    with told(target.parent):
        await asyncio.to_thread(durable.sync_file, staged, mode)
        await job.record(f"{PLACED} {target}", _identity(staged))
        try:
            await asyncio.to_thread(_link, staged, target)
        except FileExistsError:
            raise _taken(target) from None


def take_back(job: Job, target: Path) -> None:
    """Delete a file that this job has placed, if it is still there. Raises OSError."""
    if is_placed(job, target):
        target.unlink()
        durable.sync_directory(target.parent)


@contextlib.contextmanager
def told(directory: Path) -> Iterator[None]:
    """Turn what the file system says into words about a directory."""
    try:
        yield
    except OSError as error:
        raise _error(error, directory) from error


def sweep(directories: Iterable[Path], open_jobs: Collection[str]) -> list[str]:
    """Delete what jobs that are over left in staging; answers what was found. Raises OSError."""
    swept = []
    for directory in directories:
        staging = directory / files.STAGING
        for left in staging.iterdir() if staging.is_dir() and not staging.is_symlink() else ():
            if left.name not in open_jobs:
                swept.append(str(left))
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    return swept


def _open(directory: Path, job: Job, anew: bool) -> None:
    with told(directory):
        if anew:
            files.clear_staging(directory, job.id)
        files.open_staging(directory, job.id)


def _link(staged: Path, target: Path) -> None:
    target.hardlink_to(staged)
    durable.sync_directory(target.parent)


def _identity(path: Path) -> list[int] | None:
    """Device and inode of a regular file, as a record keeps them."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return [found.st_dev, found.st_ino] if stat.S_ISREG(found.st_mode) else None


def _taken(target: Path) -> AlreadyThere:
    return AlreadyThere(
        f"There is a file {target.name} in {target.parent} already, and it was left as it is: take another name, "
        "or delete that one first",
        file=target.name,
    )


def _error(error: OSError, directory: Path) -> FuncManError:
    if error.errno in FULL:
        return NoSpace(f"{directory} has no room left ({error.strerror}): nothing was changed; make room there")
    return FuncManError(f"{directory} cannot be worked in on this host: {error.strerror}", file=error.filename)
