"""AuthService: logging in and out."""

import asyncio
import time

from oms.contract import auth as api
from oms.contract.auth import DeathError
from oms.contract.errors import AuthError
from oms.server import passwords
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
        user = await _known(op, house.store) if allowed else None
    if user is None:
        await asyncio.sleep(max(0, house.guesses.limits.delay_seconds - (time.monotonic() - began)))
        raise AuthError(WRONG if allowed else LOCKED)
    house.guesses.right(op.username, desk.address)
    return await house.sessions.begin(user.name, desk.address)


async def _known(op: api.Authenticate, store: Store) -> User | None:
    """The user, if name and password are right."""
    name = op.username.strip()
    user = await store.read(lambda tx: users.by_name(tx, name))
    right = await passwords.matches(user.password if user else None, op.password.reveal())
    return user if right else None


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
