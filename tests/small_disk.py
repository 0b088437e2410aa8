"""A small real file system of a test's own, that can become full: ext4 in a file, mounted."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
