"""A job as the agent's journal keeps it, in memory, which can break off at any point as a crash would."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from oms.agent.context import Host, Storage
from oms.agent.guests import Machines
from oms.agent.leases import Leases
from oms.contract.errors import JobCancelled


class Crash(BaseException):
    """The agent ends here. No handler can catch it by accident."""


class RehearsedJob:
    """`break_at`: the number of the step at which the agent crashes; None: it lives.

    Writing a record has two steps, just before it is on disk and just after."""

    def __init__(self, records: dict[str, str] | None = None, break_at: int | None = None) -> None:
        self.id = "0123456789abcdef0123456789abcdef"
        self.resumed = records is not None
        self.records = {} if records is None else records
        self.notes: dict[str, str] = {}
        self.percents: list[float] = []
        self.answers: list[Any] = []
        self.cancelled = False
        self.steps = 0
        self._breakable: asyncio.Task[Any] | None = None
        self._break_at = break_at

    def step(self) -> None:
        """One more point at which the agent may crash."""
        self.steps += 1
        if self.steps == self._break_at:
            raise Crash

    def recall(self, key: str) -> Any:
        return json.loads(self.records[key]) if key in self.records else None

    async def record(self, key: str, value: Any) -> None:
        self.step()
        self.records[key] = json.dumps(value)
        self.step()

    def progress(self, percent: float) -> None:
        self.step()
        self.percents.append(percent)

    async def answer(self, value: Any) -> None:
        self.step()
        self.answers.append(value)
        self.step()

    def cancel(self) -> None:
        """Have it undone as soon as it lets itself be."""
        self.cancelled = True
        if self._breakable is not None:
            self._breakable.cancel()

    @asynccontextmanager
    async def cancellable(self) -> AsyncIterator[None]:
        if self.cancelled:
            raise JobCancelled("The job was cancelled.")
        self._breakable = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if not self.cancelled:
                raise
            raise JobCancelled("The job was cancelled.") from None
        finally:
            self._breakable = None

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        self.step()
        yield

    def note(self, key: str, text: str) -> None:
        self.notes[key] = text


MACHINES: Final = frozenset(
    {
        "start", "start_once", "stop", "ask_off", "reset", "pause", "resume", "save", "forget_saved",
        "set_autostart", "create_snapshot", "revert_snapshot", "delete_snapshot",
        "attach", "detach", "update", "send_away", "drop_arrived",
        "define", "undefine", "redefine", "set_live_vcpus", "set_live_memory",
    }
)  # fmt: skip
"""What changes one."""


class Crashy:
    """A hypervisor; before and after each of these changes by it the agent may crash."""

    def __init__(self, guests: Any, job: RehearsedJob, changes: Collection[str]) -> None:
        self._guests, self._job, self._changes = guests, job, changes

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._guests, name)
        if name not in self._changes:
            return method

        async def crashy(*args: Any, **kwargs: Any) -> Any:
            self._job.step()
            answer = await method(*args, **kwargs)
            self._job.step()
            return answer

        return crashy


def host(machines: Machines | None, images: Path, job: RehearsedJob | None = None, **more: Any) -> Host:
    """A host as handlers are given it."""
    storage = Storage.below(images.parent, images)
    return Host(storage=storage, machines=machines, job=job or RehearsedJob(), leases=Leases(), **more)


def sharing(host: Host, job: RehearsedJob) -> Host:
    """The same host, as the handler of another job is given it."""
    return replace(host, job=job)


def crashy_host(machines: Machines, images: Path, job: RehearsedJob, **more: Any) -> Host:
    """A host whose agent may crash at every step of its job and around every change of a machine."""
    return replace(host(machines, images, job, **more), machines=Crashy(machines, job, MACHINES))


async def break_off_everywhere(
    run: Callable[[Host], Awaitable[object]],
    machines: Machines,
    images: Path,
    *,
    before: Callable[[], object],
    after: Callable[[], object],
    **more: Any,
) -> int:
    """Have the agent crash at the first step of `run`, then at the second, and so on until none is left; each time
    a second run finishes the first, on what `before` made, and `after` looks at it. Answers how many steps there
    were."""
    for point in range(1, 100):
        before()
        job = RehearsedJob(break_at=point)
        broken = True
        try:
            await run(crashy_host(machines, images, job, **more))
            broken = False
        except Crash:
            await run(host(machines, images, RehearsedJob(job.records), **more))
        after()
        if not broken:
            return point - 1
    raise AssertionError("it never came to its end")
