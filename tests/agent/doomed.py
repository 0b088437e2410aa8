"""An agent in a process of its own, which tests kill: `python -m tests.agent.doomed JOURNAL MARKS [TMPFS_KB]`.

Commands come as lines `ID THING` on its input; each run of a job leaves a line `ID begun|ended` in the file MARKS,
and each answer or end that it tells is a line on its output. With TMPFS_KB the journal lies on a file system of
that size, made here: run it in a mount namespace of its own then.
"""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import structlog

from oms.agent.context import Host
from oms.agent.events import Events
from oms.agent.jobs import Jobs
from oms.agent.journal import Journal
from oms.agent.server_clocks import ServerClocks
from oms.bus.call import Request, encode
from oms.contract.errors import OmsError
from oms.contract.handlers import Handlers
from oms.contract.internal import JobState
from tests.agent.rig import Work, surroundings


class Told(Events):
    """Says the ends of jobs on the output."""

    def job(self, state: JobState, *, urgent: bool) -> None:
        if urgent:
            say(state.id, state.state)


def say(*words: str) -> None:
    os.write(1, (" ".join(words) + "\n").encode())


def handlers(marks: Path) -> Handlers[Host]:
    table: Handlers[Host] = Handlers()

    def mark(word: str) -> None:
        with marks.open("a") as file:
            file.write(word + "\n")

    @table.handles(Work)
    async def work(op: Work, host: Host) -> str:
        """Write the thing's file once: what is recorded is not done again."""
        mark(f"{host.job.id} {'resumed' if host.job.resumed else 'begun'}")
        if not host.job.recall("made"):
            await asyncio.sleep(0.003)
            await host.job.record("made", True)
        await asyncio.sleep(0.003)
        mark(f"{host.job.id} ended")
        return op.thing

    return table


async def main(path: Path, marks: Path) -> None:
    clocks = ServerClocks()
    jobs = Jobs(await Journal.open(path), handlers(marks), surroundings, clocks=clocks, events=Told())
    await jobs.recover()
    clocks.hear("s", 1, time.time())
    jobs.greeted()
    say("ready")
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with asyncio.TaskGroup() as tasks:
        while line := (await reader.readline()).decode().split():
            tasks.create_task(accept(jobs, *line))


async def accept(jobs: Jobs, job: str, thing: str) -> None:
    if thing == "?":
        (state,) = await jobs.ask((job,))
        return say(job, "is", state.state)
    op = Work(thing)
    try:
        state = await jobs.accept(Request(job, msgspec.Raw(encode(op)), time.time() + 600, "s", 1), op)
    except OmsError as error:
        return say(job, "refused", type(error).__name__, error.message)
    return say(job, "accepted")


def own_disk(directory: Path, kilobytes: int) -> None:
    """A full disk is a small one."""
    size = f"size={kilobytes}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(directory)], check=True)


if __name__ == "__main__":
    journal, marks_file = Path(sys.argv[1]), Path(sys.argv[2])
    if len(sys.argv) > 3:
        own_disk(journal.parent, int(sys.argv[3]))
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(journal, marks_file))
