"""The journal: every change is written down here before it acts, and how it ended before anybody is told.

It is what makes a command run at most once, and what a restarted agent goes by. SQLite with a sync for every
commit, in a thread of its own, so that a slow disk never holds up the event loop. Operations may hold secrets:
only root can read the file, and when a job has ended its operation and records are overwritten.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from oms.contract.errors import WireError
from oms.contract.internal import JobState
from oms.durable import own_directory, sync_directory

T = TypeVar("T")
VERSION = 1
UNFINISHED = ("queued", "running")
KEPT_SECONDS = 7 * 86_400
KEPT_AT_MOST = 4000
"""Ended jobs; so many more may stand there while their deadlines have not passed."""

_TABLES = """
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    verb TEXT NOT NULL,
    op TEXT NOT NULL,
    lane TEXT NOT NULL,
    server TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    deadline REAL NOT NULL,
    state TEXT NOT NULL,
    progress INTEGER NOT NULL DEFAULT 0,
    result TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    notes TEXT NOT NULL DEFAULT '{}',
    runs INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL,
    started REAL NOT NULL DEFAULT 0,
    finished REAL NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX open_jobs ON jobs (seq) WHERE finished = 0;
CREATE TABLE records (
    job INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (job, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE failures (count INTEGER NOT NULL) STRICT;
INSERT INTO failures VALUES (0);
"""


class JournalError(Exception):
    """The journal cannot be read or written; the text says which file and why."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is written down. Times are seconds since 1970: `deadline` by the server's clock, the others by
    this host's. `lane` is what it changes; jobs of one lane run one after the other."""

    id: str
    verb: str
    lane: str
    server: str = ""
    epoch: int = 0
    deadline: float = 0
    op: str = ""
    """JSON; empty once the job has ended."""
    state: str = "queued"
    progress: int = 0
    result: str = ""
    error: WireError | None = None
    notes: dict[str, str] = {}
    runs: int = 0
    """How often it was begun."""
    created: float = 0
    started: float = 0
    finished: float = 0

    def told(self) -> JobState:
        """The part of it that the server is told."""
        return JobState(
            self.id,
            self.state,
            self.progress,
            self.result,
            self.error,
            self.notes,
            self.started,
            self.finished,
        )


_COLUMNS = Entry.__struct_fields__
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM jobs "  # noqa: S608 - our own names
_INSERT = f"INSERT INTO jobs ({', '.join(_COLUMNS)}) VALUES (:{', :'.join(_COLUMNS)})"  # noqa: S608
_END = """UPDATE jobs SET state = :state, progress = :progress, result = :result, error = :error, notes = :notes,
    finished = :finished, op = '' WHERE id = :id"""
_FORGET = "DELETE FROM records WHERE job = (SELECT seq FROM jobs WHERE id = :id)"
_RECORD = """INSERT INTO records VALUES ((SELECT seq FROM jobs WHERE id = :id), :key, :value)
    ON CONFLICT DO UPDATE SET value = excluded.value"""
_PRUNE = """DELETE FROM jobs WHERE finished > 0 AND deadline < :now AND (finished < :before
    OR seq <= (SELECT seq FROM jobs ORDER BY seq DESC LIMIT 1 OFFSET :keep)) RETURNING id"""


class Journal:
    """The open journal. Every method but `open` raises JournalError, and then nothing was written."""

    def __init__(self, path: Path, database: sqlite3.Connection, thread: Executor) -> None:
        self.path = path
        self._ids: set[str] = set()
        self._database = database
        self._thread = thread

    @classmethod
    async def open(cls, path: Path) -> "Journal":
        """Open or make it; its directory becomes readable to root alone. Raises JournalError."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        try:
            database = await asyncio.get_running_loop().run_in_executor(thread, _open, path)
            journal = cls(path, database, thread)
            journal._ids = await journal._do(lambda: {row[0] for row in database.execute("SELECT id FROM jobs")})
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return journal

    @classmethod
    def in_memory(cls) -> "Journal":
        """One that is gone with the process, for hosts that are simulated: it keeps no promise beyond that."""
        path = Path(":memory:")
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        _prepare(database, path)
        return cls(path, database, _AtOnce())

    @property
    def size(self) -> int:
        """Entries that it holds."""
        return len(self._ids)

    def holds(self, job: str) -> bool:
        """Whether a job is written down: nobody else writes here, so the disk need not be asked."""
        return job in self._ids

    async def add(self, entry: Entry) -> None:
        """Write a job down."""
        row = _row(entry)

        def write() -> None:
            try:
                self._database.execute(_INSERT, row)
            except sqlite3.Error:
                self._overwrite()
                raise

        await self._do(write)
        self._ids.add(entry.id)

    def _overwrite(self) -> None:
        """Undo on the disk what was written but could not be synced: a crash would bring it back, and a job that
        was refused would run. Neither way needs a sync to do that: the first writes something else in its place,
        the second cuts off a file that holds nothing else."""
        for sql in ("UPDATE failures SET count = count + 1", "PRAGMA wal_checkpoint(TRUNCATE)"):
            with contextlib.suppress(sqlite3.Error):
                self._database.execute(sql).fetchall()

    async def begin(self, job: str, started: float) -> int:
        """From here on the job may have acted; answers how often it was begun, this time included."""
        sql = "UPDATE jobs SET state = 'running', started = ?, runs = runs + 1 WHERE id = ? RETURNING runs"
        return await self._do(lambda: _one(self._database, sql, (started, job)))

    async def record(self, job: str, key: str, value: str, notes: dict[str, str]) -> None:
        """Keep JSON under a key for a later run of the same job, and its notes so far."""
        values = {"id": job, "key": key, "value": value, "notes": _json(notes)}

        def write() -> None:
            with _transaction(self._database):
                self._database.execute(_RECORD, values)
                self._database.execute("UPDATE jobs SET notes = :notes WHERE id = :id", values)

        await self._do(write)

    async def end(self, entry: Entry) -> None:
        """Keep how a job ended, and forget what it was made of: its operation and its records."""
        row = _row(entry)

        def write() -> None:
            with _transaction(self._database):
                self._database.execute(_END, row)
                self._database.execute(_FORGET, row)

        await self._do(write)

    async def scrub(self) -> None:
        """Take what was overwritten out of the file beside the database as well."""
        await self._do(lambda: _one(self._database, "PRAGMA wal_checkpoint(TRUNCATE)"))

    async def find(self, jobs: Iterable[str]) -> dict[str, Entry]:
        """Those of the jobs that are written down, by id."""
        wanted = list(jobs)

        def read() -> dict[str, Entry]:
            found = (self._database.execute(_SELECT + "WHERE id = ?", (job,)).fetchone() for job in wanted)
            return {entry.id: entry for entry in map(_entry, filter(None, found))}

        return await self._do(read)

    async def unfinished(self) -> list[tuple[Entry, dict[str, Any]]]:
        """The jobs that have not ended, oldest first, with what they recorded."""

        def read() -> list[tuple[Entry, dict[str, Any]]]:
            rows = self._database.execute(_SELECT + "WHERE finished = 0 ORDER BY seq").fetchall()
            return [(entry, self._records(entry.id)) for entry in map(_entry, rows)]

        return await self._do(read)

    def _records(self, job: str) -> dict[str, Any]:
        sql = "SELECT key, value FROM records WHERE job = (SELECT seq FROM jobs WHERE id = ?)"
        return {key: msgspec.json.decode(value) for key, value in self._database.execute(sql, (job,))}

    async def newest(self, count: int) -> list[Entry]:
        """The jobs written down last, newest first."""
        sql = _SELECT + "ORDER BY seq DESC LIMIT ?"
        return await self._do(lambda: [_entry(row) for row in self._database.execute(sql, (count,))])

    async def prune(self, server_now: float) -> None:
        """Forget ended jobs that are old or too many. One whose deadline has not passed stays: its command could
        come once more."""
        values = {"now": server_now, "before": time.time() - KEPT_SECONDS, "keep": KEPT_AT_MOST}
        gone = await self._do(lambda: self._database.execute(_PRUNE, values).fetchall())
        self._ids.difference_update(row[0] for row in gone)

    async def close(self) -> None:
        """Close it; what was written before is on the disk."""
        await self._do(self._database.close)
        self._thread.shutdown()

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: {error}") from error


class _AtOnce(Executor):
    """Where nothing waits for a disk, nothing needs a thread."""

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        done: Future[T] = Future()
        try:
            done.set_result(work(*args, **kwargs))
        except sqlite3.Error as error:
            done.set_exception(error)
        return done


class _transaction:  # noqa: N801 - reads as a statement
    """All of it or nothing, on a connection that commits each statement by itself otherwise."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        if kind is None:
            try:
                self._database.execute("COMMIT")
                return
            except sqlite3.Error:
                self._roll_back()
                raise
        self._roll_back()

    def _roll_back(self) -> None:
        if self._database.in_transaction:  # a full disk has rolled back already
            self._database.execute("ROLLBACK")


def _open(path: Path) -> sqlite3.Connection:
    try:
        own_directory(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            _prepare(database, path)
        except BaseException:
            database.close()
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}") from error
    except sqlite3.DatabaseError as error:
        raise JournalError(
            f"{path}: {error}. Where it is damaged, move it away: how the jobs in it ended will not be known."
        ) from error
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
        database.execute(f"PRAGMA {pragma}")
    version = _one(database, "PRAGMA user_version")
    if version > VERSION:
        raise JournalError(f"{path} was written by a newer agent (version {version}, this one knows {VERSION}).")
    if version == 0:
        database.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _one(database: sqlite3.Connection, sql: str, values: tuple[object, ...] = ()) -> int:
    row = database.execute(sql, values).fetchall()
    return int(row[0][0])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _row(entry: Entry) -> dict[str, Any]:
    row = msgspec.structs.asdict(entry)
    row["error"] = _json(entry.error) if entry.error else ""
    row["notes"] = _json(entry.notes)
    return row


def _entry(row: tuple[Any, ...]) -> Entry:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["error"] = msgspec.json.decode(values["error"], type=WireError) if values["error"] else None
    values["notes"] = msgspec.json.decode(values["notes"])
    return Entry(**values)
