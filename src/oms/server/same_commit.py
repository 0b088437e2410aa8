"""What goes to the disk in the commit in which a job ends: one wait for the disk instead of two.

Whoever waits for a job has a row written when it ends, that it was asked for. It lies ready meanwhile, and is
written with the end. Where that does not come to it, because nobody waits so long, or the row is refused, the one
who wants it writes it by itself.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from oms.server.store.jobs import Job

log = structlog.get_logger("oms.jobs")
Write = Callable[[Connection, Job], None]
WithEnd = Callable[[Connection, Job | None], None]


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

    @contextlib.contextmanager
    def taken(self, job_id: str) -> Iterator[WithEnd]:
        """A function for the transaction that may end the job: it writes the rows, where the job is given. They
        are known to be written when what is done here has ended well."""
        rows = self._ready.pop(job_id, [])
        fate: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        for row in rows:
            row.fate = fate
        written = False

        def write(tx: Connection, job: Job | None) -> None:
            nonlocal written
            written = job is not None and bool(rows) and _written(tx, job, rows)

        try:
            yield write
        except BaseException:
            written = False
            raise
        finally:
            fate.set_result(written)


def _written(tx: Connection, job: Job, rows: list[Row]) -> bool:
    """The rows, or none of them: one that is refused does not keep the job from ending."""
    try:
        with tx.begin_nested():
            for row in rows:
                row.write(tx, job)
    except SQLAlchemyError as error:
        log.warning("not written with the end of a job", job=job.id, why=type(error).__name__)
        return False
    return True
