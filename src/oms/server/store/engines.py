"""SQLite and PostgreSQL, made to keep the same promises: what was committed is on the disk, writers take turns,
and a reader sees one moment.

Turns are what everything here relies on that reads before it writes: the chain of the audit log, one job for the
same call twice, the last administrator. SQLite has one writer of itself; on PostgreSQL all servers over one
database wait for one lock. What waits shares a commit (`writer`), so turns cost little.
"""

import fcntl
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from oms.contract.errors import DatabaseConnectionError

T = TypeVar("T")
BUSY_MS = 5000
TURN = 0x4F4D53
"""The number of the lock by which writers take turns on PostgreSQL."""
OPTIONS = {
    "synchronous_commit": "on",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "5s",  # a server that hangs in its turn loses it
    "timezone": "UTC",
}
LINE = {"connect_timeout": 5, "tcp_user_timeout": 10_000, "keepalives_idle": 10, "keepalives_interval": 5}
"""libpq's: a database whose machine is gone is found in ten seconds."""
ASK_SECONDS = 10.0
"""For a database that went away at a commit to be back and tell."""
LOST = (
    "OMS's database went away while this was being written down, and it is not known whether it was: see what is "
    "there before you try again."
)


def made(url: str) -> Engine:
    """The engine of a database. Raises DatabaseConnectionError where the URL is none, or none that is known."""
    try:
        parsed = sa.make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        return _postgresql(parsed) if parsed.get_backend_name() == "postgresql" else _other(parsed)
    except (ArgumentError, ValueError) as wrong:
        raise DatabaseConnectionError(
            "That is no database known here: legal is postgresql://USER@HOST/NAME, or sqlite:////PATH/oms.db."
        ) from wrong
    except ModuleNotFoundError as missing:
        raise DatabaseConnectionError(
            f"The database of the settings needs the Python package {missing.name}, which is not installed here."
        ) from missing


def writing(engine: Engine) -> Engine:
    """The same database for those who write: each transaction begins with its turn."""
    return engine.execution_options(begins_to_write=True)


def reading(engine: Engine) -> Engine:
    """The same for those who only read: all of a transaction sees one moment."""
    if is_postgresql(engine):
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine


def is_postgresql(of: Engine | Connection) -> bool:
    """Whether it is PostgreSQL."""
    return of.dialect.name == "postgresql"


def held(engine: Engine, how: int) -> Callable[[], None]:
    """Lock SQLite's file for a server (`LOCK_SH`) or against all (`LOCK_EX | LOCK_NB`), until what is answered
    is called. Raises BlockingIOError. PostgreSQL's servers say themselves that they are there."""
    path = None if is_postgresql(engine) else engine.url.database
    if not path or path == ":memory:":
        return lambda: None
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return lambda: os.close(descriptor)


def patient(tx: Connection) -> None:
    """For what takes long: nobody ends this transaction for that."""
    if is_postgresql(tx):
        tx.exec_driver_sql("SET LOCAL lock_timeout = 0")
        tx.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")


def clock(tx: Connection) -> float:
    """PostgreSQL's time, in seconds since 1970."""
    seconds: float = tx.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())::float8").scalar_one()
    return seconds


def check_fit(tx: Connection) -> None:
    """Raises DatabaseConnectionError for a database that would order or keep texts otherwise than SQLite does."""
    if not is_postgresql(tx):
        return
    version = int(tx.exec_driver_sql("SHOW server_version_num").scalar_one())
    if version < 130_000:
        raise DatabaseConnectionError(f"This is PostgreSQL {version // 10_000}; OMS needs 13 or later.")
    question = (
        "SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database WHERE datname = current_database()"
    )
    encoding, collation = tx.exec_driver_sql(question).one()
    if encoding != "UTF8" or collation not in ("C", "POSIX", "C.UTF-8", "C.utf8"):
        raise DatabaseConnectionError(
            f"This database keeps texts as {encoding} and orders them by {collation}; OMS needs one that was made "
            "with: CREATE DATABASE oms ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0."
        )


