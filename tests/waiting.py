"""Waiting for what others do in their own time: other processes, threads and tasks."""

import asyncio
import inspect
import socket
import time
from collections.abc import Callable
from typing import Any

SECONDS = 60.0
WORDS = "it did not come to that"


def until(true: Callable[[], Any], otherwise: str | Callable[[], str] = WORDS, seconds: float = SECONDS) -> Any:
    """What it answers, as soon as that is true; fails with the other words when so many seconds are over."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, otherwise if isinstance(otherwise, str) else otherwise()
        time.sleep(0.02)
    return found


def listens(port: int) -> bool:
    """Whether somebody takes connections there, on loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def eventually(true: Callable[[], Any], otherwise: str = WORDS, seconds: float = SECONDS) -> Any:
    """The same while other tasks go on; what it answers may be waited for itself."""
    end = time.monotonic() + seconds
    while True:
        found = true()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < end, otherwise
        await asyncio.sleep(0.005)
