"""All that is in one database put into another: in one transaction there, so that it is whole or not at all, while
nobody may write here."""

import fcntl
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy import Connection, Table, func, insert, select

from oms.server.store import Store, audit, brought_up, engines, meta, servers
from oms.server.store.tables import meta as values
from oms.server.store.tables import metadata

AT_ONCE = 1000
MOVED = "moved_to"
"""Where what was here is now: nobody may serve from here any more."""
Tell = Callable[[str, int], None]
"""(table, rows)."""


class NotMoved(Exception):
    """Why it was not done; the database that it was to be brought to is as it was before."""


def move(old: Store, new: Store, place: str, tell: Tell = lambda _table, _rows: None) -> None:
    """Put all of `old` into `new`, whose name for people is `place`, and leave a note of that in `old`.

    Broken off at any moment, nothing of it is in `new`, and it can be begun again. Raises NotMoved, and the
    document's Database...Errors. Blocks.
    """

    def leave(here: Connection) -> None:
        engines.patient(here)
        _refuse_used(here)
        here.execute(
            values.delete().where(values.c.key == MOVED)
        )  # it may have been moved before, and that be lost
        new.transaction(lambda there: _copy(here, there, tell))
        meta.put(here, MOVED, place)

    try:
        let_go = old.held(fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise NotMoved("A server works on this database: stop it first.") from None
    try:
        old.transaction(brought_up)
        old.transaction(leave)
    finally:
        let_go()


def _refuse_used(here: Connection) -> None:
    if engines.is_postgresql(here) and (there := servers.alive(here)):
        names = ", ".join(server.name for server in there)
        raise NotMoved(
            f"A server works on this database: {names}. Stop it first; one that was killed counts as dead after "
            f"{servers.LEASE_SECONDS:g} seconds."
        )


def _copy(here: Connection, there: Connection, tell: Tell) -> None:
    if sa.inspect(there).get_table_names():
        raise NotMoved("The database that all is to be brought to is not empty: give one that has nothing in it.")
    brought_up(there)
    for table in reversed(metadata.sorted_tables):
        there.execute(table.delete())  # what the making of the tables put there
    for table in metadata.sorted_tables:
        tell(table.name, _copy_table(here, there, table))
    _check(here, there)


def _copy_table(here: Connection, there: Connection, table: Table) -> int:
    rows = 0
    question = select(table).order_by(*table.primary_key).execution_options(yield_per=AT_ONCE)
    for part in here.execute(question).mappings().partitions():
        there.execute(insert(table), [dict(row) for row in part])
        rows += len(part)
    return rows


def _check(here: Connection, there: Connection) -> None:
    """Raises NotMoved."""
    for table in metadata.sorted_tables:
        count = select(func.count()).select_from(table)
        before, after = here.execute(count).scalar_one(), there.execute(count).scalar_one()
        if before != after:
            raise NotMoved(f"Of {before} rows of {table.name} {after} arrived: nothing was kept.")
    verdict, was = audit.verify(there), audit.verify(here)
    if verdict != was:
        raise NotMoved(f"The audit log is not the same there ({verdict}; here: {was}): nothing was kept.")
