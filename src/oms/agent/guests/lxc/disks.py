"""The places of containers' root file systems, and what keeps each within its size.

On btrfs each is a subvolume, whose quota group holds it to a size that can be changed at any time; elsewhere it
is a directory, which nothing holds, and one that is to have a size has an image mounted on it (`images`). What is
made or taken away lies below `.staging` in LXC's path, closed to all others, and comes to its place, or leaves it,
in one step.
"""

import contextlib
import fcntl
import os
import shutil
import struct
from pathlib import Path
from typing import Final

import msgspec

from oms import durable
from oms.agent.guests import DiskUse
from oms.agent.guests.containers import DiskLimit
from oms.agent.guests.lxc import images
from oms.agent.guests.lxc.images import ROOTFS
from oms.agent.host.files import STAGING
from oms.agent.host.process import ProgramError, run
from oms.agent.host.stoppable import Progress, in_thread
from oms.contract.errors import FuncManError

SECONDS = 60.0
SUBVOLUME_INODE: Final = 256
"""Of the root of every subvolume of btrfs, and of nothing else there."""
INO_LOOKUP: Final = 0xD0009412
LOOKUP: Final = struct.Struct("=QQ")
GONE: Final = "gone-"


class Limiter(msgspec.Struct, frozen=True):
    """What keeps new containers within a size, and where nothing does, why."""

    kind: DiskLimit
    why_not: str = ""


async def limiter(path: Path) -> Limiter:
    """What there is on the file system of LXC's path."""
    if await _quotas(path):
        return Limiter("subvolume")
    why_not = images.why_not()
    return Limiter("" if why_not else "image", why_not)


async def _quotas(path: Path) -> bool:
    found = await run(["stat", "--file-system", "--format=%T", "--", str(path)], timeout=SECONDS)
    if found.stdout.decode().strip() != "btrfs":
        return False
    try:
        quotas = await run(["btrfs", "qgroup", "show", "--raw", str(path)], timeout=SECONDS)
    except ProgramError:
        return False
    return not quotas.exit


def staging(path: Path, job: str) -> Path:
    """What one job makes is below it."""
    return path / STAGING / job


def limit_of(rootfs: Path | None) -> DiskLimit:
    """What can keep that one within a size."""
    if rootfs is None:
        return ""
    return "image" if has_image(rootfs) else "subvolume" if is_subvolume(rootfs) else ""


def has_image(rootfs: Path) -> bool:
    """Whether what is there is in an image, mounted or not."""
    return rootfs.name == ROOTFS and images.is_there(rootfs.parent)


def is_subvolume(place: Path) -> bool:
    """Whether a directory is a subvolume of btrfs of its own."""
    try:
        found = place.lstat()
        return found.st_ino == SUBVOLUME_INODE and found.st_dev != place.parent.lstat().st_dev
    except OSError:
        return False


async def make(path: Path, job: str, limits: Limiter, disk_kb: int) -> Path:
    """The root file system's place for a job, as `Containers.prepare` says."""
    place = staging(path, job)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    place.mkdir(mode=0o700, exist_ok=True)
    rootfs = place / ROOTFS
    if limits.kind == "subvolume" and not is_subvolume(rootfs):
        await _btrfs("subvolume", "create", str(rootfs))
    rootfs.mkdir(mode=0o755, exist_ok=True)
    if disk_kb and limits.kind == "image":
        await _image(place, disk_kb)
    elif disk_kb:
        await hold(rootfs, disk_kb)
    return rootfs


async def _image(place: Path, disk_kb: int) -> None:
    try:
        await images.make(place, disk_kb)
    except OSError as error:
        raise FuncManError(f"A disk of {disk_kb // 1024} MB cannot be made: {error.strerror}") from error


async def hold(rootfs: Path, disk_kb: int, *, runs: bool = False) -> None:
    """Keep it within that size from now on; 0: within none. `runs`: its container does. Raises FuncManError."""
    kind = limit_of(rootfs)
    if kind == "image":
        await _resize(rootfs.parent, disk_kb, runs=runs)
    elif kind == "subvolume":
        await _btrfs("qgroup", "limit", f"{disk_kb}K" if disk_kb else "none", str(rootfs))
    elif disk_kb:
        raise FuncManError("Nothing can hold this container's disk to a size")


async def _resize(place: Path, disk_kb: int, *, runs: bool) -> None:
    if not disk_kb:
        raise FuncManError("A disk that is an image keeps a size")
    try:
        await images.resize(place, disk_kb, runs=runs)
    except OSError as error:
        raise FuncManError(f"The disk cannot have {disk_kb // 1024} MB: {error.strerror}") from error


async def uses(path: Path) -> dict[int, DiskUse]:
    """What the subvolumes of that file system hold, by number; their size is 0 where none is set."""
    try:
        done = await run(["btrfs", "qgroup", "show", "-r", "--raw", str(path)], timeout=SECONDS)
    except ProgramError:
        return {}
    return parsed(done.stdout.decode(errors="replace")) if not done.exit else {}


def parsed(text: str) -> dict[int, DiskUse]:
    """The table of `btrfs qgroup show -r --raw`: number, referenced, exclusive, limit."""
    found: dict[int, DiskUse] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4 and words[0].startswith("0/") and words[1].isdigit():
            size = int(words[3]) if words[3].isdigit() else 0
            found[int(words[0][2:])] = DiskUse(used_kb=int(words[1]) // 1024, size_kb=size // 1024)
    return found


def subvolume_number(rootfs: Path) -> int:
    """0 where it cannot be told. Source: btrfs's own header, BTRFS_IOC_INO_LOOKUP."""
    asked = bytearray(LOOKUP.pack(0, SUBVOLUME_INODE).ljust(4096, b"\0"))
    try:
        place = os.open(rootfs, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        fcntl.ioctl(place, INO_LOOKUP, asked)
    except OSError:
        return 0
    finally:
        os.close(place)
    number: int = LOOKUP.unpack_from(asked)[0]
    return number


async def remove(place: Path) -> None:
    """Delete a directory of ours with all that is in it, subvolumes too. Raises OSError, FuncManError."""
    rootfs = place / ROOTFS
    await images.unmount(place, in_use=True)
    if is_subvolume(rootfs):
        # Where the container has made subvolumes of its own in it, each is emptied like a directory instead.
        with contextlib.suppress(FuncManError):
            await _btrfs("subvolume", "delete", str(rootfs))
    with contextlib.suppress(FileNotFoundError):
        await in_thread(lambda go_on: _rmtree(place, go_on))


def _rmtree(place: Path, go_on: Progress) -> None:
    """Links are not followed, whatever changes meanwhile."""
    go_on(0)
    shutil.rmtree(place)


def into_place(path: Path, job: str, ctid: str) -> None:
    """What a job has made becomes the container of that id. Raises OSError: one of that id is there."""
    staging(path, job).rename(path / ctid)
    durable.sync_directory(path)


def out_of_place(path: Path, ctid: str) -> Path:
    """A container leaves the list; what is left of it lies there. Raises OSError."""
    parent = path / STAGING
    parent.mkdir(mode=0o700, exist_ok=True)
    gone = parent / f"{GONE}{ctid}-{os.urandom(4).hex()}"
    (path / ctid).rename(gone)
    durable.sync_directory(path)
    return gone


async def _btrfs(*words: str) -> None:
    done = await run(["btrfs", *words], timeout=SECONDS)
    if done.exit:
        raise FuncManError(f"btrfs {words[0]} {words[1]} failed: {done.words}")
