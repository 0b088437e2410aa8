"""OpenVZ's programs, called: argument lists, limits of time, and what their exit statuses mean."""

from collections.abc import Sequence
from typing import Final

import msgspec

from oms.agent.guests.vzctl.listing import Row, Unreadable, rows
from oms.agent.host.process import Completed, ProgramError, run
from oms.contract.errors import (
    AlreadyThere,
    ContainerIsOff,
    FuncManError,
    HypervisorUnavailable,
    InUse,
    NoSpace,
    NoSuchContainer,
)

LIST_SECONDS: Final = 10.0
CHANGE_SECONDS: Final = 60.0
LONG_SECONDS: Final = 300.0
"""For what moves memory to the disk and back, or deletes files."""
LIST_BYTES: Final = 16 * 1024 * 1024
NOT_RUNNING: Final = 31
RUNNING: Final = 32
"""Exit statuses of vzctl(8) for a state that may be just what was wanted."""


class Programs(msgspec.Struct, frozen=True):
    """How each is called."""

    vzctl: Sequence[str] = ("vzctl",)
    vzlist: Sequence[str] = ("vzlist",)

    async def list(self) -> dict[str, Row]:
        """All containers, by id. Raises HypervisorUnavailable."""
        try:
            done = await run([*self.vzlist, "-a", "-j"], timeout=LIST_SECONDS, limit=LIST_BYTES)
        except ProgramError as error:
            raise _away(error.message, "nothing") from error
        if done.exit:
            raise _away(done.words, "nothing")
        try:
            return rows(done.stdout)
        except Unreadable as unreadable:
            raise _away(str(unreadable), "nothing") from unreadable

    async def change(
        self, ctid: str, verb: str, *words: str, fine: int = 0, seconds: float = CHANGE_SECONDS
    ) -> None:
        """Have vzctl do something to a container; `fine` is another exit status of success, that of a state which
        is what was wanted. Raises FuncManError."""
        try:
            done = await run([*self.vzctl, verb, ctid, *words], timeout=seconds)
        except ProgramError as error:
            raise _away(error.message, "unknown") from error
        if done.exit not in (0, fine):
            raise refused(ctid, done)


def refused(ctid: str, done: Completed) -> FuncManError:
    """What an exit status means, with the program's words."""
    said = done.words or f"vzctl ended with {done.exit}"
    match done.exit:
        case 5:
            return _away(f"this kernel is not OpenVZ's any more: {said}", "nothing")
        case 9:
            return InUse(
                f"Container {ctid} is being changed by another vzctl: try again in a moment", container=ctid
            )
        case 14 | 43 | 53:
            return NoSuchContainer(f"There is no container {ctid!r} on this host: {said}", container=ctid)
        case 31:
            return ContainerIsOff(f"Container {ctid} is off; start it with start_vm first", container=ctid)
        case 46:
            return NoSpace(f"There is no room left for container {ctid}: {said}", container=ctid)
        case 78:
            return AlreadyThere(f"An address of container {ctid} is another's already: {said}", container=ctid)
        case _:
            return FuncManError(f"OpenVZ refuses that of container {ctid}: {said}", container=ctid)


def _away(why: str, outcome: str) -> HypervisorUnavailable:
    return HypervisorUnavailable(f"OpenVZ does not answer on this host: {why}", outcome=outcome)
