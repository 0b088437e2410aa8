"""Calls about containers, beside LXC's own programs asked the same on the same containers."""

import asyncio
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figures import Goal, pairs, say
from bench.jobs import COMMITS_OF_A_JOB, commits
from bench.setting import Setting
from oms.agent.guests.containers import ContainerSettings
from tests.hosts.containers import lxc, make
from tests.hosts.lxc_path import lxc_path, why_not

RUNNING = 100
STARTS = 12
ASKED = 5
STATISTICS = ("cpu", "memory", "df", "network")
FIRST = 1000
HOST = "containers1"


def containers(on: Setting) -> None:
    """A list of a hundred that run beside `lxc-ls --fancy`, and a start beside `lxc-start`."""
    if reason := why_not():
        print(f"containers are left out: {reason}")
        return
    with running(on) as path:
        caller = on.caller

        def listed() -> list[dict[str, object]]:
            answer: list[dict[str, object]] = caller.call(
                "ovzservices", "list_vms", caller.sessid, 0, HOST, *STATISTICS
            )
            return answer

        assert [one["status"] for one in listed()] == [1] * RUNNING
        fancy = ["lxc-ls", "-P", str(path), "--fancy"]
        found = pairs(lambda: _ms(listed, ASKED), lambda: _ms(lambda: _run(*fancy), ASKED))
        say("list_vms of 100 containers / lxc-ls --fancy", found, Goal("<=", 0.5), "ms")
        one = str(FIRST + RUNNING)
        asyncio.run(_make(path, FIRST + RUNNING, FIRST + RUNNING + 1, start=False))
        start = lambda: caller.call("ovzservices", "start_vm", caller.sessid, 0, HOST, one)  # noqa: E731
        bare = ["lxc-start", "-P", str(path), "-n", one]
        found = pairs(lambda: _started(path, one, start), lambda: _started(path, one, lambda: _run(*bare)), STARTS)
        say("start_vm of a container / lxc-start", found, Goal("<=", 1.15), "ms")
        added = [mine - other for mine, other in zip(found.ours, found.theirs, strict=True)]
        idle = lambda: caller.call("ovzservices", "stop_vm", caller.sessid, 0, HOST, one)  # noqa: E731
        waits = (_ms(idle, 1) for _ in range(STARTS))
        print(
            f"  added by OMS, the median: {statistics.median(added):.1f} ms; stop_vm of the same, which is off, "
            f"takes {statistics.median(waits):.1f} ms; {COMMITS_OF_A_JOB} bare commits "
            f"{COMMITS_OF_A_JOB * 1000 / commits(on):.1f} ms"
        )


@contextmanager
def running(on: Setting, host: str = HOST, **agent_settings: str) -> Iterator[Path]:
    """A host of its own, with a hundred of them."""
    with lxc_path() as path:
        asyncio.run(_make(path, FIRST, FIRST + RUNNING, start=True))
        on.oms.join(host, containers="lxc", lxc_path=str(path), **agent_settings)
        yield path


async def _make(path: Path, first: int, end: int, *, start: bool) -> None:
    made = await lxc(path)
    for number in range(first, end):
        settings = ContainerSettings(memory_kb=32 * 1024, addresses=(f"10.98.{number // 250}.{number % 250 + 1}",))
        await make(made, str(number), settings)
        if start:
            await made.start(str(number))


def _started(path: Path, ctid: str, start: Callable[[], object]) -> float:
    took = _ms(start, 1)
    _run("lxc-stop", "-P", str(path), "-n", ctid, "-k")
    time.sleep(0.1)
    return took


def _ms(act: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - began) * 1000 / times


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
