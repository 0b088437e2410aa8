"""The one thread that writes. What waits for it shares a commit: a sync of the disk takes long, and one is enough.

Each function still stands or falls by itself: it runs in a savepoint, and is told how it went when all of them are
on the disk. Where the database refuses one of them, nobody knows what that did to the others: then each is run in
a transaction of its own.
"""

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from oms.server.store import events

T = TypeVar("T")
Change = Callable[[Connection], T]
MOST_TOGETHER = 64


@dataclass
class _Ticket:
    """One function, and the future of what it answers."""

    change: Change[Any]
    answer: "Future[Any]" = field(default_factory=Future)


class Writer:
    """Runs functions one after the other, each in a transaction."""

    def __init__(
        self,
        together: Callable[[Change[Any]], Any],
        alone: Callable[[Change[Any]], Any],
        named: Callable[[SQLAlchemyError], Exception],
        unreached: Callable[[SQLAlchemyError], Exception],
        after: Callable[[bool], None],
    ) -> None:
        """Both run one function in a transaction: `together` raises the database's errors, `alone` those that
        `named` makes of them for whoever asked, or `unreached` where there was not even a transaction. `after` is
        called when that has been told, with whether more waits; it does not raise."""
        self._in_one, self._alone, self._after = together, alone, after
        self._named, self._unreached = named, unreached
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._waiting: deque[_Ticket] = deque()

    async def run(self, change: Change[T]) -> T:
        """What the function answers or raises, once it is on the disk, or undone. Given up before its turn, it is
        never run."""
        ticket = _Ticket(change)
        self._waiting.append(ticket)
        self._thread.submit(self._work)
        answer: T = await asyncio.wrap_future(ticket.answer)
        return answer

    async def between(self, work: Callable[[], None]) -> None:
        """Run what must not meet a write, in its turn."""
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Let the thread end its work and then itself."""
        self._thread.shutdown()

    def _work(self) -> None:
        """Whatever waits. As often as not that was done already, with what waited before."""
        batch: list[_Ticket] = []
        while self._waiting and len(batch) < MOST_TOGETHER:
            ticket = self._waiting.popleft()
            if ticket.answer.set_running_or_notify_cancel():
                batch.append(ticket)
        if not (len(batch) > 1 and self._together(batch)):
            for ticket in batch:
                self._by_itself(ticket)
        if batch:
            self._after(bool(self._waiting))

    def _by_itself(self, ticket: _Ticket) -> None:
        try:
            ticket.answer.set_result(self._alone(ticket.change))
        except Exception as error:  # noqa: BLE001 - it is the asker's
            ticket.answer.set_exception(error)

    def _together(self, batch: list[_Ticket]) -> bool:
        """Whether how it ended was told; if not, nothing was written."""
        begun, endings = False, list[Callable[[], None]]()

        def change(connection: Connection) -> None:
            nonlocal begun
            begun = True
            run = [_in_savepoint(connection, ticket) for ticket in batch]
            events.write(connection)
            endings.extend(run)

        try:
            self._in_one(change)
        except Exception as failure:  # noqa: BLE001 - nobody may be left without an answer
            if begun and not endings:
                return False
            # The commit itself: what became of it may not be known, so nothing is tried again. Or not even a
            # transaction was to be had: one after the other, each of them would wait as long for the same answer.
            name = self._named if begun else self._unreached
            error = name(failure) if isinstance(failure, SQLAlchemyError) else failure
            endings = [functools.partial(ticket.answer.set_exception, error) for ticket in batch]
        for tell in endings:
            tell()
        return True


def _in_savepoint(connection: Connection, ticket: _Ticket) -> Callable[[], None]:
    """Run it; what is to be told when it is on the disk. Where it raised, nothing of it is left. Raises
    SQLAlchemyError."""
    savepoint, told = connection.begin_nested(), events.told(connection)
    so_far = len(told)
    try:
        answer = ticket.change(connection)
    except SQLAlchemyError:
        raise
    except Exception as error:  # noqa: BLE001 - it is the asker's
        savepoint.rollback()
        del told[so_far:]
        return functools.partial(ticket.answer.set_exception, error)
    savepoint.commit()
    return functools.partial(ticket.answer.set_result, answer)
