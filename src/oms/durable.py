"""Files that are whole or not there: what a crash or a full disk leaves behind is the old file or the new one."""

import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put a file in place of the one there, in one step; it is on the disk when this returns. Raises OSError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _write_new(beside, content, mode)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # whatever the umask
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def point(link: Path, to: str) -> None:
    """Make a symbolic link lead to a name beside it, in one step. Raises OSError."""
    beside = link.with_name(f".{link.name}.{secrets.token_hex(4)}")
    beside.symlink_to(to)
    try:
        beside.replace(link)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(link.parent)


def sync_file(path: Path, mode: int | None = None) -> None:
    """Put a file on the disk, with this mode if one is given. Raises OSError, for a link too."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if mode is not None:
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Put the names in a directory on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def own_directory(path: Path, mode: int = 0o700) -> Path:
    """A directory with exactly this mode. Missing parents are made so that all may pass through them (0711).

    Raises OSError.
    """
    for parent in reversed(path.parents):
        if not parent.is_dir():
            parent.mkdir(exist_ok=True)
            parent.chmod(0o711)
    path.mkdir(mode=mode, exist_ok=True)
    path.chmod(mode)
    return path
