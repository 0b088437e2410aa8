"""Who is calling: sessions by SESSID, kept in the database, remembered here for a second.

The memory is what makes a session check cheap; a second is how long a user who was removed elsewhere, or whose
role was changed, keeps what he had.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec
import structlog
from sqlalchemy import Connection

from oms.contract.errors import AuthError, OmsError
from oms.server.rules.sessions import SESSID, Lifetime, alive
from oms.server.store import Store, now, sessions
from oms.server.store.sessions import Session

log = structlog.get_logger("oms.sessions")
BELIEVE_SECONDS = 1.0
SAVE_USE_SECONDS = 30.0
MOST_REMEMBERED = 20_000
NOT_VALID = "The session is not valid or has ended: log in with authservices.authenticate."


class _Known(msgspec.Struct):
    session: Session
    checked: float  # monotonic: when the database last said so
    used: float  # monotonic
    created: float  # monotonic, as far as this process can tell
    saved: float  # monotonic: when `used` was last written down


class Sessions:
    """The door for everything that needs to know who calls."""

    def __init__(self, store: Store, lifetime: Lifetime) -> None:
        self._store = store
        self._lifetime = lifetime
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def begin(self, user: str, address: str) -> str:
        """A new session's SESSID: 160 random bits, of which only the SHA-256 is kept."""
        sessid = secrets.token_hex(20).upper()
        await self._store.write(lambda tx: sessions.add(tx, digest(sessid), user, address))
        return sessid

    async def check(self, sessid: object) -> Session:
        """The session of a SESSID. Raises AuthError, in the same words whatever is wrong with it."""
        if not isinstance(sessid, str) or not SESSID.match(sessid):
            raise AuthError(NOT_VALID)
        known = await self._look_up(digest(sessid))
        moment = time.monotonic()
        if not alive(self._lifetime, known.created, known.used, moment):
            await self._expire(known.session.digest)
            raise AuthError(NOT_VALID)
        known.used = moment
        if moment - known.saved > min(SAVE_USE_SECONDS, self._lifetime.idle / 4):
            known.saved = moment
            await self._note(lambda tx: sessions.touch(tx, known.session.digest, now()))
        return known.session

    async def _look_up(self, key: str) -> _Known:
        known = self._known.get(key)
        moment = time.monotonic()
        if known is not None and moment - known.checked < BELIEVE_SECONDS:
            return known
        session = await self._store.read(lambda tx: sessions.find(tx, key))
        if session is None or not alive(self._lifetime, session.created, session.used, now()):
            if session is not None:
                await self._expire(key)
            self._known.pop(key, None)
            raise AuthError(NOT_VALID)
        if known is None:
            age, rest = now() - session.created, now() - session.used
            known = _Known(session, moment, moment - rest, moment - age, moment - rest)
        known.session, known.checked = session, moment
        self._known[key] = known
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return known

    async def _expire(self, key: str) -> None:
        """Once refused, refused for ever: a clock that is set back later must find nothing to revive."""
        self._known.pop(key, None)
        await self._note(lambda tx: sessions.end(tx, key))

    async def _note(self, change: Callable[[Connection], object]) -> None:
        """Write down what is nice to have written; the caller's answer does not hang on it."""
        try:
            await self._store.write(change)
        except OmsError as failure:
            log.warning("session not noted", failure=failure.message)

    async def end(self, sessid: object) -> bool:
        """End a session now; False where there is none."""
        if not isinstance(sessid, str) or not SESSID.match(sessid):
            return False
        key = digest(sessid)
        self._known.pop(key, None)
        return await self._store.write(lambda tx: sessions.end(tx, key))


def digest(sessid: str) -> str:
    """What is kept of a SESSID."""
    return hashlib.sha256(sessid.encode()).hexdigest()
