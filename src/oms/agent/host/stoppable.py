"""Long work that blocks, in a thread of its own, which ends when nobody waits for it any more."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

Progress = Callable[[float], None]
"""Told how far some work is, 0 to 1."""


LEAST = 0.002
"""A smaller step forward is not told: that would take longer than many a step does."""


class Stopped(Exception):
    """Raised in the thread when its work is not wanted any more."""


async def in_thread(work: Callable[[Progress], T], progress: Progress = lambda _share: None) -> T:
    """Do `work` in a thread. It is given a function to call often, which passes progress on, and ends it by an
    exception once this task was cancelled. Comes back only when the thread has ended, whatever happens.
    """
    loop, stop = asyncio.get_running_loop(), threading.Event()
    told = -1.0

    def go_on(share: float) -> None:
        nonlocal told
        if stop.is_set():
            raise Stopped
        if share - told >= LEAST or share < told:
            told = share
            loop.call_soon_threadsafe(progress, share)

    # Not in the loop's own pool, which has few threads and is there for what is short.
    pool = ThreadPoolExecutor(1, thread_name_prefix="work")
    thread = loop.run_in_executor(pool, work, go_on)
    try:
        return await asyncio.shield(thread)
    finally:
        stop.set()
        while not thread.done():
            with contextlib.suppress(asyncio.CancelledError):  # the one that brought us here is raised again
                await asyncio.wait((thread,))
        pool.shutdown(wait=False)
        if not thread.cancelled():
            thread.exception()
