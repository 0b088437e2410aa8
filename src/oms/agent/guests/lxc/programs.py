"""LXC's own programs, as far as they change anything.

A container must not be a child of the agent: it would be killed with it, and inherit what the agent's unit forbids
itself (NoNewPrivileges, the filter of system calls, the limits). Where systemd runs it is a unit of its own, which
systemd starts; elsewhere lxc-start goes into the background, out of the agent's session and control groups.
"""

import asyncio
import contextlib
import os
import re
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from oms.agent.host.process import ENVIRONMENT, run
from oms.contract.errors import FuncManError

START_SECONDS = 50.0
CHANGE_SECONDS = 30.0
SYSTEMD = Path("/run/systemd/system")
"""There while systemd runs."""
SYSTEMD_RUN, SYSTEMCTL = "systemd-run", "systemctl"
LOG: Final = "oms.log"
LOG_BYTES = 65536
Runs = Callable[[], Awaitable[bool]]


def is_installed() -> bool:
    """Whether LXC's programs are there."""
    return shutil.which("lxc-start") is not None


async def start(path: Path, ctid: str, runs: Runs, *, ours: bool) -> None:
    """Start it; it runs when this returns, or the error says why it does not. Raises FuncManError.

    `runs` says whether it does now; `ours`, whether OMS has made it.

    lxc-start finds newuidmap and newgidmap by PATH and lets them map a container's users; where it finds none it
    maps them itself, as root may, which is faster. Ours need nothing else by PATH.
    """
    log = path / ctid / LOG
    with contextlib.suppress(OSError):
        log.unlink()
    at = shutil.which("lxc-start", path=ENVIRONMENT["PATH"]) if ours else None
    words = [at or "lxc-start", "-P", str(path), "-n", ctid, "-l", "ERROR", "-o", str(log)]
    if not SYSTEMD.is_dir():
        done = await run([*words, "-d"], timeout=START_SECONDS, environment={"PATH": None} if at else None)
        if not done.exit:
            return  # it goes into the background when the container's monitor has told it that this runs
    else:
        name, front = unit_name(ctid), ["env", "-u", "PATH"] if at else []
        done = await run([SYSTEMD_RUN, *unit(path, ctid, name), *front, *words, "-F"], timeout=START_SECONDS)
        if not done.exit:
            await _comes_up(name, runs)
    if not await runs():
        raise FuncManError(f"Container {ctid} does not start: {why(log) or done.words}", container=ctid)


async def _comes_up(name: str, runs: Runs) -> None:
    """Wait until a unit's container runs, or the unit has ended."""
    end = time.monotonic() + START_SECONDS
    while not await runs() and time.monotonic() < end:
        active = await run([SYSTEMCTL, "is-active", "--quiet", "--", name], timeout=START_SECONDS)
        if active.exit:
            return
        await asyncio.sleep(0.02)


def unit_name(ctid: str) -> str:
    """Another one at each start: the unit of the last may still be ending."""
    return f"oms-container-{re.sub('[^A-Za-z0-9_.]', '_', ctid)}-{os.urandom(4).hex()}.service"


def unit(path: Path, ctid: str, name: str) -> list[str]:
    """What has systemd run a container as a unit of its own, which goes on when the agent ends, and which the
    host's own shutdown ends cleanly: the settings of LXC's own unit, lxc@.service, for any of LXC's paths.

    lxc-start stays in the foreground there: it leaves the unit's control group, and only as its main process is it
    still known to belong to it.
    """
    stop = f'-/usr/bin/lxc-stop -P "{path}" -n {ctid} -t 90'
    return [
        "--quiet",
        "--collect",
        f"--unit={name}",
        f"--description=Container {ctid}",
        "--property=Type=simple",
        "--property=Delegate=yes",
        "--property=KillMode=mixed",
        "--property=TimeoutStopSec=120s",
        "--property=TasksMax=infinity",
        f"--property=ExecStop={stop}",
        "--",
    ]


async def stop(path: Path, ctid: str) -> str:
    """Kill what runs in it; what was said if that failed."""
    return await _said(path, ctid, "lxc-stop", "-k")


async def ask_off(path: Path, ctid: str) -> str:
    """Have its init shut it down, by the signal that this init takes for that; what was said if that failed."""
    return await _said(path, ctid, "lxc-stop", "--nokill", "--nowait")


async def freeze(path: Path, ctid: str) -> str:
    """Have it stand still; what was said if that failed."""
    return await _said(path, ctid, "lxc-freeze")


async def thaw(path: Path, ctid: str) -> str:
    """Have it go on; what was said if that failed."""
    return await _said(path, ctid, "lxc-unfreeze")


async def destroy(path: Path, ctid: str) -> str:
    """Remove one that was made by other means, whose root file system may be anywhere; what was said if that
    failed."""
    return await _said(path, ctid, "lxc-destroy")


async def _said(path: Path, ctid: str, program: str, *words: str) -> str:
    done = await run([program, "-P", str(path), "-n", ctid, *words], timeout=CHANGE_SECONDS)
    return done.words if done.exit else ""


async def set_hostname(pid: int, name: str) -> str:
    """Give a running container another name; why not, or ""."""
    words = ["nsenter", "-t", str(pid), "-u", "--", "hostname", "--", name]
    done = await run(words, timeout=CHANGE_SECONDS)
    return done.words if done.exit else ""


def console(path: Path, ctid: str) -> tuple[str, ...]:
    """A login in a running container, for a terminal. Nothing of the agent's environment goes in."""
    front = ("lxc-attach", "-P", str(path), "-n", ctid, "--clear-env", "--keep-var", "TERM")
    return (*front, "--", "/bin/login")


def why(log: Path) -> str:
    """Why LXC did not start a container: the first error of its log, which names the cause; "" where it is not
    told."""
    try:
        place = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        text = os.read(place, LOG_BYTES).decode(errors="replace")
    finally:
        os.close(place)
    return first_error(text)


def first_error(text: str) -> str:
    """`lxc-start 1 2026... ERROR network - ../src/lxc/network.c:f:1 - Words`: the words."""
    for line in text.splitlines():
        if " ERROR " in line:
            return " - ".join(line.split(" - ")[2:]).strip()[:200]
    return ""
