"""Threads for calls that block, few and expendable: a call that hangs costs one of them and nothing else.

The standard pool is no good here: it is joined at the process's exit, so that one hung call would keep the agent
from ending, and it cannot say whether a call that was given up had been begun.
"""

import asyncio
import contextlib
import functools
import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TooLate(Exception):
    """The time for a call was over. `begun` says whether it may have had, or may yet have, an effect."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__()
        self.begun = begun


class Lane:
    """At most `width` calls at a time, in the order they came. Threads are started when first needed."""

    def __init__(self, name: str, width: int) -> None:
        self._name = name
        self._width = width
        self._asked = 0  # calls that wait or are being made
        self._threads = 0
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[_Ticket[object] | None] = queue.SimpleQueue()

    async def run(self, call: Callable[[], T], seconds: float | None) -> T:
        """What `call` answers or raises, in a thread. Raises TooLate after so many seconds (None: waits for ever).

        A call that was given up before its turn, by time or by cancellation, is never made.
        """
        ticket = _Ticket(asyncio.get_running_loop(), call)
        self._take_on()
        self._waiting.put(ticket)  # type: ignore[arg-type]  # the queue does not care what a call answers
        try:
            async with asyncio.timeout(seconds):
                return await ticket.answer
        except TimeoutError:
            if ticket.answer.done() and not ticket.answer.cancelled():
                return ticket.answer.result()  # it came in the same moment, or this is the call's own error
            raise TooLate(begun=not ticket.give_up()) from None
        except asyncio.CancelledError:
            ticket.give_up()
            raise

    def close(self) -> None:
        """End the threads that are idle now, and the others when they come back."""
        for _ in range(self._threads):
            self._waiting.put(None)

    def _take_on(self) -> None:
        with self._lock:
            self._asked += 1
            if self._asked <= self._threads or self._threads == self._width:
                return
            self._threads += 1
        threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while (ticket := self._waiting.get()) is not None:
            ticket.use()
            with self._lock:
                self._asked -= 1


class _Ticket(Generic[T]):
    """One call and the future of its answer; taken by a thread or given up by its asker, whichever is first."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], T]) -> None:
        self.answer: asyncio.Future[T] = loop.create_future()
        self._loop = loop
        self._call = call
        self._free = threading.Lock()

    def give_up(self) -> bool:
        """Whether the call will never be made."""
        return self._free.acquire(blocking=False)

    def use(self) -> None:
        """Make the call, unless it was given up."""
        if not self._free.acquire(blocking=False):
            return
        try:
            answer = self._call()
        except BaseException as error:  # noqa: BLE001 - it is the asker's, not the thread's
            self._tell(functools.partial(self.answer.set_exception, error))
        else:
            self._tell(functools.partial(self.answer.set_result, answer))

    def _tell(self, say: Callable[[], None]) -> None:
        def unless_gone() -> None:
            if not self.answer.done():
                say()

        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody asks any more
            self._loop.call_soon_threadsafe(unless_gone)
