"""AuthService: logging in and out."""

import asyncio
import time

from oms.contract import auth as api
from oms.contract.auth import DeathError
from oms.contract.errors import AuthError
from oms.server import accounts, passwords
from oms.server.desk import Desk, Table
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
    name = known.name if known and right else ""
    if allowed and not name and house.outside.any and (known is None or known.source != "local"):
        with house.guesses.looking(op.username, desk.address):
            name = await _from_outside(op, desk, known)
    if not name:
        await asyncio.sleep(max(0, house.guesses.limits.delay_seconds - (time.monotonic() - began)))
        raise AuthError(WRONG if allowed else LOCKED)
    house.guesses.right(op.username, desk.address)
    return await house.sessions.begin(name, desk.address)


async def _known(op: api.Authenticate, store: Store) -> tuple[User | None, bool]:
    """The user of that name, and whether OMS itself knows that the password is right."""
    name = op.username.strip()
    user = await store.read(lambda tx: users.by_name(tx, name))
    own = user if user and user.source == "local" else None
    return user, await passwords.matches(own.password if own else None, op.password.reveal())


async def _from_outside(op: api.Authenticate, desk: Desk, known: User | None) -> str:
    """The name of a user whom another source lets in, with the role that it gives him now; empty where none
    does."""
    house = desk.house
    found = await house.outside.find(op.username.strip(), op.password.reveal(), known.source if known else None)
    if found is None or not await house.store.write(
        lambda tx: accounts.admit(tx, found.name, found.source, found.role)
    ):
        return ""
    await house.sessions.changed(found.name)
    return found.name


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
