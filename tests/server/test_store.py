"""Writes stand or fall by themselves, and those that wait for the disk wait for it together."""

import asyncio
import contextlib
import functools
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, event

from oms.contract.errors import DatabaseConnectionError, DatabaseInsertError, DatabaseSelectError, HostBusy
from oms.server.store import Store, engines, meta, migrations
from oms.server.store.tables import meta as table
from tests.server.postgresql import BOTH, Cluster

DATABASES = BOTH
Write = Callable[[Connection], str]


@pytest.fixture
def url(tmp_path: Path, database: str) -> str:
    return database or f"sqlite:///{tmp_path / 'oms.db'}"


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    made = Store(url)
    made.migrate()
    yield made
    made.close()


def put(key: str, *, then: Exception | None = None) -> Write:
    """A write of one value, which may be regretted."""

    def write(tx: Connection) -> str:
        tx.execute(sa.insert(table).values(key=key, value="x"))
        if then is not None:
            raise then
        return key

    return write


async def at_once(store: Store, *writes: Write) -> list[Any]:
    """How they end, when all of them wait for the disk at the same time."""
    free = threading.Event()
    before = asyncio.create_task(store.write(lambda _tx: free.wait(10)))
    waiting = [asyncio.create_task(store.write(write)) for write in writes]
    await asyncio.sleep(0.05)
    free.set()
    await before
    return await asyncio.gather(*waiting, return_exceptions=True)


async def there(store: Store, *keys: str) -> list[str]:
    """Which of them are in the database."""
    return [key for key in keys if await store.read(lambda tx, key=key: meta.get(tx, key))]  # type: ignore[misc]


def commits(store: Store) -> list[Connection]:
    """Grows with each commit."""
    seen: list[Connection] = []
    event.listen(store._engine, "commit", seen.append)
    return seen


async def test_what_waits_for_the_disk_shares_a_commit(store: Store) -> None:
    seen = commits(store)
    names = [f"n{number}" for number in range(20)]
    assert await at_once(store, *map(put, names)) == names
    assert len(seen) == 2  # that of the write which held them up, and theirs
    assert await there(store, *names) == names


async def test_a_write_that_is_regretted_is_undone_and_the_others_stand(store: Store) -> None:
    bug, busy = KeyError("a bug"), HostBusy("Busy.")
    outcomes = await at_once(store, put("a"), put("b", then=busy), put("c", then=bug), put("d"))
    assert outcomes == ["a", busy, bug, "d"]
    assert await there(store, "a", "b", "c", "d") == ["a", "d"]


async def test_a_write_that_the_database_refuses_fails_by_name_and_the_others_stand(store: Store) -> None:
    outcomes = await at_once(store, put("a"), put("b"), put("a"), put("c"))
    assert [outcomes[0], outcomes[1], outcomes[3]] == ["a", "b", "c"]
    assert isinstance(outcomes[2], DatabaseInsertError)
    assert await there(store, "a", "b", "c") == ["a", "b", "c"]


async def test_a_commit_that_fails_fails_for_all_and_is_not_tried_again(store: Store) -> None:
    """As a database does that went away in the midst of it, and may or may not have done it."""
    tries: list[Connection] = []

    def fail(tx: Connection) -> None:
        tries.append(tx)
        if len(tries) == 2:
            raise sa.exc.OperationalError("COMMIT", None, Exception("gone"), connection_invalidated=True)

    event.listen(store._engine, "commit", fail)
    outcomes = await at_once(store, put("a"), put("b"))
    assert [type(outcome) for outcome in outcomes] == [DatabaseConnectionError] * 2
    assert len(tries) == 2
    assert await there(store, "a", "b") == []


async def test_a_database_that_somebody_keeps_to_himself_is_waited_for_once_by_all_who_wait(store: Store) -> None:
    """Not by each in his turn: sixty callers would hear of it after five minutes."""
    tries: list[Connection] = []

    def refuse(connection: Connection) -> None:
        tries.append(connection)
        if len(tries) > 1:
            raise sa.exc.OperationalError("BEGIN IMMEDIATE", None, Exception("database is locked"))

    event.listen(store._engine, "begin", refuse)
    outcomes = await at_once(store, *map(put, "abcdef"))
    assert [type(outcome) for outcome in outcomes] == [DatabaseConnectionError] * 6
    assert len(tries) == 2  # that of the write which held them up, and theirs
    event.remove(store._engine, "begin", refuse)
    assert await there(store, *"abcdef") == []


async def test_who_goes_away_before_his_turn_has_written_nothing(store: Store) -> None:
    free = threading.Event()
    before = asyncio.create_task(store.write(lambda _tx: free.wait(10)))
    gone, here = (asyncio.create_task(store.write(put(key))) for key in ("gone", "here"))
    await asyncio.sleep(0.05)
    gone.cancel()
    await asyncio.sleep(0)
    free.set()
    assert (await before, await here) == (True, "here")
    assert await there(store, "gone", "here") == ["here"]


