"""What systemd is told by a process that it runs (sd_notify(3)): that it is ready, how it is, that it is alive.

Nothing of it does anything where no unit asks for it: without NOTIFY_SOCKET and WATCHDOG_USEC in the environment.
"""

import asyncio
import contextlib
import faulthandler
import os
import socket

PULSES = 3
"""So often within the time after which systemd takes a silent process for hung."""


def ready(status: str) -> None:
    """Its start is over; `status` is a sentence for people, which `systemctl status` shows."""
    _tell("READY=1", f"STATUS={status}")


def status(words: str) -> None:
    """How it is now, for people."""
    _tell(f"STATUS={words}")


def ending() -> None:
    """It has begun to end."""
    _tell("STOPPING=1", "STATUS=ends")


async def pulse() -> None:
    """Say that this loop turns, where systemd listens for that. What is silent it ends by SIGABRT: then it is
    written to the standard error where each thread was."""
    seconds = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 / PULSES
    if seconds:
        faulthandler.enable()
    while seconds:
        _tell("WATCHDOG=1")
        await asyncio.sleep(seconds)


def _tell(*lines: str) -> None:
    """Nobody waits for systemd, and what it does not hear is no reason to end."""
    if not (where := os.environ.get("NOTIFY_SOCKET")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line, contextlib.suppress(OSError):
        line.setblocking(False)
        text = "\n".join(one.replace("\n", " ") for one in lines)
        line.sendto(text.encode(), f"\0{where[1:]}" if where.startswith("@") else where)
