"""A running program that may outlive us and may not be our child."""

import asyncio
import contextlib
import filecmp
import os
import signal
import time
from pathlib import Path


class Process:
    """A program held by a pidfd, so that its number cannot come to mean another program."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.started = time.monotonic()
        self._fd = os.pidfd_open(pid)
        self._ended: asyncio.Future[None] | None = None

    def is_of(self, config: Path) -> bool:
        """Whether it was started with this configuration file."""
        try:
            return os.fsencode(config) in Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False

    def runs(self, binary: Path) -> bool:
        """Whether it is this program, not another that stood there before an upgrade: the same file, or as good.
        Reads both where they are two, some 20 MB each."""
        running = Path(f"/proc/{self.pid}/exe")
        try:
            return running.samefile(binary) or filecmp.cmp(running, binary, shallow=False)
        except OSError:
            return False

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._fd, number)

    async def ended(self) -> None:
        """Return when it has ended."""
        if self._ended is None:
            loop = asyncio.get_running_loop()
            self._ended = loop.create_future()
            loop.add_reader(self._fd, self._reap)
        await asyncio.shield(self._ended)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        with contextlib.suppress(ChildProcessError):  # adopted: it is not our child
            os.waitpid(self.pid, 0)
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def release(self) -> None:
        """Let go of it; it runs on."""
        if self._ended is not None and not self._ended.done():
            asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
