"""The disk images of this host by name, and in which format each is.

The format is written down when an image is made or taken in, beside the images, in `.formats/NAME`, with the inode
of the file it is said of. It is never read out of the file: a guest can write anything into a raw disk, also the
beginning of a qcow2 file that names the host's secrets as its own content. A file that took an image's name by
other ways is not the one of the record; what it is, only whoever put it there knows.
"""

import asyncio
import contextlib
import os
from pathlib import Path

import msgspec

from oms.agent import placing
from oms.agent.context import Job
from oms.agent.host import durable, files
from oms.contract.errors import NotThere, Unusable
from oms.contract.types import DiskFormat, FileName

RECORDS = ".formats"


class _Record(msgspec.Struct, frozen=True):
    format: DiskFormat
    inode: int


def path_of(images: Path, name: str) -> Path:
    """The file of the image `name`, which may not be there. Raises NotThere for what is no image's name."""
    try:
        return images / msgspec.convert(name, FileName)
    except msgspec.ValidationError:
        raise NotThere(f"{name!r} is no image's name") from None


def find(images: Path, name: str) -> Path:
    """The file of an image. Raises NotThere, also for a link or whatever else is no regular file."""
    path = path_of(images, name)
    if isinstance(found := files.own_file(path, images), files.NotOwn):
        raise NotThere(f"There is no disk image {name!r} in {images}: {found.why}", image=name)
    return path


def format_of(path: Path) -> DiskFormat | None:
    """The format that was recorded of a file; None where nobody recorded one of just this file."""
    try:
        record = msgspec.json.decode(_record_of(path).read_bytes(), type=_Record)
        found = path.lstat()
    except (OSError, msgspec.MsgspecError):
        return None
    return record.format if found.st_ino == record.inode else None


def known_format(path: Path) -> DiskFormat:
    """The same. Raises Unusable where there is none."""
    if (found := format_of(path)) is None:
        raise Unusable(
            f"In which format {path.name} is was never told to OMS, and is not guessed: bring it in by an upload",
            image=path.name,
        )
    return found


async def take_in(job: Job, staged: Path, path: Path, disk_format: DiskFormat) -> None:
    """Give a finished image its place and its name, and record its format.

    May be repeated by the same job. Raises AlreadyThere, NoSpace, FuncManError, with nothing changed.
    """
    if not placing.is_placed(job, path):
        with placing.told(path.parent):
            await asyncio.to_thread(_record, path, _Record(disk_format, staged.lstat().st_ino))
    await placing.place(job, staged, path)


def _record(path: Path, record: _Record) -> None:
    if not os.path.lexists(path):  # else the record there is that file's
        durable.own_directory(path.parent / RECORDS)
        durable.write_whole(_record_of(path), msgspec.json.encode(record))


def forget_missing(images: Path) -> None:
    """Delete the records of files that are gone. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        for record in (images / RECORDS).iterdir():
            if not os.path.lexists(images / record.name):
                record.unlink()


def _record_of(path: Path) -> Path:
    return path.parent / RECORDS / path.name
