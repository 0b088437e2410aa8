"""The lines to one libvirtd, so that what hangs on one of them holds up nothing else.

Four: questions, measurements (which wait for the machines themselves), changes, and works: changes that take as
long as a machine's memory or disks are large.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from oms.agent.guests import Progress
from oms.agent.guests.libvirt import calls
from oms.agent.guests.libvirt.connections import Farewell
from oms.agent.guests.libvirt.line import Line
from oms.contract.errors import FuncManError, HypervisorUnavailable

T = TypeVar("T")
PROGRESS_SECONDS = 0.5
ABORT_SECONDS = 0.2
"""Between two tries to break a work off: it may not have begun yet."""


class Lines:
    """Four connections, each with the limit of one call on it in seconds; works have none."""

    def __init__(
        self,
        uri: str,
        *,
        ask_seconds: float,
        measure_seconds: float,
        change_seconds: float,
        greet: Callable[[Any], list[Farewell]],
        on_up: Callable[[], None],
    ) -> None:
        """`greet` and `on_up` are those of the line for questions, see Line."""
        self._asking, self._ask_seconds = Line(uri, "asking", 4, greet=greet, on_up=on_up), ask_seconds
        self._measuring, self._measure_seconds = Line(uri, "measuring", 2), measure_seconds
        self._changing, self._change_seconds = Line(uri, "changing", 4), change_seconds
        self._working = Line(uri, "working", 4)

    async def begin(self, seconds: float) -> bool:
        """Connect and stay connected. Answers whether libvirtd was there within so many seconds."""
        for line in self._all():
            line.begin()
        return all(await asyncio.gather(*(line.wait_up(seconds) for line in self._all())))

    async def close(self) -> None:
        """Let go of libvirtd."""
        for line in self._all():
            await line.close()

    async def ask(self, call: Callable[[Any], T]) -> T:
        """What `call` answers, given the connection; it changes nothing."""
        return await self._asking.ask(call, self._ask_seconds)

    async def measure(self, call: Callable[[Any], T]) -> T:
        """As `ask`, of the machines' own processes."""
        return await self._measuring.ask(call, self._measure_seconds)

    async def make(self, call: Callable[[Any], T]) -> T:
        """What `call` answers, given the connection; it changes something."""
        return await self._changing.change(call, self._change_seconds)

    async def change(self, uuid: str, act: Callable[[Any], T]) -> T:
        """What `act` answers, given the domain; it changes something."""
        return await self.make(lambda connection: act(calls.by_uuid(connection, uuid)))

    async def work(self, uuid: str, act: Callable[[Any], T], on_progress: Progress | None = None) -> T:
        """As `change`, as long as it takes. Cancelled, it is broken off before that is told; where it is done all
        the same, that is answered instead. Without `on_progress` it is one that tells none and cannot be broken
        off: libvirt goes on with it."""
        await self.settle(uuid)
        work = asyncio.create_task(
            self._working.change(lambda connection: act(calls.by_uuid(connection, uuid)), None)
        )
        try:
            while not (await asyncio.wait((work,), timeout=PROGRESS_SECONDS))[0]:
                if on_progress and (percent := await self._percent(uuid)) is not None:
                    on_progress(percent)
        except asyncio.CancelledError:
            if on_progress is None:
                raise
            await self._break_off(uuid, work)
        return work.result()

    async def settle(self, uuid: str) -> None:
        """Wait until nothing works on the machine any more: an earlier run of the agent may have begun it."""
        while await self.ask(lambda connection: calls.at_work(calls.by_uuid(connection, uuid))):  # noqa: ASYNC110
            await asyncio.sleep(PROGRESS_SECONDS)

    async def _break_off(self, uuid: str, work: "asyncio.Task[Any]") -> None:
        """Returns where the work is done all the same, or nobody knows: then its result says so."""
        while not work.done():
            with contextlib.suppress(FuncManError):
                await self.ask(lambda connection: calls.abort(calls.by_uuid(connection, uuid)))
            await asyncio.wait((work,), timeout=ABORT_SECONDS)
        refused = work.exception()
        if isinstance(refused, FuncManError) and not isinstance(refused, HypervisorUnavailable):
            raise asyncio.CancelledError
        if (task := asyncio.current_task()) is not None:
            task.uncancel()

    async def _percent(self, uuid: str) -> float | None:
        try:
            return await self.ask(lambda connection: calls.percent(calls.by_uuid(connection, uuid)))
        except FuncManError:
            return None  # it is between two things, or libvirtd is away: the work itself will say so

    def _all(self) -> tuple[Line, ...]:
        return self._asking, self._measuring, self._changing, self._working
