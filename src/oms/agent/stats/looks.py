"""What changes slowly and may be slow to read: file systems, the uplink, the hardware. A thread looks at it.

A file system that does not answer, as on a disk that has died, costs its thread and is left alone until it comes
back; all others are looked at as ever.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

import msgspec
import structlog

from oms.agent.guests.threads import Lane, TooLate
from oms.agent.host import hardware, mounts, uplink
from oms.agent.host.hardware import Processor
from oms.agent.host.mounts import Mount, Usage
from oms.agent.host.uplink import Uplink

T = TypeVar("T")
log = structlog.get_logger("oms.agent")
LIMIT_SECONDS = 2.0
THREADS = 8
"""So many file systems may hang at once before others are not looked at either."""


class Sight(msgspec.Struct, frozen=True):
    """What was seen at one look."""

    uplink: Uplink = Uplink()
    processor: Processor = Processor("0 KB", "", "0.000")
    swap_paths: tuple[str, ...] = ()
    usages: tuple[Usage, ...] = ()


class Looks:
    """Looks again and again; what cannot be seen now is as it was seen last."""

    def __init__(self, here: Callable[[], tuple[Mount, ...]] = mounts.here) -> None:
        """`here` tells which file systems there are."""
        self._here = here
        self._lane = Lane("look", THREADS)
        self._hung: set[str] = set()
        self._unseen: set[str] = set()
        self._sight = Sight()

    async def look(self) -> Sight:
        """What is there now. Takes LIMIT_SECONDS at most for each thing that hangs."""
        before = self._sight
        self._sight = Sight(
            uplink=await self._run(uplink.uplink, before.uplink),
            processor=await self._run(hardware.processor, before.processor),
            swap_paths=await self._run(hardware.swap_paths, before.swap_paths),
            usages=await self._usages(),
        )
        return self._sight

    def close(self) -> None:
        """End the threads that do not hang."""
        self._lane.close()

    async def _run(self, look: Callable[[], T], otherwise: T) -> T:
        part = look.__name__
        try:
            seen = await self._lane.run(look, LIMIT_SECONDS)
        except (OSError, TooLate) as why:
            if part not in self._unseen:
                self._unseen.add(part)
                log.warning("a part of the host cannot be looked at", part=part, why=str(why) or "not in time")
            return otherwise
        self._unseen.discard(part)
        return seen

    async def _usages(self) -> tuple[Usage, ...]:
        nothing: tuple[Mount, ...] = ()
        there = await self._run(self._here, nothing)
        wanted = [mount for mount in there if mount.point not in self._hung]
        while wanted:
            round_ = _Round(wanted, self._hung)
            try:
                return await self._lane.run(round_.go, LIMIT_SECONDS)
            except TooLate as late:
                hung = round_.give_up()
                if not late.begun or hung is None:
                    return ()
                log.warning("a file system does not answer: it is left alone until it does", mount=hung)
                wanted = [mount for mount in wanted if mount.point != hung]
        return ()


class _Round:
    """One thread's way along the file systems, until it has come to the end or was given up at one that hangs."""

    def __init__(self, wanted: list[Mount], hung: set[str]) -> None:
        self._wanted, self._hung = wanted, hung
        self._lock = threading.Lock()
        self._at: str | None = None
        self._given_up = False

    def go(self) -> tuple[Usage, ...]:
        found = []
        for mount in self._wanted:
            with self._lock:
                self._at = mount.point
            seen = mounts.usage(mount)
            with self._lock:
                self._at = None
                if self._given_up:
                    self._hung.discard(mount.point)
                    return ()
            if seen is not None and seen.total_kb:
                found.append(seen)
        return tuple(found)

    def give_up(self) -> str | None:
        """Where it hangs; None where it has just come through."""
        with self._lock:
            self._given_up = True
            if self._at is not None:
                self._hung.add(self._at)
            return self._at
