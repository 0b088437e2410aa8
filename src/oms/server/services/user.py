"""userservices: accounts, who is logged in, and tokens."""

import asyncio
import secrets
import time
from collections.abc import Callable

from sqlalchemy import Connection

from oms.contract import user as api
from oms.contract.auth import NoSession
from oms.contract.errors import AuthError
from oms.contract.operation import Permission
from oms.contract.user import (
    LoginSession,
    NewToken,
    NoSuchSession,
    NoSuchToken,
    OutsideUser,
    Token,
    TooManyTokens,
    Whoever,
)
from oms.server import accounts, passwords
from oms.server.desk import Desk, Table
from oms.server.rules.addresses import neighbourhood
from oms.server.rules.tokens import invented
from oms.server.services.auth import LOCKED
from oms.server.sessions import NOT_VALID, digest
from oms.server.store import now, sessions, tokens, users
from oms.server.store.moments import moment
from oms.server.store.sessions import Session
from oms.server.store.users import Counted, User

handlers = Table()
WRONG = "The old password is not right. Nothing was changed."
MOST_TOKENS = 100
"""Of one account."""
DAY_SECONDS = 86_400


@handlers.handles(api.Whoami)
async def whoami(op: api.Whoami, desk: Desk) -> Whoever:
    """What is known of the session."""
    session = _session(desk)
    return Whoever(
        name=session.user,
        role=word(session.role),
        source=session.source,
        must_change_password=session.must_change,
        token=session.token,
    )


@handlers.handles(api.ListUsers)
async def list_users(op: api.ListUsers, desk: Desk) -> list[api.User]:
    """All of them."""
    return [_shown(counted) for counted in await desk.house.store.read(users.every)]


@handlers.handles(api.AddUser)
async def add_user(op: api.AddUser, desk: Desk) -> int:
    """Add an account, whose password two people know."""
    hashed = await passwords.chosen(op.new_password.reveal(), op.user_name)
    role = level(op.role)
    await _write(desk, lambda tx: accounts.add(tx, op.user_name, role, hashed, must_change=True))
    return 0


@handlers.handles(api.DeleteUser)
async def delete_user(op: api.DeleteUser, desk: Desk) -> int:
    """Remove an account, and end what it has open."""
    await _write(desk, lambda tx: accounts.remove(tx, op.user_name))
    await desk.house.sessions.changed(op.user_name)
    return 0


@handlers.handles(api.ChangePassword)
async def change_password(op: api.ChangePassword, desk: Desk) -> int:
    """Only for who knows the old one: a session that was left open is not enough."""
    session = _session(desk)
    if session.token:
        raise AuthError("A token changes no password: log in with the old one.")
    if session.source != "local":
        raise OutsideUser(f"Your password comes from {session.source}: change it there.", user=session.user)
    user = await _known(op.old_password.reveal(), desk)
    hashed = await passwords.chosen(op.new_password.reveal(), session.user, op.old_password.reveal())

    def change(tx: Connection) -> None:
        if not users.is_still(tx, user):
            raise AuthError(WRONG)
        users.set_password(tx, session.user, hashed, keep=session.digest)

    await _write(desk, change)
    await desk.house.sessions.changed(session.user)
    return 0


async def _known(password: str, desk: Desk) -> User:
    """The user, whose password is that. Guesses are counted, apart from those at logins, and answered late."""
    house, began, who = desk.house, time.monotonic(), f"{desk.user} changes"
    with passwords.place(neighbourhood(desk.address)):
        allowed = house.guesses.begin(who, desk.address, began)
        with house.guesses.looking(who, desk.address):
            user = await house.store.read(lambda tx: users.by_name(tx, desk.user)) if allowed else None
            right = user is not None and await passwords.matches(user.password, password)
    if user is None or not right:
        await asyncio.sleep(max(0, house.guesses.limits.delay_seconds - (time.monotonic() - began)))
        raise AuthError(WRONG if allowed else LOCKED)
    house.guesses.right(who, desk.address)
    return user


@handlers.handles(api.ResetPassword)
async def reset_password(op: api.ResetPassword, desk: Desk) -> int:
    """Give an account another password, which two people know."""
    hashed = await passwords.chosen(op.new_password.reveal(), op.user_name)
    await _write(desk, lambda tx: accounts.reset_password(tx, op.user_name, hashed, must_change=True))
    await desk.house.sessions.changed(op.user_name)
    return 0


@handlers.handles(api.SetRole)
async def set_role(op: api.SetRole, desk: Desk) -> int:
    """Give an account another role, and end what a lower one may not have open."""
    role = level(op.role)
    await _write(desk, lambda tx: accounts.set_role(tx, op.user_name, role))
    await desk.house.sessions.changed(op.user_name)
    return 0


