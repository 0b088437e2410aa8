"""A block device of a test's own: a file behind a loop device."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def loop_device(directory: Path, size_mb: int = 4) -> Iterator[str]:
    """The path of an empty one; `directory` keeps what is on it, as `device.img`."""
    file = directory / "device.img"
    file.write_bytes(bytes(size_mb * 1024 * 1024))
    made = subprocess.run(["losetup", "--find", "--show", str(file)], check=True, capture_output=True, text=True)
    path = made.stdout.strip()
    try:
        yield path
    finally:
        subprocess.run(["losetup", "--detach", path], check=True)
