"""OpenVZ's programs, called: argument lists, limits of time, and what their exit statuses mean."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from oms.agent.guests.vzctl.listing import Row, Unreadable, rows
from oms.agent.host.process import SHOWN, Completed, ProgramError, run
from oms.contract.errors import (
    AlreadyThere,
    ContainerIsOff,
    FuncManError,
    HostUnavailable,
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
    vzmigrate: Sequence[str] = ("vzmigrate",)

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

    async def send(self, ctid: str, target: str, tell: Callable[[str], None]) -> None:
        """Have vzmigrate take a container to another host. Raises FuncManError."""
        lines = Lines(tell)
        done = await run([*self.vzmigrate, "-r", "yes", target, ctid], timeout=None, on_output=lines.feed)
        if done.exit:
            raise not_sent(ctid, target, msgspec.structs.replace(done, stdout=lines.last.encode()))

    def sends(self, ctid: str, proc: Path) -> bool:
        """Whether a vzmigrate has that container in hand."""
        name = Path(self.vzmigrate[-1]).name.encode()
        for path in proc.glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().rstrip(b"\0").split(b"\0")
            except OSError:  # it ended meanwhile
                continue
            if words[-1] == ctid.encode() and any(word.rpartition(b"/")[2] == name for word in words):
                return True
        return False


class Lines:
    """What a program writes, told line by line."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._rest = tell, b""
        self.last = ""

    def feed(self, part: bytes) -> None:
        """More of it."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        self._rest = self._rest[-SHOWN:]
        for line in lines:
            if words := " ".join(line.decode(errors="replace").split())[:SHOWN]:
                self.last = words
                self._tell(words)


def not_sent(ctid: str, target: str, done: Completed) -> FuncManError:
    """What an exit status of vzmigrate(8) means, with its words."""
    said = done.words or f"vzmigrate ended with {done.exit}"
    match done.exit:
        case 4:
            return HostUnavailable(
                f"Root of this host cannot log in at {target} by SSH without a password: {said}", host=target
            )
        case 9:
            return AlreadyThere(f"There is a container {ctid} at {target} already: {said}", container=ctid)
        case 10:
            return NoSuchContainer(f"There is no container {ctid!r} on this host: {said}", container=ctid)
        case 12:
            return AlreadyThere(f"An address of container {ctid} is in use at {target}: {said}", container=ctid)
        case _:
            return FuncManError(f"Container {ctid} was not taken to {target}: {said}", container=ctid)


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
