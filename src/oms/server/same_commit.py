"""What goes to the disk in the commit in which a job ends: one wait for the disk instead of two.

Whoever waits for a job has a row written when it ends, that it was asked for. It lies ready meanwhile, and is
written with the end. Where that does not come to it, because nobody waits so long, or the row is refused, the one
who wants it writes it by itself.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import structlog
from sqlalchemy import Connection

from oms.contract.errors import DatabaseInsertError, DatabaseSelectError, DatabaseUpdateError
from oms.server.store.jobs import Job

log = structlog.get_logger("oms.jobs")
T = TypeVar("T")
Write = Callable[[Connection, Job], None]
WithEnd = Callable[[Connection, Job | None], None]
REFUSALS = (DatabaseInsertError, DatabaseSelectError, DatabaseUpdateError)
"""Of a statement, after which nothing was written."""


class Row:
    """A row for the end of a job."""

    def __init__(self, write: Write) -> None:
        """`write` is called in a thread, with the job as it is kept."""
        self.write = write
        self.fate: asyncio.Future[bool] | None = None
        """Whether it was written with the end; None before somebody takes it along."""

    async def is_written(self) -> bool:
        """Whether it stands on the disk. If not, it will not come there either: nobody waits for the job now."""
        return self.fate is not None and await asyncio.shield(self.fate)


class Rows:
    """Those that lie ready, by their jobs' ids."""

    def __init__(self) -> None:
        self._ready: dict[str, list[Row]] = {}

    @contextlib.contextmanager
    def ready(self, job_id: str, row: Row | None) -> Iterator[None]:
        """It may be taken along meanwhile."""
        if row is None:
            yield
            return
        self._ready.setdefault(job_id, []).append(row)
        try:
            yield
        finally:
            if row in (rows := self._ready.get(job_id, [])):
                rows.remove(row)
            if not rows:
                self._ready.pop(job_id, None)

    async def with_end(self, job_id: str, end: Callable[[WithEnd], Awaitable[T]]) -> T:
        """What `end` answers. It runs the transaction that may end the job, and gives that the function which
        writes the rows, where it is also given the job. Rows that the database refuses do not keep the job from
        ending: that is written again without them."""
        rows = self._ready.pop(job_id, [])
        fate: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        for row in rows:
            row.fate = fate
        written = False

        def write(tx: Connection, job: Job | None) -> None:
            nonlocal written
            written = job is not None and bool(rows)
            if job is not None:
                for row in rows:
                    row.write(tx, job)

        try:
            return await end(write)
        except REFUSALS as refusal:
            if not written:
                raise
            written = False
            log.warning("not written with the end of a job", job=job_id, why=refusal.wire_name)
            return await end(_nothing)
        except BaseException:
            written = False
            raise
        finally:
            fate.set_result(written)


def _nothing(_tx: Connection, _job: Job | None) -> None:
    return