def run(engine: Engine, work: Callable[[Connection], T]) -> T:
    """What a function answers that was run in a transaction which is committed, or undone where it raised.

    Raises DBAPIError with `connection_invalidated` where the line broke at the commit, and `Unknown` where it
    cannot be asked whether that was done.
    """
    with engine.connect() as connection:
        begun = connection.begin()
        try:
            _take_turn(connection)
            answer = work(connection)
        except BaseException:
            begun.rollback()
            raise
        number = connection.info.pop("transaction", "")
        try:
            begun.commit()
        except DBAPIError as broken:
            begun.rollback()
            if not (number and broken.connection_invalidated and _was_committed(engine, number)):
                raise
        return answer


def _take_turn(connection: Connection) -> None:
    """Begin. Called here and not by SQLAlchemy's own event, which would have each statement look for listeners.

    SQLite: who will write says so at once and waits for its turn: after it has read, SQLite would not let it wait
    for another process that wrote meanwhile, but refuse it. PostgreSQL: the turn, and the number of the
    transaction, by which it can be asked whether it was committed.
    """
    writes = connection.get_execution_options().get("begins_to_write", False)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
    elif writes:
        turn = f"SELECT pg_advisory_xact_lock({TURN}), pg_current_xact_id()::text"
        connection.info["transaction"] = connection.exec_driver_sql(turn).one()[1]


class Unknown(DatabaseConnectionError):
    """The database went away at a commit, and does not tell what became of it."""


def _was_committed(engine: Engine, number: str) -> bool:
    """Whether PostgreSQL committed the transaction of that number before the line to it broke. Raises Unknown."""
    end = time.monotonic() + ASK_SECONDS
    while True:
        try:
            found = _became_of(engine, number)
        except DBAPIError as away:
            if time.monotonic() > end:
                raise Unknown(LOST) from away
        else:
            if found not in ("committed", "aborted"):
                raise Unknown(LOST)
            return found == "committed"
        time.sleep(0.2)


def _became_of(engine: Engine, number: str) -> str | None:
    with engine.execution_options(begins_to_write=False).connect() as connection:
        # Whoever has the turn after it knows that it has ended.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({TURN})")
        found: str | None = connection.exec_driver_sql(f"SELECT pg_xact_status('{number}')").scalar_one()
        return found


# --- SQLite


def _other(url: sa.URL) -> Engine:
    # The connection that was used last comes next: SQLite keeps pages and statements with each.
    engine = sa.create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite", pool_use_lifo=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: ConnectionPoolEntry) -> None:
    """FULL, not NORMAL: what was answered as done must survive the power going off. What is deleted is
    overwritten. SQLite's log is written back by `written_back`, not by the commit that happens to fill it."""
    connection.isolation_level = None  # transactions are begun by us, or the driver begins them too late
    for pragma in (
        "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}", "secure_delete=ON",
        "wal_autocheckpoint=0",
    ):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}")


def written_back(engine: Engine) -> None:
    """Write SQLite's log into its file, as far as no reader needs it, so that it begins anew and does not grow."""
    if is_postgresql(engine):
        return  # PostgreSQL does that by itself
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


# --- PostgreSQL


def _postgresql(url: sa.URL) -> Engine:
    options = " ".join(f"-c {name}={value}" for name, value in OPTIONS.items())
    given = {"application_name": "oms", "options": options, **LINE}
    engine = sa.create_engine(url, pool_pre_ping=True, connect_args={**given, **url.query})
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_postgresql(connection: Any, _record: ConnectionPoolEntry) -> None:
    """PostgreSQL keeps no NUL in a text, and nothing of ours has one: whoever looks for it finds nothing."""
    from psycopg.types.string import StrDumperUnknown

    class Dumper(StrDumperUnknown):
        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", "\\0"))

    connection.adapters.register_dumper(str, Dumper)
