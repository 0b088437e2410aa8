"""Who is calling: sessions by SESSID and programs by token, kept in the database, remembered here for a second.

The memory is what makes a session check cheap; a second is how long a user who was removed elsewhere, or whose
role was changed, keeps what he had. Who is removed here is out at once.
"""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection

import msgspec
import structlog
from sqlalchemy import Connection

from oms.background import ended
from oms.contract.auth import NoSession
from oms.contract.errors import OmsError, PasswordMustChange
from oms.server.rules.sessions import SESSID, Lifetime, alive
from oms.server.rules.tokens import is_token
from oms.server.store import Store, now, sessions, tokens
from oms.server.store.sessions import Session

log = structlog.get_logger("oms.sessions")
BELIEVE_SECONDS = 1.0
SAVE_USE_SECONDS = 30.0
GATHER_SECONDS = 0.5
"""Uses that are written down together: with a commit for each, those who change something would wait for them."""
MOST_REMEMBERED = 20_000
LOOK_SECONDS = 1.0
"""How often the sessions of what lasts are looked at."""
NOT_VALID = "The session is not valid or has ended: log in with authservices.authenticate."
MUST_CHANGE = "This password is known to whoever gave it: change it first, with userservices.change_password."


class _Known(msgspec.Struct):
    session: Session
    checked: float  # monotonic: when the database last said so
    used: float  # monotonic
    created: float  # monotonic, as far as this process can tell
    saved: float  # monotonic: when `used` was last written down