@handlers.handles(api.ListSessions)
async def list_sessions(op: api.ListSessions, desk: Desk) -> list[LoginSession]:
    """One's own, or those that an administrator asks for."""
    whose, current = _whose(op.user_name, desk), _session(desk).digest
    return await desk.house.store.read(lambda tx: sessions.of(tx, whose, current))


@handlers.handles(api.EndSessions)
async def end_sessions(op: api.EndSessions, desk: Desk) -> int:
    """End a user's, or one of them."""
    if _session(desk).token and desk.role < Permission.ADMIN:
        raise AuthError("This token ends no sessions: log in, or take a token of an administrator's.")
    whose = _whose(op.user_name, desk)

    def end(tx: Connection) -> int:
        accounts.existing(tx, whose)
        ended = sessions.end_of(tx, whose, op.session_id)
        if op.session_id and not ended:
            raise NoSuchSession(f"{whose} has no session {op.session_id}: list_sessions lists them.", user=whose)
        return ended

    ended = await desk.house.store.write(end)
    await desk.house.sessions.changed(whose)
    return ended


@handlers.handles(api.CreateToken)
async def create_token(op: api.CreateToken, desk: Desk) -> NewToken:
    """Make one; it is in no record but as its digest."""
    session = _session(desk)
    if session.token:
        raise AuthError("A token makes no token: log in for that.")
    whose, role = _whose(op.user_name or desk.user, desk), level(op.role)
    token, token_id, expires = invented(), secrets.token_hex(8), now() + op.days * DAY_SECONDS

    def keep(tx: Connection) -> None:
        owner = accounts.existing(tx, whose)
        if role > owner.role:
            raise AuthError(f"{owner.name} is {word(owner.role)}: his tokens can be no {op.role}.")
        if tokens.count(tx, whose) >= MOST_TOKENS:
            raise TooManyTokens(f"{owner.name} has {MOST_TOKENS} tokens: revoke some first.", user=owner.name)
        tokens.add(tx, token_id, digest(token), user=whose, label=op.label, role=role, expires=expires)

    await _write(desk, keep)
    return NewToken(token_id, token, moment(expires))


@handlers.handles(api.ListTokens)
async def list_tokens(op: api.ListTokens, desk: Desk) -> list[Token]:
    """One's own, or those that an administrator asks for."""
    whose = _whose(op.user_name, desk)
    return await desk.house.store.read(lambda tx: tokens.of(tx, whose))


@handlers.handles(api.RevokeToken)
async def revoke_token(op: api.RevokeToken, desk: Desk) -> int:
    """Take one back. Of others' tokens nobody but an administrator learns even that they are there."""
    mine = _session(desk).token
    if mine not in ("", op.token_id) and desk.role < Permission.ADMIN:
        raise AuthError(
            "This token revokes none but itself: log in for that, or take a token of an administrator's."
        )

    def revoke(tx: Connection) -> str:
        owner = tokens.owner(tx, op.token_id)
        if owner is None or (owner != desk.user and desk.role < Permission.ADMIN):
            raise NoSuchToken(f"There is no token {op.token_id}: list_tokens lists them.", token=op.token_id)
        tokens.end(tx, op.token_id)
        return owner

    await desk.house.sessions.changed(await desk.house.store.write(revoke))
    return 0


def level(role: api.Role) -> Permission:
    """The role of that name."""
    return Permission[role.upper()]


def word(role: Permission) -> api.Role:
    """The name of a role."""
    names: dict[Permission, api.Role] = {
        Permission.VIEWER: "viewer",
        Permission.OPERATOR: "operator",
        Permission.ADMIN: "admin",
    }
    return names[role]


async def _write(desk: Desk, change: Callable[[Connection], None]) -> None:
    """Change accounts, if the caller may yet: whoever was thrown out while a password was looked at leaves nothing
    behind. Raises AuthError."""
    session = _session(desk)

    def write(tx: Connection) -> None:
        now = sessions.find(tx, session.digest) or tokens.find(tx, session.digest)
        if now is None or now.role < session.role:
            raise NoSession(NOT_VALID)
        change(tx)

    await desk.house.store.write(write)


def _session(desk: Desk) -> Session:
    assert desk.known is not None
    return desk.known


def _whose(name: str, desk: Desk) -> str:
    """Whose things are meant, empty for everybody's. Raises AuthError where they are not the caller's to see."""
    if desk.role >= Permission.ADMIN:
        return name.lower()
    if name.lower() not in ("", desk.user):
        raise AuthError(f"That is {name}'s: only an administrator sees and changes what is not his own.")
    return desk.user


def _shown(counted: Counted) -> api.User:
    user = counted.user
    return api.User(
        name=user.name,
        role=word(user.role),
        source=user.source,
        must_change_password=user.must_change,
        created=moment(user.created),
        last_login=moment(user.last_login),
        sessions=counted.sessions,
        tokens=counted.tokens,
    )
