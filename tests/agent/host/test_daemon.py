"""Programs that are kept running, and that the next run takes over instead of starting a second."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from oms.agent.host import daemon
from oms.agent.host.daemon import Daemon, listener

LISTENS = """
import signal, socket, sys, time
if sys.argv[2:] == ["stubborn"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
line = socket.socket(socket.AF_UNIX)
line.bind(sys.argv[1] + ".new")
line.listen()
import os
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    line.accept()[0].close()
"""
KEEPS = """
import asyncio, sys
from pathlib import Path
from oms.agent.host.daemon import Daemon

async def main():
    Daemon(sys.argv[3:], Path(sys.argv[1]), Path(sys.argv[2])).begin()
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "AGAIN_SECONDS", 0.05)


@pytest.fixture
def at(tmp_path: Path) -> Path:
    return tmp_path / "socket"


def program(at: Path, *words: str) -> list[str]:
    return [sys.executable, "-c", LISTENS, str(at), *words]


def started(argv: list[str], environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, env=environment)


@asynccontextmanager
async def kept(
    at: Path, *words: str, keeper: str = "us", before: Callable[[], None] = lambda: None
) -> AsyncIterator[int]:
    """The process that listens, once it does."""
    it = Daemon(program(at, *words), at, at.parent / keeper, before=before)
    it.begin()
    try:
        yield await other_than(at, None)
    finally:
        await it.end()


async def other_than(at: Path, pid: int | None) -> int:
    async with asyncio.timeout(60):
        while (found := listener(at)) in (None, pid):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    assert found
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_runs_is_started_again_and_ends_with_us(at: Path) -> None:
    starts: list[None] = []
    async with kept(at, before=lambda: starts.append(None)) as first:
        os.kill(first, signal.SIGKILL)
        second = await other_than(at, first)
        assert len(starts) == 2
    assert not alive(first)
    assert not alive(second)
    assert listener(at) is None


async def test_one_that_does_not_heed_is_killed(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "END_SECONDS", 0.1)
    async with kept(at, "stubborn") as pid:
        pass
    assert not alive(pid)


async def test_what_a_killed_run_left_behind_is_taken_over_kept_and_ended(at: Path) -> None:
    keeper = started([sys.executable, "-c", KEEPS, str(at), str(at.parent / "us"), *program(at)])
    left = await other_than(at, None)
    keeper.kill()
    keeper.wait()
    assert alive(left)
    async with kept(at) as pid:
        assert pid == left
        await asyncio.sleep(0.2)  # long enough for a second one, were it started
        assert listener(at) == left
        os.kill(left, signal.SIGKILL)
        assert alive(await other_than(at, left))  # it is kept like one of our own
    assert listener(at) is None


@pytest.mark.parametrize("environment", [{}, {daemon.MARK: "somebody else"}])
async def test_another_s_program_is_left_alone(at: Path, environment: dict[str, str]) -> None:
    theirs = started(program(at), environment)
    try:
        await other_than(at, None)
        assert Daemon(program(at), at, at.parent / "us").is_anothers()
        async with kept(at) as pid:
            assert pid == theirs.pid
        assert theirs.poll() is None
    finally:
        theirs.kill()
        theirs.wait()


async def test_one_that_cannot_be_started_is_tried_again_and_ended_in_peace(at: Path) -> None:
    tries: list[None] = []
    it = Daemon(["/no/such/program"], at, at.parent / "us", before=lambda: tries.append(None))
    it.begin()
    async with asyncio.timeout(30):
        while len(tries) < 3:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    await it.end()


def test_a_socket_that_takes_nobody_is_somebodys(at: Path) -> None:
    with socket.socket(socket.AF_UNIX) as line, socket.socket(socket.AF_UNIX) as first:
        line.bind(str(at))
        line.listen(0)
        first.connect(str(at))
        assert listener(at) == 0
        assert Daemon([], at, at.parent).is_anothers()
