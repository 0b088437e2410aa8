"""A small real file system of a test's own, that can become full: ext4 in a file, or in memory."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

MIB = 1024 * 1024


def why_not() -> str | None:
    """Why there can be none here; None where there can."""
    return None if os.geteuid() == 0 and Path("/dev/loop-control").exists() else "needs root and loop devices"


@contextmanager
def mounted(beside: Path, size_mb: int) -> Iterator[Path]:
    """The directory of an empty file system of that size."""
    image, place = beside / "small.ext4", beside / "small"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(size_mb * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(directory: Path, leave_bytes: int = 0) -> None:
    """Write into it until so much is free."""
    with contextlib.suppress(OSError), (directory / "filler").open("wb", buffering=0) as file:
        while not leave_bytes or os.statvfs(directory).f_bavail * os.statvfs(directory).f_frsize > leave_bytes:
            file.write(bytes(4096))


class SmallDisk:
    """One in memory: `with` makes the directory where there is none, and mounts so many MB there."""

    def __init__(self, directory: Path, size_mb: int) -> None:
        self.directory, self._size_mb = directory, size_mb

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        size = f"size={self._size_mb}m,mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.directory)], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.directory)], check=True)

    @contextmanager
    def full(self) -> Iterator[None]:
        """No byte of room meanwhile."""
        fill(self.directory)
        try:
            yield
        finally:
            (self.directory / "filler").unlink()
