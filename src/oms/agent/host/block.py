"""Block devices of this host."""

import errno
import os
import stat
from pathlib import Path

from oms.agent.host.process import run
from oms.contract.errors import FuncManError, InUse, NotThere


def check_unused(path: Path) -> None:
    """See that a path leads to a block device, and that the host itself has no part of it in use: mounted, for
    swapping, or as a piece of another device. Raises NotThere, InUse, FuncManError.

    The kernel gives a device exclusively to one user only, and mounting is such a use.
    """
    try:
        place = os.open(path, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise NotThere(f"There is no device {path} on this host", name=str(path)) from None
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise InUse(
                f"{path} is in use on the host: mounted, or a part of another device", name=str(path)
            ) from None
        raise FuncManError(f"{path} cannot be used: {error.strerror}", name=str(path)) from error
    try:
        if not stat.S_ISBLK(os.fstat(place).st_mode):
            raise NotThere(f"{path} is no block device", name=str(path))
    finally:
        os.close(place)


def size_bytes(path: Path) -> int:
    """How large a block device is. Raises OSError."""
    place = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.lseek(place, 0, os.SEEK_END)
    finally:
        os.close(place)


async def zero(path: Path, begin: int) -> None:
    """Have a device read as zeros from a byte on, which begins a sector. Raises FuncManError, OSError."""
    if (left := size_bytes(path) - begin) <= 0:
        return
    argv = ["blkdiscard", "--zeroout", "--offset", str(begin), "--length", str(left), "--", str(path)]
    done = await run(argv, timeout=None)
    if done.exit:
        raise FuncManError(f"{path} could not be overwritten with zeros: {done.words}", name=str(path))
