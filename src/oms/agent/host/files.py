"""Files in a directory of our own, told from all others, and taken out of it for good.

Paths come from definitions that anybody may have written, and what they lead to may change while one looks. So a
directory is opened first and its real place asked of the kernel, and all that follows is done relative to it; a
symbolic link at the end is never followed; and a file is known by its device and inode, not by its name.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

STAGING = ".staging"
"""Below a directory of ours: what is being made or taken away, in one directory for each job. Never listed."""

BLOCK_BYTES = 512
"""What st_blocks counts, whatever the file system's own."""


class OwnFile(msgspec.Struct, frozen=True):
    """A regular file in a directory of ours, by its real path, and which one it is."""

    path: str
    device: int
    inode: int


class NotOwn(msgspec.Struct, frozen=True):
    """Why a path is none of ours to delete."""

    why: str


def own_file(path: Path, within: Path) -> OwnFile | NotOwn:
    """The file at `path` if it is a regular file that really lies in the directory `within`, or below."""
    try:
        with _directory(path.parent) as (place, real):
            if why := _foreign(real, within):
                return NotOwn(why)
            found = os.stat(path.name, dir_fd=place, follow_symlinks=False)
    except FileNotFoundError:
        return NotOwn("it is not there")
    except OSError as error:
        return NotOwn(f"it cannot be looked at ({error.strerror})")
    if not stat.S_ISREG(found.st_mode):
        return NotOwn("it is no regular file")
    return OwnFile(str(real / path.name), found.st_dev, found.st_ino)


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of what a path leads to, links followed; None where it cannot be told."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def which(path: Path) -> list[int] | None:
    """Device and inode of what lies there itself, links not followed, as a job's record keeps them; None where
    there is nothing."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return [found.st_dev, found.st_ino]


def allocated_bytes(path: Path) -> int:
    """What a file takes on its disk. Raises OSError."""
    return path.stat().st_blocks * BLOCK_BYTES


def device(path: Path) -> int | None:
    """The number of the block device that a path leads to, links followed; None where it is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_rdev if stat.S_ISBLK(found.st_mode) else None


def set_aside(file: OwnFile, within: Path, staging: Path) -> bool:
    """Move a file into `staging`, an existing directory. Answers False where another file has taken its name.

    Raises OSError. A file on another file system than `staging` is deleted at once.
    """
    path = Path(file.path)
    try:
        with _directory(path.parent) as (place, real), _directory(staging) as (target, _):
            if _foreign(real, within):
                return False
            found = os.stat(path.name, dir_fd=place, follow_symlinks=False)
            if (found.st_dev, found.st_ino) != (file.device, file.inode) or not stat.S_ISREG(found.st_mode):
                return False
            _move(path.name, place, f"{file.device:x}-{file.inode:x}", target)
            os.fsync(target)
            os.fsync(place)
    except FileNotFoundError:
        return False
    return True


def staging_of(within: Path, job: str) -> Path:
    """The directory for what one job makes or takes away; made by `open_staging`."""
    return within / STAGING / job


def open_staging(within: Path, job: str) -> Path:
    """Make it; closed to all others."""
    staging = staging_of(within, job)
    staging.parent.mkdir(mode=0o700, exist_ok=True)
    staging.mkdir(mode=0o700, exist_ok=True)
    return staging


def clear_staging(within: Path, job: str) -> None:
    """Delete it with all that is in it. Raises OSError; one that is not there is fine."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(staging_of(within, job))


def regular_files(within: Path) -> Iterator[Path]:
    """All regular files in a directory and below, links not followed."""
    for directory, _, names in os.walk(within):
        for name in names:
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink():
                yield path


def head(path: Path, size: int) -> bytes:
    """The first bytes of a regular file; b"" where it is none or cannot be read. Never waits, as a pipe would
    make."""
    try:
        place = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        return os.pread(place, size, 0) if stat.S_ISREG(os.fstat(place).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(place)


def _foreign(real: Path, within: Path) -> str:
    home = within.resolve()
    if not real.is_relative_to(home):
        return f"it is not in {home}"
    if STAGING in real.relative_to(home).parts:
        return "a job is working on it"
    return ""


@contextlib.contextmanager
def _directory(path: Path) -> Iterator[tuple[int, Path]]:
    """A directory, open, and its real path as the kernel knows it."""
    place = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield place, Path(f"/proc/self/fd/{place}").readlink()
    finally:
        os.close(place)


def _move(name: str, place: int, new_name: str, target: int) -> None:
    try:
        os.rename(name, new_name, src_dir_fd=place, dst_dir_fd=target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        os.unlink(name, dir_fd=place)
