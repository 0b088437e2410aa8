"""Programs that we keep running, and that outlive us: the next run of ours takes them over.

Whose a program is stands in its environment, and who listens on a socket the kernel tells: so nothing has to be
written down that a crash could leave undone, and nobody else's program is ever taken for one of ours.
"""

import asyncio
import os
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import structlog

from oms.agent.host.process import ENVIRONMENT
from oms.background import ended
from oms.bus.nats.process import Process

log = structlog.get_logger("oms.agent")
MARK = "OMS_KEPT_BY"
AGAIN_SECONDS = 1.0
END_SECONDS = 5.0
"""For a program that is told to end; one that hangs is killed then."""


def listener(at: Path) -> int | None:
    """The process that listens on a Unix socket; 0 where that hangs and cannot be told, None where nobody does."""
    with socket.socket(socket.AF_UNIX) as line:
        line.setblocking(False)
        try:
            line.connect(str(at))
            return peer(line)
        except BlockingIOError:
            return 0
        except OSError:
            return None


def peer(line: socket.socket) -> int:
    """The process at the other end of a Unix socket, or who listened there for it. Raises OSError."""
    pid, _uid, _gid = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(pid)


class Daemon:
    """A program that listens on a socket and runs for as long as we do; it is started again when it ends by
    itself. One that an earlier run of ours left behind goes on as it is."""

    def __init__(
        self, argv: list[str], at: Path, keeper: Path, *, before: Callable[[], None] = lambda: None
    ) -> None:
        """`at` is its socket. `keeper` says who we are: the directory that only one of us uses at a time.
        `before` is called before each start."""
        self._argv, self._at, self._keeper = argv, at, keeper
        self._before = before
        self._keeping: asyncio.Task[None] | None = None

    def is_anothers(self) -> bool:
        """Whether somebody listens there whom we did not start."""
        pid = listener(self._at)
        return pid is not None and not self._is_ours(pid)

    def begin(self) -> None:
        """Take it over, or start it."""
        self._keeping = asyncio.create_task(self._keep())

    async def end(self) -> None:
        """End it, and wait until it has ended."""
        await ended(self._keeping)

    async def _keep(self) -> None:
        while True:
            if (process := self._left_behind() or self._started()) is not None:
                await self._while_it_runs(process)
                log.warning("a program ended and is started again", program=self._argv[0])
            await asyncio.sleep(AGAIN_SECONDS)

    async def _while_it_runs(self, process: Process) -> None:
        try:
            await process.ended()
        except asyncio.CancelledError:
            await _end(process)
            raise
        finally:
            process.release()

    def _left_behind(self) -> Process | None:
        if (pid := listener(self._at)) is None or not self._is_ours(pid):
            return None
        try:
            process = Process(pid)
        except OSError:
            return None
        log.info("a program is taken over", program=self._argv[0], pid=pid)
        return process

    def _is_ours(self, pid: int) -> bool:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(f"{MARK}={self._keeper}") in environment

    def _started(self) -> Process | None:
        """None where it cannot be, or somebody else has."""
        if self.is_anothers():
            return None
        self._before()
        nothing = os.open(os.devnull, os.O_RDWR)
        try:
            pid = os.posix_spawn(  # not Popen, which calls a child that is left running a leak
                self._argv[0],
                self._argv,
                {**ENVIRONMENT, MARK: str(self._keeper)},
                file_actions=[(os.POSIX_SPAWN_DUP2, nothing, number) for number in (0, 1, 2)],
                setsid=True,
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
            )
        except OSError as failure:
            log.error("a program cannot be started", program=self._argv[0], why=failure.strerror)  # noqa: TRY400
            return None
        finally:
            os.close(nothing)
        return Process(pid)


async def _end(process: Process) -> None:
    process.signal(signal.SIGTERM)
    ended = asyncio.ensure_future(process.ended())
    # Not asyncio.timeout: up to Python 3.11.2 it raises nothing of its own in a task that is being cancelled.
    await asyncio.wait((ended,), timeout=END_SECONDS)
    if not ended.done():
        process.signal(signal.SIGKILL)
    await ended
