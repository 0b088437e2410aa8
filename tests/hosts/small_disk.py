"""A file system of its own for one directory, small enough to be filled."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

CHUNK_BYTES = 64 * 1024


class SmallDisk:
    """`with` makes the directory where there is none, and mounts a file system of so many MB there."""

    def __init__(self, directory: Path, size_mb: int) -> None:
        self.directory, self._size_mb = directory, size_mb

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        size = f"size={self._size_mb}m,mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.directory)], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.directory)], check=True)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """No byte of room meanwhile."""
        filler = self.directory / "filler"
        file = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for size in (CHUNK_BYTES, 1):
                with contextlib.suppress(OSError):
                    while True:
                        os.write(file, b"x" * size)
            yield
        finally:
            os.close(file)
            filler.unlink()
