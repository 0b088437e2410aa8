"""Changes that a running machine's own process has to take: asked for, and waited for only a moment.

A process that hangs does not answer libvirt, and one that is busy does so when it comes to it: an emulated machine
takes many seconds in its boot on a loaded host. What was asked for stays asked for, and libvirt goes on with it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from oms.agent.guests.libvirt.lines import Lines
from oms.contract.errors import GuestDidNotReact


class Soon:
    """Only one such change of a machine is under way at a time: the one that hangs holds up no thread but its
    own, and none overtakes another."""

    def __init__(self, lines: Lines, seconds: float) -> None:
        self._lines, self._seconds = lines, seconds
        self._under_way: dict[str, tuple[asyncio.Task[object], float]] = {}

    async def change(self, uuid: str, act: Callable[[Any], object]) -> None:
        """Raises GuestDidNotReact where the machine does not take it in time."""
        now = asyncio.get_running_loop().time
        if under_way := self._under_way.get(uuid):
            before, since = under_way
            if not await self._in_time(before, since):
                raise GuestDidNotReact("its process is still busy with the change before")
        task = asyncio.create_task(self._lines.change(uuid, act))
        self._under_way[uuid] = task, now()
        task.add_done_callback(lambda done: self._end(uuid, done))
        if not await self._in_time(task, now()):
            raise GuestDidNotReact(f"its process did not take it within {self._seconds:g} s")
        task.result()

    async def _in_time(self, task: asyncio.Task[object], since: float) -> bool:
        left = since + self._seconds - asyncio.get_running_loop().time()
        return bool((await asyncio.wait((task,), timeout=max(left, 0)))[0])

    def _end(self, uuid: str, task: asyncio.Task[object]) -> None:
        if self._under_way.get(uuid, (None,))[0] is task:
            del self._under_way[uuid]
        if not task.cancelled():
            task.exception()  # whoever waited has it, or nobody waits any more
