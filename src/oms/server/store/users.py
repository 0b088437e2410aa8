"""Users: a name, a role, a password's hash. Names are compared without regard to case."""

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from oms.contract.operation import Permission
from oms.server.store import now
from oms.server.store.tables import sessions, users


class User(msgspec.Struct, frozen=True):
    """A user; `password` is the argon2id hash."""

    name: str
    role: Permission
    password: str


def by_name(tx: Connection, name: str) -> User | None:
    """The user of that name, or None."""
    row = tx.execute(select(users).where(users.c.name == name.lower())).one_or_none()
    return User(row.name, Permission(row.role), row.password) if row else None


def anybody(tx: Connection) -> bool:
    """Whether there is a user at all."""
    return tx.execute(select(users.c.name).limit(1)).first() is not None


def add(tx: Connection, name: str, role: Permission, password: str) -> None:
    """Add a user; `password` is a hash."""
    tx.execute(insert(users).values(name=name.lower(), role=int(role), password=password, created=now()))


def set_password(tx: Connection, name: str, password: str) -> bool:
    """Give a user a new password's hash and end the user's sessions; False where there is no such user."""
    changed = tx.execute(update(users).where(users.c.name == name.lower()).values(password=password))
    tx.execute(delete(sessions).where(sessions.c.user == name.lower()))
    return changed.rowcount == 1
