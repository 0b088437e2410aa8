"""From a request on the bus to the function that does it: a closed list of verbs, whoever asks.

Reads run at once, a bounded number side by side, and not after their deadline: nobody waits for them any more.
Changes are handed to the jobs and answered as soon as they are written down.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from oms import __version__
from oms.agent.context import Host
from oms.agent.jobs import Jobs
from oms.agent.lanes import Surroundings
from oms.agent.server_clocks import ServerClocks
from oms.bus import call
from oms.bus.call import Request
from oms.bus.wire import RequestHandler
from oms.contract.errors import FuncMethodTimeoutError, NotSupported
from oms.contract.handlers import Handlers
from oms.contract.internal import (
    INTERNAL,
    AskGuests,
    AskJobs,
    CancelJob,
    Hello,
    HostFacts,
    Roster,
    SendFile,
    Welcome,
)
from oms.contract.operation import HostOperation

READS_AT_ONCE = 32
Guests = Callable[[], Awaitable[Roster]]
Send = Callable[[SendFile], Awaitable[int]]
LONGEST_READ_SECONDS = 300.0
"""Of a read that came without a deadline."""


def build(
    handlers: Handlers[Host],
    jobs: Jobs,
    *,
    surroundings: Surroundings,
    clocks: ServerClocks,
    facts: Callable[[], HostFacts],
    on_greeted: Callable[[Hello], None] = lambda _hello: None,
    guests: Guests | None = None,
    send: Send | None = None,
) -> RequestHandler:
    """The function for `AgentWire.serve`. `facts` are told when greeted, and `on_greeted` hears of that; `guests`
    tells who is there, and `send` begins to bring a file to another host's job."""
    operations = {kind.facts.wire: kind for kind in (*handlers, *INTERNAL)}
    desk = _Desk(handlers, jobs, surroundings, clocks, send)

    async def run(request: Request, op: HostOperation[Any]) -> Any:
        if isinstance(op, Hello):
            clocks.hear(op.server, op.epoch, op.time)
            jobs.greeted()
            on_greeted(op)
            return Welcome(facts(), await jobs.known())
        if isinstance(op, AskGuests) and guests is not None:
            clocks.check(request)
            return await guests()
        return await desk.answer(request, op)

    return call.server(operations, run, __version__)


class _Desk:
    """Everything after the greeting."""

    def __init__(
        self,
        handlers: Handlers[Host],
        jobs: Jobs,
        surroundings: Surroundings,
        clocks: ServerClocks,
        send: Send | None,
    ) -> None:
        self._handlers, self._jobs, self._send = handlers, jobs, send
        self._clocks = clocks
        self._surroundings = surroundings
        self._reads = asyncio.Semaphore(READS_AT_ONCE)

    async def answer(self, request: Request, op: HostOperation[Any]) -> Any:
        if op.facts.changes:
            return await self._jobs.accept(request, op)  # which knows an id again even when it comes late
        self._clocks.check(request)
        match op:
            case AskJobs():
                return await self._jobs.ask(op.ids)
            case CancelJob():
                return await self._jobs.cancel(op.id)
            case SendFile() if self._send is not None:
                return await self._send(op)
            case _:
                return await self._read(request, op)

    async def _read(self, request: Request, op: HostOperation[Any]) -> Any:
        handler = self._handlers.find(type(op))
        if handler is None:
            raise NotSupported(f"This host's agent ({__version__}) has nothing that does {op.facts.wire}.")
        try:
            async with asyncio.timeout(self._seconds_left(request)), self._reads:
                self._clocks.check(request)
                return await handler(op, self._surroundings(NoJob()))
        except TimeoutError as late:
            raise FuncMethodTimeoutError(
                f"The host did not come to an end with {op.facts.wire} in time."
            ) from late

    def _seconds_left(self, request: Request) -> float:
        now = self._clocks.now(request.server)
        if now is None or not request.deadline:
            return LONGEST_READ_SECONDS
        return min(max(request.deadline - now, 0), LONGEST_READ_SECONDS)


class NoJob:
    """What stands in the place of the job where an operation changes nothing."""

    id = ""
    resumed = False

    def recall(self, key: str) -> Any:  # noqa: ARG002
        """Nothing was recorded."""
        return

    async def record(self, key: str, value: Any) -> None:  # noqa: ARG002
        """A read has nothing to record."""
        self._refuse()

    def progress(self, percent: float) -> None:
        """A read has no progress that anybody sees."""

    def note(self, key: str, text: str) -> None:  # noqa: ARG002
        """A read has no job's record to say it in."""
        self._refuse()

    async def answer(self, value: Any) -> None:  # noqa: ARG002
        """A read answers by returning."""
        self._refuse()

    def cancellable(self) -> contextlib.AbstractAsyncContextManager[None]:
        """A read is not cancelled."""
        return contextlib.nullcontext()

    def aside(self) -> contextlib.AbstractAsyncContextManager[None]:
        """A read holds no turn."""
        return contextlib.nullcontext()

    def _refuse(self) -> NoReturn:
        raise TypeError("this operation is declared as a read (changes=False): it is no job")
