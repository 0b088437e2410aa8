"""Sessions: who is logged in since when. Known by the SHA-256 of the SESSID only."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, insert, select, update

from oms.contract.event.accounts import SessionBegun, SessionData
from oms.contract.operation import Permission
from oms.contract.user import LoginSession, Source
from oms.server.store import events, now, users
from oms.server.store.moments import moment
from oms.server.store.tables import sessions
from oms.server.store.tables import users as accounts


class Session(msgspec.Struct, frozen=True):
    """A session, or a token's use, with its user's role as it is now. Times are seconds since 1970.

    `token` is the id of the token, empty for a session; `expires` is when that ends, 0 for a session.
    """

    digest: str
    user: str
    role: Permission
    created: float
    used: float
    source: Source = "local"
    must_change: bool = False
    token: str = ""
    expires: float = 0


# Put together once: who calls is asked for at almost every call.
_KNOWN = select(sessions, accounts.c.role, accounts.c.source, accounts.c.must_change).join(
    accounts, accounts.c.name == sessions.c.user
)
_FIND = _KNOWN.where(sessions.c.digest == bindparam("which"))
_FIND_ALL = _KNOWN.where(sessions.c.digest.in_(bindparam("which", expanding=True)))
# Another server may know of a later use.
_TOUCH = (
    update(sessions)
    .where(sessions.c.digest == bindparam("which"), sessions.c.used < bindparam("moment"))
    .values(used=bindparam("moment"))
)


def add(tx: Connection, digest: str, user: str, address: str) -> None:
    """Begin a session."""
    moment = now()
    tx.execute(insert(sessions).values(digest=digest, user=user, address=address, created=moment, used=moment))
    users.logged_in(tx, user)
    shown = SessionData(digest[: users.SHOWN_DIGITS], address)
    events.tell(tx, SessionBegun, shown, user=user.lower())


def find(tx: Connection, digest: str) -> Session | None:
    """The session of that digest with its user's role, or None."""
    row = tx.execute(_FIND, {"which": digest}).one_or_none()
    return _session(row) if row else None


def find_all(tx: Connection, digests: Iterable[str]) -> dict[str, Session]:
    """Those of these digests that are sessions."""
    return {row.digest: _session(row) for row in tx.execute(_FIND_ALL, {"which": list(digests)})}


def _session(row: Row[Any]) -> Session:
    return Session(
        row.digest,
        row.user,
        Permission(row.role),
        row.created,
        row.used,
        row.source,
        must_change=bool(row.must_change),
    )


def of(tx: Connection, user: str, current: str) -> list[LoginSession]:
    """A user's sessions, or all for an empty name, the last used first; `current` is the digest of the asker's."""
    question = select(sessions).order_by(sessions.c.used.desc())
    if user:
        question = question.where(sessions.c.user == user.lower())
    return [
        LoginSession(
            id=row.digest[: users.SHOWN_DIGITS],
            user=row.user,
            address=row.address,
            created=moment(row.created),
            last_used=moment(row.used),
            current=row.digest == current,
        )
        for row in tx.execute(question)
    ]


def touch_all(tx: Connection, uses: Mapping[str, float]) -> None:
    """Remember when sessions were last used, by their digests."""
    tx.execute(_TOUCH, [{"which": digest, "moment": used} for digest, used in uses.items()])


def end(tx: Connection, digest: str) -> bool:
    """End a session; False where there was none."""
    return users.end_sessions(tx, sessions.c.digest == digest) == 1


def end_of(tx: Connection, user: str, shown: str = "") -> int:
    """End a user's sessions, or the one of that id; how many there were."""
    which = sessions.c.user == user.lower()
    if shown:
        which &= sessions.c.digest.startswith(shown, autoescape=True)
    return users.end_sessions(tx, which)


def end_expired(tx: Connection, idle: float, absolute: float) -> int:
    """Remove the sessions that nobody can use any more; how many there were."""
    moment = now()
    old = (sessions.c.used < moment - idle) | (sessions.c.created < moment - absolute)
    return users.end_sessions(tx, old)
