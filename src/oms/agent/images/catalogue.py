"""The disk images of this host by name, and in which format each is.

The format is written down when an image is made or taken in, beside the images, in `.formats/NAME`, with the inode
of the file it is said of. It is never read out of the file: a guest can write anything into a raw disk, also the
beginning of a qcow2 file that names the host's secrets as its own content. A file that took an image's name by
other ways is not the one of the record; what it is, only whoever put it there knows.
"""

import asyncio
import contextlib
import os
import stat
from pathlib import Path

import msgspec

from oms import durable
from oms.agent import placing
from oms.agent.context import Job
from oms.agent.host.files import OwnFile
from oms.contract.errors import Unusable
from oms.contract.types import DiskFormat

RECORDS = ".formats"


class _Record(msgspec.Struct, frozen=True):
    format: DiskFormat
    inode: int


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
            f"In which format {path.name} is was never told to OMS, and is not guessed: tell it by "
            "adopt_file_based_image",
            image=path.name,
        )
    return found


async def adopt(path: Path, file: OwnFile, disk_format: DiskFormat) -> None:
    """Record the format of a file that is there already, and close it to others. Raises FuncManError."""
    with placing.told(path.parent):
        await asyncio.to_thread(_close_to_others, path, file)
        await asyncio.to_thread(_write, path, _Record(disk_format, file.inode))


def _close_to_others(path: Path, file: OwnFile) -> None:
    place = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(place)
        if (found.st_dev, found.st_ino) == (file.device, file.inode):
            os.fchmod(place, stat.S_IMODE(found.st_mode) & ~stat.S_IRWXO)
    finally:
        os.close(place)


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
        _write(path, record)


def _write(path: Path, record: _Record) -> None:
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
