"""The only door to qemu-img.

The format of a file is always said and never found out: what a guest has written into its disk must not decide how
the disk is read. Paths are absolute, so that none is taken for a protocol (`nbd:...`, `json:...`). Whoever lets
qemu-img read what strangers made says so by `limits`.
"""

import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from oms.agent.host import space
from oms.agent.host.process import Completed, Limits, run
from oms.contract.errors import FuncManError, InUse, NoSpace, Unusable
from oms.contract.types import DiskFormat

QEMU_IMG = "qemu-img"
GIB = 1024**3
SECTOR = 512
SHORT_SECONDS = 120.0
FOREIGN = Limits()
"""For looking at what strangers made."""
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""Else glibc sets 64 MB of addresses aside for each thread, and a sound image breaks the limit now and then."""
CPU_SECONDS_PER_GIB = 60
"""Of a conversion: compressing takes about half of that on a slow processor."""
SPACE_LOST = 3
"""How `check` ends where clusters are counted that nothing uses: sound all the same."""
_PERCENT = re.compile(rb"\(([0-9]{1,3}(?:\.[0-9]+)?)/100%\)")


class Snapshot(msgspec.Struct, frozen=True, rename="kebab"):
    """A snapshot in an image; with a machine's memory, so many bytes of it."""

    name: str
    vm_state_size: int = 0


class Info(msgspec.Struct, frozen=True, rename="kebab"):
    """What qemu-img says of an image. Sizes in bytes: that of the disk, and what the file takes on the host's."""

    virtual_size: int
    actual_size: int = 0
    backing_filename: str = ""
    snapshots: tuple[Snapshot, ...] = ()


