"""How much room a file system has that may be given away.

A part is kept back, because a full disk stops everything at once: the agent's own journal, the host's logs, and
every machine whose disk grows as it is written.
"""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from oms.contract.errors import NoSpace

T = TypeVar("T")
LOOK_SECONDS = 0.5
GIB = 1024**3
KEPT_BACK_PERCENT = 5
KEPT_BACK_BYTES = GIB
"""Never more than this is kept back, and on a small file system only the percentage."""


def free_bytes(directory: Path) -> int:
    """What may still be written to a directory's file system; 0 where it is as good as full. Raises OSError."""
    found = os.statvfs(directory)
    kept_back = min(found.f_blocks * found.f_frsize * KEPT_BACK_PERCENT // 100, KEPT_BACK_BYTES)
    return max(found.f_bavail * found.f_frsize - kept_back, 0)


def require(directory: Path, wanted_bytes: int, what: str) -> None:
    """See that so much may be written there. Raises NoSpace, and OSError where that cannot be told.

    `what` begins the sentence, as in "Image 'a.img'".
    """
    free = free_bytes(directory)
    if wanted_bytes > free:
        raise NoSpace(
            f"{what} needs {shown(wanted_bytes)}, and {directory} has {shown(free)} left to give "
            f"({KEPT_BACK_PERCENT} % or 1 GiB of it, whichever is less, are kept back): nothing was changed",
            wanted_bytes=wanted_bytes,
            free_bytes=free,
        )


async def while_room(directory: Path, work: Coroutine[Any, Any, T], what: str) -> T:
    """Do work whose result is of unknown size there; break it off before what is kept back is touched.

    Raises NoSpace, and what the work raises.
    """
    doing = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait((doing,), timeout=LOOK_SECONDS))[0]:
            require(directory, 1, what)
    finally:
        doing.cancel()
        await asyncio.wait((doing,))
    return doing.result()


def shown(size_bytes: int) -> str:
    """A size for a person."""
    for unit, name in ((GIB, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes} bytes"
