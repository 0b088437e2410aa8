"""Sessions: who is logged in since when. Known by the SHA-256 of the SESSID only."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from oms.contract.operation import Permission
from oms.server.store import now
from oms.server.store.tables import sessions, users


class Session(msgspec.Struct, frozen=True):
    """A session as it is kept, with its user's role as it is now. Times are seconds since 1970."""

    digest: str
    user: str
    role: Permission
    created: float
    used: float


def add(tx: Connection, digest: str, user: str, address: str) -> None:
    """Begin a session."""
    moment = now()
    tx.execute(insert(sessions).values(digest=digest, user=user, address=address, created=moment, used=moment))


def find(tx: Connection, digest: str) -> Session | None:
    """The session of that digest with its user's role, or None."""
    row = tx.execute(
        select(sessions, users.c.role)
        .join(users, users.c.name == sessions.c.user)
        .where(sessions.c.digest == digest)
    ).one_or_none()
    return Session(row.digest, row.user, Permission(row.role), row.created, row.used) if row else None


def touch(tx: Connection, digest: str, used: float) -> None:
    """Remember when a session was last used."""
    tx.execute(update(sessions).where(sessions.c.digest == digest).values(used=used))


def touch_all(tx: Connection, digests: Iterable[str], used: float) -> None:
    """The same of several."""
    tx.execute(update(sessions).where(sessions.c.digest.in_(list(digests))).values(used=used))


def end(tx: Connection, digest: str) -> bool:
    """End a session; False where there was none."""
    return tx.execute(delete(sessions).where(sessions.c.digest == digest)).rowcount == 1


def end_expired(tx: Connection, idle: float, absolute: float) -> int:
    """Remove the sessions that nobody can use any more; how many there were."""
    moment = now()
    old = (sessions.c.used < moment - idle) | (sessions.c.created < moment - absolute)
    return tx.execute(delete(sessions).where(old)).rowcount
