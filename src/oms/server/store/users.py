"""Users: a name, a role, a password's hash. Names are compared without regard to case."""

from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    ScalarSelect,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from oms.contract.event.accounts import (
    AccountChange,
    AccountRole,
    SessionData,
    SessionEnded,
    UserAdded,
    UserChanged,
    UserRemoved,
)
from oms.contract.event.shape import NoData
from oms.contract.operation import Permission
from oms.contract.user import Source
from oms.server.store import events, now
from oms.server.store.tables import sessions, tokens, users

SHOWN_DIGITS = 16
"""Of a digest, which are a session's id for people: no SESSID can be had from them."""


class User(msgspec.Struct, frozen=True):
    """A user; `password` is the argon2id hash, empty where `source` is not `local`. Times are seconds since
    1970."""

    name: str
    role: Permission
    password: str
    source: Source = "local"
    must_change: bool = False
    created: float = 0
    last_login: float = 0


class Counted(msgspec.Struct, frozen=True):
    """A user, and how many sessions and tokens he has."""

    user: User
    sessions: int
    tokens: int


def by_name(tx: Connection, name: str) -> User | None:
    """The user of that name, or None."""
    row = tx.execute(select(users).where(users.c.name == name.lower())).one_or_none()
    return _user(row._mapping) if row else None


def is_still(tx: Connection, user: User) -> bool:
    """Whether he is there yet, and has the password that he had when he was looked up."""
    now = by_name(tx, user.name)
    return now is not None and (now.source, now.password) == (user.source, user.password)


def every(tx: Connection) -> list[Counted]:
    """All users by name."""
    begun, made = _count(sessions), _count(tokens)
    rows = tx.execute(select(users, begun.label("sessions"), made.label("tokens")).order_by(users.c.name))
    return [Counted(_user(row._mapping), row.sessions, row.tokens) for row in rows]


def anybody(tx: Connection) -> bool:
    """Whether there is a user at all."""
    return tx.execute(select(users.c.name).limit(1)).first() is not None


def administrators(tx: Connection) -> list[str]:
    """The administrators whose passwords OMS itself knows."""
    own = (users.c.role == int(Permission.ADMIN)) & (users.c.source == "local")
    return list(tx.execute(select(users.c.name).where(own).order_by(users.c.name)).scalars())


def add(
    tx: Connection,
    name: str,
    role: Permission,
    password: str,
    *,
    source: Source = "local",
    must_change: bool = False,
) -> None:
    """Add a user; `password` is a hash."""
    values = {"role": int(role), "password": password, "source": source, "must_change": int(must_change)}
    tx.execute(insert(users).values(name=name.lower(), created=now(), **values))
    word: Any = role.name.lower()
    events.tell(tx, UserAdded, AccountRole(word), user=name.lower())


def remove(tx: Connection, name: str) -> None:
    """Remove a user with his sessions and tokens."""
    end_sessions(tx, sessions.c.user == name.lower())
    tx.execute(delete(tokens).where(tokens.c.user == name.lower()))
    tx.execute(delete(users).where(users.c.name == name.lower()))
    events.tell(tx, UserRemoved, NoData(), user=name.lower())


def set_role(tx: Connection, name: str, role: Permission) -> None:
    """Give a user another role."""
    tx.execute(update(users).where(users.c.name == name.lower()).values(role=int(role)))
    events.tell(tx, UserChanged, AccountChange(["role"]), user=name.lower())


def set_password(tx: Connection, name: str, password: str, *, must_change: bool = False, keep: str = "") -> None:
    """Give a user a new password's hash, and end his sessions but the one whose digest is to be kept."""
    values = {"password": password, "must_change": int(must_change)}
    tx.execute(update(users).where(users.c.name == name.lower()).values(**values))
    end_sessions(tx, (sessions.c.user == name.lower()) & (sessions.c.digest != keep))
    events.tell(tx, UserChanged, AccountChange(["password"]), user=name.lower())


def end_sessions(tx: Connection, which: ColumnElement[bool]) -> int:
    """End those sessions; how many there were."""
    ended = tx.execute(delete(sessions).where(which).returning(sessions)).all()
    for row in ended:
        events.tell(tx, SessionEnded, SessionData(row.digest[:SHOWN_DIGITS], row.address), user=row.user)
    return len(ended)


def logged_in(tx: Connection, name: str) -> None:
    """Remember that a user logged in now."""
    tx.execute(update(users).where(users.c.name == name.lower()).values(last_login=now()))


def _count(table: Table) -> ScalarSelect[int]:
    return select(func.count()).select_from(table).where(table.c.user == users.c.name).scalar_subquery()


def _user(row: RowMapping) -> User:
    fields: dict[str, Any] = {name: row[name] for name in User.__struct_fields__}
    return User(**{**fields, "role": Permission(fields["role"]), "must_change": bool(fields["must_change"])})
