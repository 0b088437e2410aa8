"""What systemd is told, at a socket as its own."""

import asyncio
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms import systemd


@pytest.fixture(params=["a path", "a name of the kernel's"])
def heard(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    at = str(tmp_path / "notify") if request.param == "a path" else f"@oms-{secrets.token_hex(8)}"
    monkeypatch.setenv("NOTIFY_SOCKET", at)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(f"\0{at[1:]}" if at.startswith("@") else at)
        line.settimeout(30)
        yield line


def test_it_hears_that_a_start_is_over_how_it_is_and_that_it_ends(heard: socket.socket) -> None:
    systemd.ready("serves\nREADY=0")
    systemd.status("goes on")
    systemd.ending()
    assert [heard.recv(4096).decode().split("\n") for _ in range(3)] == [
        ["READY=1", "STATUS=serves READY=0"],
        ["STATUS=goes on"],
        ["STOPPING=1", "STATUS=ends"],
    ]


def test_a_loop_that_turns_says_so_until_it_ends(heard: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000")

    async def turns() -> None:
        pulse = asyncio.create_task(systemd.pulse())
        told = [await asyncio.to_thread(heard.recv, 4096) for _ in range(3)]
        assert told == [b"WATCHDOG=1"] * 3
        pulse.cancel()

    asyncio.run(turns())


def test_nothing_is_said_where_nobody_asks_or_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"):
        monkeypatch.delenv(name, raising=False)
    systemd.ready("serves")
    asyncio.run(systemd.pulse())
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    systemd.ready("serves")


def test_what_is_ended_as_hung_tells_where_it_was() -> None:
    program = "import asyncio, os, signal; from oms import systemd\n"
    program += "def hangs(): os.kill(os.getpid(), signal.SIGABRT)\n"
    program += "async def main():\n    asyncio.create_task(systemd.pulse()); await asyncio.sleep(0.1); hangs()\n"
    command = ["prlimit", "--core=0", sys.executable, "-c", f"{program}asyncio.run(main())"]
    surroundings = os.environ | {"WATCHDOG_USEC": "60000000"}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=60, check=False)
    assert "in hangs" in done.stderr