class Lasting:
    """What outlives a call on behalf of a session: `ended` is set once that has ended, or may do less than
    before."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.ended = asyncio.Event()

    def look(self, now: Session | None) -> None:
        """The session is so now, or None where it is none any more."""
        if now is None or now.role < self.session.role:
            self.ended.set()


def _nothing(_tx: Connection) -> None:
    return


class Sessions:
    """The door for everything that needs to know who calls."""

    def __init__(self, store: Store, lifetime: Lifetime) -> None:
        self._store = store
        self._lifetime = lifetime
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._lasting: set[Lasting] = set()
        self._looking: asyncio.Task[None] | None = None
        self._uses: dict[str, float] = {}
        """What is not written down yet: when, by digest."""
        self._gathering: asyncio.Task[None] | None = None

    async def begin(self, user: str, address: str, first: Callable[[Connection], None] = _nothing) -> str:
        """A new session's SESSID: 160 random bits, of which only the SHA-256 is kept.

        `first` comes before it in one transaction: where it raises, there is no session.
        """
        sessid = secrets.token_hex(20).upper()

        def add(tx: Connection) -> None:
            first(tx)
            sessions.add(tx, digest(sessid), user, address)

        await self._store.write(add)
        return sessid

    async def check(self, sessid: object, *, any_password: bool = False, is_use: bool = True) -> Session:
        """The session of a SESSID or token. Raises AuthError, in the same words whatever is wrong with it.

        `is_use`: whether this keeps it from its idle end.

        Raises PasswordMustChange where somebody else knows the password, unless `any_password` will do.
        """
        if not isinstance(sessid, str) or not (SESSID.match(sessid) or is_token(sessid)):
            raise NoSession(NOT_VALID)
        known = await self._look_up(digest(sessid))
        moment = time.monotonic()
        if not self._alive(known, moment):
            await self._expire(known.session)
            raise NoSession(NOT_VALID)
        if is_use:
            known.used = moment
        if is_use and moment - known.saved > min(SAVE_USE_SECONDS, self._lifetime.idle / 4):
            known.saved = moment
            self._uses[known.session.digest] = now()
            if self._gathering is None or self._gathering.done():
                self._gathering = asyncio.create_task(self._gathered())
        if known.session.must_change and not any_password:
            raise PasswordMustChange(MUST_CHANGE)
        return known.session

    def _alive(self, known: _Known, moment: float) -> bool:
        if known.session.token:
            return now() <= known.session.expires
        return alive(self._lifetime, known.created, known.used, moment)

    async def _look_up(self, key: str) -> _Known:
        known = self._known.get(key)
        moment = time.monotonic()
        if known is not None and moment - known.checked < BELIEVE_SECONDS:
            return known
        session = await self._store.read(lambda tx: sessions.find(tx, key) or tokens.find(tx, key))
        if session is None or not (session.token or self._used_lately(session, known, moment)):
            if session is not None:
                await self._expire(session)
            self._known.pop(key, None)
            raise NoSession(NOT_VALID)
        if known is None:
            age, rest = now() - session.created, now() - session.used
            known = _Known(session, moment, moment - rest, moment - age, moment - rest)
        if session.used > known.session.used:  # at another server, perhaps
            known.used = max(known.used, moment - max(0, now() - session.used))
        known.session, known.checked = session, moment
        self._known[key] = known
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return known

    def _used_lately(self, session: Session, known: _Known | None, moment: float) -> bool:
        """By the uses that are written down, and by those of this process that are about to be."""
        used = max(session.used, now() - (moment - known.used)) if known else session.used
        return alive(self._lifetime, session.created, used, now())

    async def _expire(self, session: Session) -> None:
        """Once refused, refused for ever: a clock that is set back later must find nothing to revive."""
        self._known.pop(session.digest, None)
        if session.token:
            await self._note(lambda tx: tokens.end(tx, session.token))
        else:
            await self._note(lambda tx: sessions.end(tx, session.digest))

    async def _note(self, change: Callable[[Connection], object]) -> None:
        """Write down what is nice to have written; the caller's answer does not hang on it."""
        try:
            await self._store.write(change)
        except OmsError as failure:
            log.warning("session not noted", failure=failure.message)

    async def _gathered(self) -> None:
        """No answer waits for the disk because a session was used."""
        await asyncio.sleep(GATHER_SECONDS)
        await self._note_uses()

    async def _note_uses(self) -> None:
        """Those that cannot be written are left to the next use."""
        if not (uses := dict(self._uses)):
            return

        def write(tx: Connection) -> None:
            sessions.touch_all(tx, uses)
            tokens.touch_all(tx, uses)

        await self._note(write)
        self._uses = {digest: used for digest, used in self._uses.items() if uses.get(digest) != used}

    async def end(self, sessid: object) -> bool:
        """End a session now; False where there is none."""
        if not isinstance(sessid, str) or not SESSID.match(sessid):
            return False
        key = digest(sessid)
        self._known.pop(key, None)
        ended = await self._store.write(lambda tx: sessions.end(tx, key))
        await self._look([entry for entry in self._lasting if entry.session.digest == key])
        return ended

    # --- what lasts longer than a call

    @contextlib.asynccontextmanager
    async def lasting(self, session: Session) -> AsyncIterator[asyncio.Event]:
        """For a console, a stream, a long wait: the event is set within two seconds after the session has ended,
        or its user was given a lower role, wherever that was done."""
        entry = Lasting(session)
        self._lasting.add(entry)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_again())
        try:
            yield entry.ended
        finally:
            self._lasting.discard(entry)

    async def changed(self, user: str) -> None:
        """Accounts were changed: whatever is remembered of that user holds no longer."""
        for key in [key for key, known in self._known.items() if known.session.user == user.lower()]:
            del self._known[key]
        await self._look([entry for entry in self._lasting if entry.session.user == user.lower()])

    async def _look(self, entries: Collection[Lasting]) -> None:
        """Tell those of them whose sessions are over."""
        if not entries:
            return
        digests = {entry.session.digest for entry in entries}
        found = await self._store.read(lambda tx: sessions.find_all(tx, digests) | tokens.find_all(tx, digests))
        lasts = {session.digest: session for session in found.values() if self._lasts(session)}
        for entry in entries:
            entry.look(lasts.get(entry.session.digest))

    def _lasts(self, session: Session) -> bool:
        """Whether it goes on, by its uses that are written down and by those that only this process knows of.

        Another server's uses are written down some seconds late, so that it has as many more.
        """
        known, moment = self._known.get(session.digest), now()
        used = max(session.used, moment - (time.monotonic() - known.used) if known else 0)
        late = min(SAVE_USE_SECONDS, self._lifetime.idle / 4)
        lifetime = Lifetime(self._lifetime.idle + late, self._lifetime.absolute)
        return bool(session.token) or alive(lifetime, session.created, used, moment)

    async def _look_again(self) -> None:
        while self._lasting:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look(tuple(self._lasting))
            except OmsError as failure:
                log.warning("sessions not looked at", failure=failure.message)
        self._looking = None

    async def close(self) -> None:
        """Look no more, and have the last uses written: the store is about to be closed."""
        await ended(self._looking, self._gathering)
        await self._note_uses()


def digest(sessid: str) -> str:
    """What is kept of a SESSID."""
    return hashlib.sha256(sessid.encode()).hexdigest()
