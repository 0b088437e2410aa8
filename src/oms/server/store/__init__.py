"""The door to the database: transactions in threads, errors by the document's names.

The modules beside this one hold plain functions, one module for a table: each takes a connection inside a
transaction and returns values. `Store` runs them.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from oms.contract.errors import (
    ApplicationError,
    DatabaseConnectionError,
    DatabaseDeleteError,
    DatabaseInsertError,
    DatabaseSelectError,
    DatabaseUpdateError,
)
from oms.server.rules.events import Kept
from oms.server.store import engines, events, migrations
from oms.server.store.moments import now as now
from oms.server.store.writer import Writer

T = TypeVar("T")
log = structlog.get_logger("oms.store")
LOG_COMMITS, LOG_COMMITS_AT_MOST = 50, 400
"""So many commits stand in SQLite's log beside its file: when nothing waits, and when something always does."""

_KINDS: dict[str, type[ApplicationError]] = {
    "SELECT": DatabaseSelectError,
    "UPDATE": DatabaseUpdateError,
    "INSERT": DatabaseInsertError,
    "DELETE": DatabaseDeleteError,
}


class Store:
    """One database. Writes go one after the other, and are on disk when `write` returns; reads go beside them."""

    def __init__(self, url: str) -> None:
        """`url` is SQLAlchemy's. Raises DatabaseConnectionError where it is none."""
        self._engine = engines.made(url)
        self._writing, self._reading = engines.writing(self._engine), engines.reading(self._engine)
        self._told: Callable[[Sequence[Kept]], None] = lambda _events: None
        self._writer = Writer(
            self._written, self.transaction, functools.partial(_named, reached=True), _named, self._write_back
        )
        self._since = 0
        """Commits since SQLite's log was written back."""
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="store-read")

    def on_told(self, callback: Callable[[Sequence[Kept]], None]) -> None:
        """Call `callback` with the events of each transaction, once they are on the disk: in the thread that
        wrote, before whoever asked for the write hears that it is done."""
        self._told = callback

    def migrate(self) -> None:
        """Bring the tables to this version. Blocks: called once, before anything is served. Raises the document's
        Database...Errors."""
        self._in_transaction(self._writing, brought_up)

    @property
    def is_shared(self) -> bool:
        """Whether other servers may work on it."""
        return engines.is_postgresql(self._engine)

    def held(self, how: int) -> Callable[[], None]:
        """See `engines.held`."""
        return engines.held(self._engine, how)

    async def read(self, question: Callable[[Connection], T]) -> T:
        """The answer of a function that only reads. Raises DatabaseSelectError, DatabaseConnectionError."""
        ask = functools.partial(self._in_transaction, self._reading, question)
        return await asyncio.get_running_loop().run_in_executor(self._readers, ask)

    async def write(self, change: Callable[[Connection], T]) -> T:
        """Run a function in a transaction that is committed to disk, or not at all. It may be run twice, the first
        time for nothing: it does nothing but with its transaction.

        An error of the function undoes what it did. Raises the document's Database...Errors.
        """
        return await self._writer.run(change)

    def transaction(self, work: Callable[[Connection], T]) -> T:
        """`write` without a loop, for the command line: blocks."""
        return self._telling(self._in_transaction, work)

    def _written(self, work: Callable[[Connection], T]) -> T:
        return self._telling(engines.run, work)

    def _telling(
        self, run: Callable[[Engine, Callable[[Connection], T]], T], work: Callable[[Connection], T]
    ) -> T:
        """What the function answers; what it tells is written with it, and handed on."""
        news: list[Kept] = []

        def work_and_tell(tx: Connection) -> T:
            with events.telling(tx) as told:
                answer = work(tx)
                events.write(tx)
                news.extend(told.kept)
            return answer

        answer = run(self._writing, work_and_tell)
        if news:
            self._told(news)
        return answer

    def _in_transaction(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        reached = False

        def reach(connection: Connection) -> T:
            nonlocal reached
            reached = True
            return work(connection)

        try:
            return engines.run(engine, reach)
        except SQLAlchemyError as failure:
            raise _named(failure, reached=reached) from failure

    def _write_back(self, busy: bool) -> None:
        """After commits whose askers were told: nobody waits for it, unless it has been put off for long."""
        self._since += 1
        if self._since < (LOG_COMMITS_AT_MOST if busy else LOG_COMMITS):
            return
        self._since = 0
        try:
            engines.written_back(self._engine)
        except SQLAlchemyError as failure:
            log.warning("the database's log was not written back", why=type(failure).__name__)

    async def scrub(self) -> None:
        """Take what was overwritten out of the files as well: a job's operation may have held a password. While a
        question is being asked it is left for the next time. Raises DatabaseConnectionError.

        Not beside a write: one that has begun to read would find the log gone from under it, and be refused.
        """
        await self._writer.between(self._scrub)

    def _scrub(self) -> None:
        if engines.is_postgresql(self._engine):
            return  # PostgreSQL's log is its own, and its server's to keep
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("PRAGMA busy_timeout=0").close()  # writes wait behind this
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                connection.exec_driver_sql(f"PRAGMA busy_timeout={engines.BUSY_MS}").fetchall()
        except SQLAlchemyError as failure:
            raise _named(failure) from failure

    def close(self) -> None:
        """Let the threads end and the connections go."""
        self._writer.close()
        self._readers.shutdown()
        self._engine.dispose()


def _named(failure: SQLAlchemyError, *, reached: bool = False) -> ApplicationError:
    """The document's error for a failure of the database; its own words go to the log only."""
    log.error("database", failure=str(failure.__cause__ or failure).splitlines()[0][:500])
    if isinstance(failure, DBAPIError) and reached and not failure.connection_invalidated:
        # Without a statement it is the end of the transaction that was refused, as on a full disk.
        verb = failure.statement.split(None, 1)[0].upper() if failure.statement else "UPDATE"
        kind = _KINDS.get(verb, DatabaseSelectError)
        return kind("OMS's database refused, and nothing was changed. The log says why; try again later.")
    return DatabaseConnectionError("OMS's database cannot be reached; nothing was changed. Try again later.")


def brought_up(tx: Connection) -> None:
    """See `Store.migrate`."""
    engines.patient(tx)
    engines.check_fit(tx)
    migrations.upgrade(tx)


def clock(tx: Connection) -> float:
    """The database's own `now`, the same for all servers over it."""
    return engines.clock(tx) if engines.is_postgresql(tx) else now()
