"""Tokens: what a program has in the place of a session. Known by the SHA-256 of the token only."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, delete, func, insert, select, update

from oms.contract.event.accounts import TokenData, TokenEnded, TokenMade
from oms.contract.operation import Permission
from oms.contract.user import Token
from oms.server.store import events, now
from oms.server.store.moments import moment
from oms.server.store.sessions import Session
from oms.server.store.tables import tokens, users

OUTSIDE_SECONDS = 30 * 86_400
"""How long ago a user from outside may have logged in for the last time, for his tokens to work: whoever was
thrown out there does not come in here for longer."""
_TOUCH = update(tokens).where(tokens.c.digest == bindparam("which")).values(used=bindparam("moment"))


def add(
    tx: Connection, token_id: str, digest: str, *, user: str, label: str, role: Permission, expires: float
) -> None:
    """Keep a token."""
    values = {"user": user.lower(), "label": label, "role": int(role), "created": now(), "expires": expires}
    tx.execute(insert(tokens).values(id=token_id, digest=digest, used=0, **values))
    events.tell(tx, TokenMade, TokenData(token_id, label), user=user.lower())


def find(tx: Connection, digest: str) -> Session | None:
    """What the token of that digest stands for, with no more than its owner's role; None where it does not
    work."""
    return find_all(tx, (digest,)).get(digest)


def find_all(tx: Connection, digests: Iterable[str]) -> dict[str, Session]:
    """The same of several: of those that are tokens which work."""
    rows = tx.execute(_working().where(tokens.c.digest.in_(list(digests))))
    return {
        row.digest: Session(
            row.digest,
            row.user,
            _role(row),
            row.created,
            row.used,
            row.source,
            token=row.id,
            expires=row.expires,
        )
        for row in rows
    }


def count(tx: Connection, user: str) -> int:
    """How many tokens a user has."""
    return tx.execute(select(func.count()).select_from(tokens).where(tokens.c.user == user.lower())).scalar_one()


def of(tx: Connection, user: str) -> list[Token]:
    """A user's tokens, or all for an empty name, the newest first."""
    question = _joined().order_by(tokens.c.created.desc())
    if user:
        question = question.where(tokens.c.user == user.lower())
    return [_shown(row) for row in tx.execute(question)]


def owner(tx: Connection, token_id: str) -> str | None:
    """Whose token that is, or None."""
    return tx.execute(select(tokens.c.user).where(tokens.c.id == token_id)).scalar_one_or_none()


def touch_all(tx: Connection, uses: Mapping[str, float]) -> None:
    """Remember when tokens were last used, by their digests."""
    tx.execute(_TOUCH, [{"which": digest, "moment": used} for digest, used in uses.items()])


def end(tx: Connection, token_id: str) -> None:
    """Take a token back."""
    _end(tx, tokens.c.id == token_id)


def end_expired(tx: Connection) -> int:
    """Remove the tokens whose time is over; how many there were."""
    return _end(tx, tokens.c.expires < now())


def _end(tx: Connection, which: ColumnElement[bool]) -> int:
    ended = tx.execute(delete(tokens).where(which).returning(tokens)).all()
    for row in ended:
        events.tell(tx, TokenEnded, TokenData(row.id, row.label), user=row.user)
    return len(ended)


def _joined() -> Select[Any]:
    owners = select(tokens, users.c.source, users.c.role.label("owners_role"))
    return owners.join(users, users.c.name == tokens.c.user)


def _working() -> Select[Any]:
    moment = now()
    known = (users.c.source == "local") | (users.c.last_login > moment - OUTSIDE_SECONDS)
    return _joined().where(tokens.c.expires > moment, known)


def _role(row: Row[Any]) -> Permission:
    return Permission(min(row.role, row.owners_role))


def _shown(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        user=row.user,
        label=row.label,
        role=_role(row).name.lower(),  # type: ignore[arg-type]
        created=moment(row.created),
        expires=moment(row.expires),
        last_used=moment(row.used),
    )
