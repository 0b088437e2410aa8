"""The end of a container's first process, which is that of the container."""

import asyncio
import os


async def ended(pid: int, seconds: float) -> bool:
    """Wait until a process has ended; False where it has not within so many seconds."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process, gone.set)
    try:
        async with asyncio.timeout(seconds):
            await gone.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(process)
        os.close(process)
    return True