class Part(msgspec.Struct, frozen=True):
    """A disk that strangers made and that lies in a file among others: `size` bytes from `offset` on. Whatever it
    names as standing behind it is not opened."""

    path: Path
    offset: int
    size: int

    def described(self, disk_format: str) -> str:
        """The part in qemu's own words. It is counted in sectors there, and archives fill the last one up."""
        file: dict[str, Any] = {"driver": "file", "filename": _absolute(self.path)}
        if self.offset:
            size = -(-self.size // SECTOR) * SECTOR
            file = {"driver": "raw", "offset": self.offset, "size": size, "file": file}
        behind = {} if disk_format == "raw" else {"backing": None}
        return "json:" + msgspec.json.encode({"driver": disk_format, **behind, "file": file}).decode()


async def create(
    path: Path, disk_format: DiskFormat, size_bytes: int, *, backing: tuple[Path, DiskFormat] | None = None
) -> None:
    """Make an image, sparse, all zeros or as its backing file is. Raises NoSpace, FuncManError."""
    options = ["-b", _absolute(backing[0]), "-F", backing[1]] if backing else []
    argv = ["create", "-q", "-f", disk_format, *options, "--", _absolute(path), str(size_bytes)]
    await _done(argv, path, timeout=SHORT_SECONDS)


async def info(path: Path, disk_format: DiskFormat, *, limits: Limits | None = FOREIGN) -> Info:
    """Look at an image, also while a machine uses it. Raises Unusable, FuncManError."""
    argv = ["info", "-U", "-f", disk_format, "--output=json", "--", _absolute(path)]
    return msgspec.json.decode((await _done(argv, path, timeout=SHORT_SECONDS, limits=limits)).stdout, type=Info)


async def check(path: Path, disk_format: DiskFormat, *, limits: Limits) -> None:
    """Read all of an image's tables, and see that they fit each other. Raises Unusable, FuncManError."""
    if disk_format != "raw":
        argv = ["check", "-q", "-f", disk_format, "--", _absolute(path)]
        await _done(argv, path, timeout=None, limits=limits, fine=(0, SPACE_LOST))


async def drop_snapshot(path: Path, name: str) -> None:
    """Delete a snapshot out of a qcow2 image that nobody uses. Raises InUse, FuncManError."""
    options = f"driver=qcow2,file.driver=file,file.filename={_absolute(path).replace(',', ',,')}"
    await _done(["snapshot", "-q", "-d", name, "--image-opts", "--", options], path, timeout=SHORT_SECONDS)


async def resize(path: Path, disk_format: DiskFormat, size_bytes: int) -> None:
    """Make the disk of an image larger. Raises InUse, NoSpace, FuncManError."""
    argv = ["resize", "-q", "-f", disk_format, "--", _absolute(path), str(size_bytes)]
    await _done(argv, path, timeout=SHORT_SECONDS)


async def convert(
    source: Path | Part,
    source_format: DiskFormat | str,
    target: Path,
    target_format: DiskFormat | str,
    *,
    progress: Callable[[float], None] | None = None,
    options: Sequence[str] = (),
    compress: bool = False,
    onto_device: bool = False,
    while_in_use: bool = False,
    limits: Limits | None = None,
) -> None:
    """Copy a disk into another file or format; what it stands upon comes with it.

    `progress` is given percents; `options` of the new file as in `subformat=streamOptimized`; `onto_device`: the
    target is there already and large enough, and zeros are written to it as well. `while_in_use`: the source is a
    running machine's, and what is copied is as after a power cut. Cancelled, it leaves half a file. Raises
    Unusable, InUse, NoSpace, FuncManError.
    """
    argv = ["convert", "-p", "-O", target_format]
    argv += [word for option in options for word in ("-o", option)]
    argv += ["-c"] * compress + ["-n"] * onto_device + ["-U"] * while_in_use
    if isinstance(source, Part):
        argv += ["--", source.described(source_format), _absolute(target)]
    else:
        argv += ["-f", source_format, "--", _absolute(source), _absolute(target)]
    await _done(argv, target, timeout=None, limits=limits, progress=progress)


def limits_for(size_bytes: int, *, file_bytes: int | None = None) -> Limits:
    """For working through a foreign image of that size, be it of the file or of its disk, whichever is more.

    `file_bytes`: the most that may be written.
    """
    return Limits(FOREIGN.cpu_seconds + CPU_SECONDS_PER_GIB * (size_bytes // GIB + 1), file_bytes=file_bytes)


async def _done(
    argv: Sequence[str],
    path: Path,
    *,
    timeout: float | None,
    limits: Limits | None = None,
    progress: Callable[[float], None] | None = None,
    fine: Sequence[int] = (0,),
) -> Completed:
    ended = await run(
        [QEMU_IMG, *argv],
        timeout=timeout,
        limits=limits,
        environment=ONE_ARENA if limits else None,
        on_output=_percents(progress) if progress else None,
    )
    if ended.exit not in fine:
        raise _error(argv[0], path, ended)
    return ended


def _percents(progress: Callable[[float], None]) -> Callable[[bytes], None]:
    """What qemu-img writes, as numbers; each comes in one piece, or the next one does."""

    def heard(said: bytes) -> None:
        if found := _PERCENT.findall(said):
            progress(float(found[-1]))

    return heard


def _error(action: str, path: Path, ended: Completed) -> FuncManError:
    """qemu-img has one exit status for all failures, so its words are all there is: those of the C library, which
    do not change, and two of its own."""
    words = ended.words.removeprefix("qemu-img: ")
    told = {"file": path.name, "action": action}
    # Some formats' writers say that something was wrong, whatever it was.
    full = "error while writing" in words and not space.free_bytes(path.parent)
    if full or "No space left on device" in words or "Disk quota exceeded" in words:
        return NoSpace(f"The host's disk has become full while {path.name} was written ({words})", **told)
    if ended.exit == -signal.SIGXFSZ or "File too large" in words:
        return NoSpace(f"{path.name} would become larger than what the host's disk has left to give", **told)
    if "Failed to get" in words and "lock" in words:
        return InUse(f"{path.name} is in use by a running machine or another program ({words})", **told)
    if ended.exit in (-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGABRT, -signal.SIGSEGV) or "allocate" in words:
        return Unusable(
            f"{path.name} took more time or memory than any sound image does, and was given up (exit status "
            f"{ended.exit}{': ' if words else ''}{words})",
            **told,
        )
    if "is not in" in words or action in ("info", "check"):
        return Unusable(f"{path.name} is no disk image that can be read: {words}", **told)
    return FuncManError(f"qemu-img could not {action} {path.name}: {words}", **told)


def _absolute(path: Path) -> str:
    if not path.is_absolute():
        raise ValueError(f"{path} is not absolute: qemu-img might take it for a protocol")
    return str(path)
