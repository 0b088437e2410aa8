"""Root file systems in image files: what keeps a container within its size where its file system has no quotas.

`rootfs.img` lies beside the directory `rootfs`, and the ext4 in it is mounted there for as long as there is the
container, running or not: its files are seen from the host as everybody else's are. It is a hole at first, and a
hole again where files were deleted, so it takes the room of what is in it.

Whoever mounts it, this agent or the hook that LXC runs before each start, does so by one command, which waits for
another that is at it. A disk becomes larger where it is, at any time. It becomes smaller in a copy, which takes
its place when it is whole: whatever breaks, there is the one or the other.
"""

import asyncio
import contextlib
import fcntl
import os
import shlex
import shutil
import stat
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import structlog

from oms import durable
from oms.agent.host import space
from oms.agent.host.process import ENVIRONMENT, run
from oms.contract.errors import FuncManError

log = structlog.get_logger("oms.agent.guests")
ROOTFS, IMAGE, HALF = "rootfs", "rootfs.img", ".rootfs.img"
OPTIONS: Final = "loop,nodev,discard,minixdf"
"""What is deleted in it is given back to the host; sizes are those of the whole image, whose tables are used."""
MOUNTING: Final = (
    f"PATH={ENVIRONMENT['PATH']}; "
    'mountpoint -q "$1" && exit; '
    f'mounted() {{ mount -o {OPTIONS} "$1.img" "$1"; }}; '
    'checked() { said=$(fsck.ext4 -p "$1.img" 2>&1) || [ $? -lt 4 ] || { echo "$said" >&2; false; }; }; '
    '[ "$(losetup --associated "$1.img")" ] || checked "$1" || exit; '
    'mounted "$1" || { sleep 1; mounted "$1"; } || exit; '
    'rmdir "$1/lost+found" 2>/dev/null; true'
)
"""One that is mounted elsewhere yet (a container runs on it, a program sees mounts that the host has no more) must
not be looked through: what is mounted here is then the same file system once more. What fsck keeps for what it
finds would be a directory of the host's root in the container."""
PROGRAMS: Final = ("mkfs.ext4", "fsck.ext4", "resize2fs", "losetup", "flock", "mount", "umount")
LOOPS: Final = Path("/dev/loop-control")
MAKING: Final = (
    *("mkfs.ext4", "-q", "-F", "-b", "4096", "-I", "256", "-i", "16384", "-m", "0"),
    *("-e", "remount-ro", "-E", "lazy_journal_init=1"),
)
"""Few tables, none of it for root alone, and nothing more is written to one that has found errors."""
SECONDS = 60.0
MOUNT_SECONDS = 600.0
USED_SECONDS = 5.0
"""For those to end who are just looking into it."""
POLL_SECONDS = 0.02
SLACK_PERCENT: Final = 102
"""Of what is used, that the smallest file system takes which has it."""