async def test_many_writers_and_readers_at_once_see_only_what_is_whole(store: Store) -> None:
    """Each write moves one from the left to the right, and every third is regretted."""
    numbers = itertools.count()

    def sides(tx: Connection) -> tuple[int, int]:
        return int(meta.get(tx, "left") or 0), int(meta.get(tx, "right") or 0)

    def move(tx: Connection) -> None:
        left, right = sides(tx)
        meta.put(tx, "left", str(left - 1))
        if next(numbers) % 3 == 0:
            raise HostBusy("Regretted.")
        meta.put(tx, "right", str(right + 1))

    async def write() -> list[bool]:
        moved = []
        for _ in range(20):
            try:
                await store.write(move)
            except HostBusy:
                moved.append(False)
            else:
                moved.append(True)
        return moved

    async def read() -> list[int]:
        return [sum(await store.read(sides)) for _ in range(20)]

    reading = asyncio.create_task(read())
    moved = await asyncio.gather(*(write() for _ in range(8)))
    assert set(await reading) == {0}
    count = sum(sum(each) for each in moved)
    assert 80 < count < 160
    assert await store.read(sides) == (-count, count)


async def test_what_was_overwritten_is_in_no_file_of_sqlites_any_more(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'oms.db'}")
    store.migrate()
    secret = "a password in an operation" * 400  # more than a page, so that pages are let go of
    await store.write(lambda tx: meta.put(tx, "op", secret))
    await store.write(lambda tx: meta.put(tx, "op", ""))
    assert secret[:26].encode() in b"".join(file.read_bytes() for file in tmp_path.glob("oms.db*"))
    await store.scrub()
    assert secret[:26].encode() not in b"".join(file.read_bytes() for file in tmp_path.glob("oms.db*"))
    store.close()


async def test_sqlites_log_does_not_grow_with_every_commit(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'oms.db'}")
    store.migrate()
    text = "x" * 20_000
    for number in range(300):
        await store.write(functools.partial(meta.put, key=str(number % 7), value=f"{number} {text}"))
    assert (tmp_path / "oms.db-wal").stat().st_size < 300 * len(text) / 2
    assert await store.read(lambda tx: meta.get(tx, "5")) == f"299 {text}"
    store.close()


async def test_writes_of_two_processes_wait_for_each_other(store: Store, url: str) -> None:
    other = Store(url)

    def count(tx: Connection) -> None:
        seen = int(meta.get(tx, "count") or "0")
        time.sleep(0.002)  # long enough that the other one is in its midst as well
        meta.put(tx, "count", str(seen + 1))

    writes = [which.write(count) for which in (store, other) for _ in range(20)]
    await asyncio.gather(*writes)
    assert await store.read(lambda tx: meta.get(tx, "count")) == "40"
    other.close()


def test_an_older_server_is_started_on_the_tables_of_a_newer_one(url: str) -> None:
    """As happens while several are upgraded one by one."""
    store = Store(url)
    store.migrate()
    newer = str(int(migrations.newest()) + 1).zfill(4)
    version = sa.text("UPDATE alembic_version SET version_num = :newer")
    store.transaction(lambda tx: tx.execute(version, {"newer": newer}))
    store.migrate()
    assert store.transaction(migrations.present) == newer
    store.close()


# --- PostgreSQL alone


@pytest.fixture
async def far(cluster: Cluster, template: str) -> AsyncIterator[Store]:
    made = Store(cluster.made(template))
    yield made
    made.close()


async def test_a_commit_whose_answer_was_lost_is_asked_for(far: Store) -> None:
    def lose(tx: Connection) -> None:
        event.remove(far._engine, "commit", lose)
        tx.connection.dbapi_connection.commit()  # type: ignore[union-attr]
        raise sa.exc.OperationalError("COMMIT", None, Exception("gone"), connection_invalidated=True)

    event.listen(far._engine, "commit", lose)
    assert await far.write(put("a")) == "a"
    assert await there(far, "a") == ["a"]


async def test_a_server_that_hangs_in_its_turn_loses_it(
    cluster: Cluster, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engines.OPTIONS, "idle_in_transaction_session_timeout", "300ms")
    url = cluster.made(template)
    hung, other = Store(url), Store(url)
    begun, free = threading.Event(), threading.Event()

    def hang(tx: Connection) -> None:
        meta.put(tx, "a", "x")
        begun.set()
        free.wait(30)

    hanging = asyncio.create_task(hung.write(hang))
    await asyncio.to_thread(begun.wait)
    assert await other.write(put("b")) == "b"
    free.set()
    with pytest.raises(DatabaseConnectionError):
        await hanging
    assert await there(other, "a", "b") == ["b"]
    for store in (hung, other):
        store.close()


async def test_a_database_that_orders_texts_otherwise_is_refused(cluster: Cluster) -> None:
    store = Store(cluster.made(how="ENCODING 'LATIN1'"))
    with pytest.raises(DatabaseConnectionError, match=r"as LATIN1 and .* needs one .* CREATE DATABASE"):
        store.migrate()
    store.close()


async def test_a_database_that_was_away_is_reached_again(far: Store) -> None:
    assert await far.write(put("a")) == "a"
    with contextlib.suppress(DatabaseSelectError, DatabaseConnectionError):
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        await far.read(lambda tx: tx.exec_driver_sql(others).all())
    assert await far.write(put("b")) == "b"
    assert await there(far, "a", "b") == ["a", "b"]
