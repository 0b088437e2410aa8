"""AuthService: logging in and out."""

import asyncio
import time
from typing import NoReturn

from sqlalchemy import Connection

from oms.contract import auth as api
from oms.contract.auth import DeathError
from oms.contract.errors import AuthError
from oms.server import accounts, passwords
from oms.server.desk import Desk, Table
from oms.server.outside import Found
from oms.server.rules.addresses import neighbourhood
from oms.server.store import Store, users
from oms.server.store.users import User

handlers = Table()
WRONG = "User name or password is not valid."
LOCKED = "Too many wrong tries for this user from this address: wait some minutes, or ask an administrator."


@handlers.handles(api.Authenticate)
async def authenticate(op: api.Authenticate, desk: Desk) -> str:
    """A new session. Whatever is wrong is said in the same words, after the same work and the same wait."""
    house = desk.house
    began = time.monotonic()
    with passwords.place(neighbourhood(desk.address)):
        allowed = house.guesses.begin(op.username, desk.address, began)
        with house.guesses.looking(op.username, desk.address):
            known, right = await _known(op, house.store) if allowed else (None, False)
    try:
        with house.guesses.looking(op.username, desk.address):
            sessid = await _entered(op, desk, known, right=right) if allowed else _refuse(LOCKED)
    except AuthError:
        await asyncio.sleep(max(0, house.guesses.limits.delay_seconds - (time.monotonic() - began)))
        raise
    house.guesses.right(op.username, desk.address)
    return sessid


def _refuse(why: str) -> NoReturn:
    raise AuthError(why)


async def _known(op: api.Authenticate, store: Store) -> tuple[User | None, bool]:
    """The user of that name, and whether OMS itself knows that the password is right."""
    name = op.username.strip()
    user = await store.read(lambda tx: users.by_name(tx, name))
    own = user if user and user.source == "local" else None
    return user, await passwords.matches(own.password if own else None, op.password.reveal())


async def _entered(op: api.Authenticate, desk: Desk, known: User | None, *, right: bool) -> str:
    """A session of the user that OMS itself knows, or that a source lets in. Raises AuthError where none does."""
    house = desk.house
    if known and right:
        return await house.sessions.begin(known.name, desk.address, lambda tx: _refuse_another(tx, known))
    if not house.outside.any or (known and known.source == "local"):
        raise AuthError(WRONG)
    found = await house.outside.find(op.username.strip(), op.password.reveal(), known.source if known else None)
    if found is None:
        raise AuthError(WRONG)
    sessid = await house.sessions.begin(found.name, desk.address, lambda tx: _admit(tx, found))
    await house.sessions.changed(found.name)
    return sessid


def _refuse_another(tx: Connection, user: User) -> None:
    """To look at a password takes a while: one that was changed meanwhile is wrong."""
    if not users.is_still(tx, user):
        raise AuthError(WRONG)


def _admit(tx: Connection, found: Found) -> None:
    """With the role that his source gives him now."""
    if not accounts.admit(tx, found.name, found.source, found.role):
        raise AuthError(WRONG)


@handlers.handles(api.Deauthenticate)
async def deauthenticate(op: api.Deauthenticate, desk: Desk) -> int:
    """End the session."""
    if not await desk.house.sessions.end(desk.sessid):
        raise DeathError("There is no such session: it has ended already, or never was.")
    return 0


@handlers.handles(api.Checksessid)
async def checksessid(op: api.Checksessid, desk: Desk) -> int:
    """The session was checked on the way here."""
    return 0
