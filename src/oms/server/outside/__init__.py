"""Users from outside: whose password and groups this machine's PAM or a directory knows, and not OMS.

What is asked there blocks, and may hang: it is done in a few threads of its own, waited for so long and no longer,
and nobody whom OMS itself knows ever waits for it. A source is loaded where it is configured, and nowhere else.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec
import structlog

from oms.contract.auth import LoginsBusy, LoginSourceDown
from oms.contract.operation import Permission
from oms.contract.types import UserName
from oms.contract.user import Source
from oms.server.rules import grouproles
from oms.server.rules.grouproles import Mapped

log = structlog.get_logger("oms.outside")
THREADS, MOST_WAITING = 4, 16
BEYOND_SECONDS = 2.0
"""A source has its own time-out; one that does not keep it is not waited for much longer."""
Look = Callable[[str, str], frozenset[str] | None]
"""Name and password to the user's groups, None where they are not right. Blocks. Raises SourceDown."""


class SourceDown(Exception):
    """The source cannot be asked now; the text is for the log."""


class Found(msgspec.Struct, frozen=True):
    """Somebody whom a source knows, and what his groups let him do."""

    name: str
    source: Source
    role: Permission


class Outside:
    """The door to them."""

    def __init__(self, sources: Mapping[Source, Look], roles: Mapped, timeout: float) -> None:
        """`sources` in the order in which they are asked for a name that is new here; `timeout` in seconds."""
        self._sources, self._roles, self._timeout = sources, roles, timeout
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="outside")
        self._waiting = 0

    @property
    def any(self) -> bool:
        """Whether there is a source at all."""
        return bool(self._sources)

    async def find(self, name: str, password: str, known_to: Source | None) -> Found | None:
        """Whom a source knows by that name and password, with a role; else None.

        `known_to`: the source that he came from before, which alone is asked. Raises LoginSourceDown, LoginsBusy.
        """
        name = name.lower()
        if not password or "\0" in password or not _legal(name):
            return None  # an empty password is how directories let anybody in as nobody
        down = ""
        for source, look in self._sources.items():
            if known_to not in (None, source):
                continue
            try:
                groups = await self._asked(look, name, password)
            except SourceDown as failure:
                log.warning("source of users not asked", source=source, failure=str(failure))
                down = source
                continue
            if groups is not None and (found := self._with_role(name, source, groups)):
                return found
        if down:
            raise LoginSourceDown(
                f"Users from outside cannot log in now, because {down} does not answer; those whom OMS knows by "
                "itself can. Nothing was counted as a wrong password."
            )
        return None

    def _with_role(self, name: str, source: Source, groups: frozenset[str]) -> Found | None:
        role = grouproles.role_of(self._roles, source, groups)
        if role is None:
            log.warning(
                "a user of no group that may use OMS", user=name, source=source, groups=sorted(groups)[:32]
            )
            return None
        return Found(name, source, role)

    async def _asked(self, look: Look, name: str, password: str) -> frozenset[str] | None:
        if self._waiting >= MOST_WAITING:
            raise LoginsBusy(
                "As many logins as OMS takes are waiting already, and this one was not tried: try again."
            )
        self._waiting += 1
        asked = asyncio.get_running_loop().run_in_executor(self._threads, look, name, password)
        asked.add_done_callback(self._answered)
        try:
            async with asyncio.timeout(self._timeout + BEYOND_SECONDS):
                return await asyncio.shield(asked)
        except TimeoutError:
            raise SourceDown("It did not answer in time.") from None

    def _answered(self, asked: "asyncio.Future[frozenset[str] | None]") -> None:
        """Whoever hangs keeps his place until he has done."""
        self._waiting -= 1
        if not asked.cancelled():
            asked.exception()

    def close(self) -> None:
        """Ask nobody any more; what hangs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _legal(name: str) -> bool:
    try:
        msgspec.convert(name, UserName)
    except msgspec.ValidationError:
        return False
    return True