def why_not() -> str:
    """Why this host can have none, or ""."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path=ENVIRONMENT["PATH"])]
    if missing:
        return f"{', '.join(missing)} is not installed (apt-get install e2fsprogs util-linux mount)"
    return "" if LOOPS.exists() else "this host's kernel has no loop devices"


def is_there(place: Path) -> bool:
    """Whether the container in that directory has an image."""
    try:
        return stat.S_ISREG((place / IMAGE).lstat().st_mode)
    except OSError:
        return False


def device(place: Path) -> Path | None:
    """The loop device whose file system is mounted there; None where none is."""
    try:
        here, beside = (place / ROOTFS).lstat().st_dev, place.lstat().st_dev
    except OSError:
        return None
    known = Path(f"/sys/dev/block/{os.major(here)}:{os.minor(here)}")
    if here == beside or not (known / "loop").is_dir():
        return None
    return Path("/dev", known.resolve().name)


def size_kb(place: Path) -> int:
    """The size of what is mounted there. Raises OSError."""
    found = os.statvfs(place / ROOTFS)
    return found.f_blocks * found.f_frsize // 1024


def least_kb(place: Path) -> int:
    """How small it may be made while its container is off. Raises OSError."""
    found = os.statvfs(place / ROOTFS)
    used_kb = (found.f_blocks - found.f_bfree) * found.f_frsize // 1024
    return min(used_kb * SLACK_PERCENT // 100 + 1024, found.f_blocks * found.f_frsize // 1024)


def mounting(place: Path) -> list[str]:
    """The command that mounts the image in that directory, unless it is. Once for all who ask at one moment: an
    image that was mounted twice would be lost."""
    return ["/usr/bin/flock", str(place), "/bin/sh", "-c", MOUNTING, "sh", str(place / ROOTFS)]


def hook(place: Path) -> str:
    """The same as a line for LXC, which adds words of its own to it."""
    return shlex.join(mounting(place))


async def make(place: Path, disk_kb: int) -> None:
    """Have an empty one of that size, mounted; one that is there stays as it is. Raises FuncManError, OSError."""
    if not is_there(place):
        half = place / HALF
        half.unlink(missing_ok=True)
        _sized(half, disk_kb)
        journal_mb = max(4, min(64, disk_kb // 1024 // 64))
        await _done(*MAKING, "-J", f"size={journal_mb}", str(half))
        half.rename(place / IMAGE)
    (place / ROOTFS).mkdir(mode=0o755, exist_ok=True)
    await mount(place)


async def mount(place: Path) -> None:
    """See that it is mounted, where there is one. Raises FuncManError."""
    if not is_there(place) or device(place):
        return
    done = await run(mounting(place), timeout=MOUNT_SECONDS)
    if done.exit or device(place) is None:
        raise FuncManError(f"The container's disk cannot be mounted: {done.words}")


async def ready(place: Path) -> None:
    """See that it is mounted and fit to be written to, for a start: where its host's disk was full, or broken, it
    has stopped taking anything, and has to be looked through. Raises FuncManError."""
    loop = device(place)
    if loop is not None and _has_errors(loop):
        await unmount(place)
    await mount(place)


async def unmount(place: Path, *, in_use: bool = False) -> None:
    """See that it is not mounted, and that nobody has it. `in_use`: take it away from who still looks into it.
    Raises FuncManError."""
    loop = device(place)
    if loop is None:
        return
    end = time.monotonic() + USED_SECONDS
    while (done := await run(["umount", str(place / ROOTFS)], timeout=SECONDS)).exit and device(place):
        if time.monotonic() > end:
            if not in_use:
                raise FuncManError(f"The container's disk is in use on its host: {done.words}")
            await _done("umount", "--lazy", str(place / ROOTFS))
            break
        await asyncio.sleep(POLL_SECONDS)
    image = place.resolve() / IMAGE
    if not await _until(lambda: not _is_on(loop, image)):
        if not in_use:
            raise FuncManError("The container's disk is still in use on its host")
        log.warning("a container's disk is gone, but for somebody who still has it open", device=str(loop))


async def resize(place: Path, disk_kb: int, *, runs: bool) -> None:
    """Another size. May be repeated. `runs`: its container does, so that it cannot become smaller. Raises
    FuncManError, OSError."""
    await tidy(place)
    has_kb, why = size_kb(place), "it becomes smaller only while that is off"
    if disk_kb == has_kb:
        return
    if disk_kb > has_kb and not (why := await _grown(place, disk_kb)):
        return
    if runs:
        raise FuncManError(f"While its container runs a disk cannot change to {disk_kb // 1024} MB: {why}")
    try:
        async with _locked(place):
            await unmount(place)
            await _copied(place, disk_kb)
    finally:
        await tidy(place)


async def tidy(place: Path) -> None:
    """Have it mounted, and nothing beside it that was not finished. Raises FuncManError."""
    (place / HALF).unlink(missing_ok=True)
    await mount(place)


async def _grown(place: Path, disk_kb: int) -> str:
    """Make it larger where it is mounted; why the kernel does not, which lets nobody without CAP_SYS_RESOURCE, or
    ""."""
    image, loop = place / IMAGE, device(place)
    if image.stat().st_size < disk_kb * 1024:
        os.truncate(image, disk_kb * 1024)
    await _done("losetup", "--set-capacity", str(loop))
    done = await run(["resize2fs", str(loop), f"{disk_kb}K"], timeout=None)
    return "" if size_kb(place) == disk_kb else done.words or "its size stays"


async def _copied(place: Path, disk_kb: int) -> None:
    """Give it another size in a copy, which then takes its place."""
    image, half = place / IMAGE, place / HALF
    space.require(place, image.stat().st_blocks * 512, "A copy of the disk, which gets the new size,")
    await _done("cp", "--sparse=always", "--reflink=auto", "--", str(image), str(half), seconds=None)
    os.truncate(half, max(image.stat().st_size, disk_kb * 1024))
    await _done("fsck.ext4", "-f", "-p", str(half), mended=True, seconds=None)
    await _done("resize2fs", str(half), f"{disk_kb}K", seconds=None)
    await asyncio.to_thread(_whole, half, image, disk_kb)


def _whole(half: Path, image: Path, disk_kb: int) -> None:
    os.truncate(half, disk_kb * 1024)
    durable.sync_file(half)
    half.rename(image)
    durable.sync_directory(image.parent)


def _sized(file: Path, disk_kb: int) -> None:
    place = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.truncate(place, disk_kb * 1024)
    finally:
        os.close(place)


@contextlib.asynccontextmanager
async def _locked(place: Path) -> AsyncIterator[None]:
    """Nobody mounts it meanwhile: a start by hand waits. Raises FuncManError."""
    lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not await _until(lambda: _taken(lock)):
            raise FuncManError("The container's disk is in use on its host")
        yield
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _has_errors(loop: Path) -> bool:
    try:
        return Path("/sys/fs/ext4", loop.name, "errors_count").read_text().strip() != "0"
    except OSError:
        return False


def _is_on(loop: Path, image: Path) -> bool:
    """Whether a loop device still has that file, which may be deleted."""
    try:
        behind = Path("/sys/block", loop.name, "loop/backing_file").read_text().strip()
    except OSError:
        return False
    return behind.removesuffix(" (deleted)") == str(image)


async def _until(true: Callable[[], bool]) -> bool:
    """Whether it comes true soon."""
    end = time.monotonic() + USED_SECONDS
    while not true():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


async def _done(*words: str, mended: bool = False, seconds: float | None = SECONDS) -> None:
    """`mended`: fsck's words for that are no error."""
    done = await run(words, timeout=seconds)
    if done.exit and not (mended and done.exit == 1):
        raise FuncManError(f"{words[0]} failed: {done.words}")
