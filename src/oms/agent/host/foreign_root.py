"""Files in a root file system that belongs to somebody else, who may lay links anywhere and change it meanwhile.

A path is gone down directory by directory from the root on, and no link is followed, not even inside: what is at
its end is therefore in that root, whatever happens on the way. A file is replaced by a new one beside it.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

LARGEST_BYTES = 1024 * 1024


class Unfit(Exception):
    """Something in it is not what it should be; the text says what, as in "/etc/shadow is no regular file"."""


def read(root: Path, path: str) -> bytes | None:
    """The content of a regular file, at most 1 MiB; None where it is not there. `path` is relative. Raises
    Unfit."""
    try:
        with _directory(root, path) as (place, name):
            return _content(place, name, path)
    except FileNotFoundError:
        return None


def replace(root: Path, path: str, content: bytes, *, owner: tuple[int, int], mode: int = 0o644) -> None:
    """Put a file in place of what is there, link or file; it is on the disk when this returns.

    One that is there gives it its owner and mode, else these do. Its directory must be there. Raises Unfit,
    OSError.
    """
    with _directory(root, path) as (place, name):
        with contextlib.suppress(FileNotFoundError):
            there = os.stat(name, dir_fd=place, follow_symlinks=False)
            if stat.S_ISREG(there.st_mode):
                owner, mode = (there.st_uid, there.st_gid), stat.S_IMODE(there.st_mode)
            elif not stat.S_ISLNK(there.st_mode):
                raise Unfit(f"/{path} is no regular file")
        beside = f".{name}.{secrets.token_hex(8)}"
        try:
            _write_new(place, beside, content, owner, mode)
            os.rename(beside, name, src_dir_fd=place, dst_dir_fd=place)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside, dir_fd=place)
            raise
        os.fsync(place)


@contextlib.contextmanager
def _directory(root: Path, path: str) -> Iterator[tuple[int, str]]:
    """The directory that a path's last part is in, open, and that part."""
    *parents, name = path.split("/")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    place = os.open(root, flags)
    try:
        for number, parent in enumerate(parents):
            if parent in {"", ".", ".."}:
                raise ValueError(f"{path} is no plain path")
            try:
                below = os.open(parent, flags, dir_fd=place)
            except NotADirectoryError:
                raise Unfit(f"/{'/'.join(parents[: number + 1])} is no directory") from None
            os.close(place)
            place = below
        yield place, name
    finally:
        os.close(place)


def _content(place: int, name: str, path: str) -> bytes:
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unfit(f"/{path} cannot be read ({error.strerror})") from None
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise Unfit(f"/{path} is no regular file")
        if found.st_size > LARGEST_BYTES:
            raise Unfit(f"/{path} is longer than {LARGEST_BYTES} bytes")
        return os.read(file, LARGEST_BYTES)
    finally:
        os.close(file)


def _write_new(place: int, name: str, content: bytes, owner: tuple[int, int], mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(name, flags, 0o600, dir_fd=place)
    with os.fdopen(file, "wb") as opened:
        os.fchown(file, *owner)
        os.fchmod(file, mode)  # after its owner: a change of that takes set-uid bits away
        opened.write(content)
        opened.flush()
        os.fsync(file)
