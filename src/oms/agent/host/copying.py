"""Files copied as they are: by reference where the file system can, else byte by byte, with their holes.

Sources: Linux's ioctl_ficlonerange(2), copy_file_range(2), lseek(2) (SEEK_DATA).
"""

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from oms.agent.host import process
from oms.agent.host.stoppable import Progress, in_thread
from oms.contract.errors import FuncManError

FICLONE: Final = 0x40049409
AT_ONCE: Final = 32 * 1024 * 1024
"""Bytes between two looks at whether to go on."""
NOT_HERE: Final = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EPERM)
"""How a kernel says that a shortcut is none on these file systems."""


async def copy(source: Path, target: Path, progress: Progress) -> None:
    """Copy a file to a new one; broken off, it leaves half of it. What it says is not on the disk yet. Raises
    OSError."""
    await in_thread(lambda go_on: _copy(source, target, go_on), progress)


async def sync(place: Path) -> None:
    """Put all that is in the file system of that place on its disk, however long it takes. Raises FuncManError."""
    done = await process.run(["sync", "--file-system", "--", str(place)], timeout=None)
    if done.exit:
        raise FuncManError(f"What was written is not on the disk: {done.words}")


def _copy(source: Path, target: Path, go_on: Progress) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    read = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        written = os.open(target, flags, 0o600)
        try:
            if not _cloned(read, written):
                _copied(read, written, go_on)
        finally:
            os.close(written)
    finally:
        os.close(read)


def _cloned(read: int, written: int) -> bool:
    try:
        fcntl.ioctl(written, FICLONE, read)
    except OSError as error:
        if error.errno not in NOT_HERE:
            raise
        return False
    return True


def _copied(read: int, written: int, go_on: Progress) -> None:
    size = os.fstat(read).st_size
    os.ftruncate(written, size)
    place = 0
    while (place := next_data(read, place)) < size:
        end = os.lseek(read, place, os.SEEK_HOLE)
        while place < end:
            go_on(place / size)
            place += _chunk(read, written, place, min(end - place, AT_ONCE))


def next_data(read: int, place: int) -> int:
    """Where the next data begin; the end of the file where there are none."""
    try:
        return os.lseek(read, place, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return os.fstat(read).st_size


def _chunk(read: int, written: int, place: int, size: int) -> int:
    """Copy so many bytes, or fewer; how many it was."""
    try:
        return os.copy_file_range(read, written, size, place, place)
    except OSError as error:
        if error.errno not in NOT_HERE:
            raise
    return os.pwrite(written, os.pread(read, min(size, AT_ONCE // 32), place), place)
