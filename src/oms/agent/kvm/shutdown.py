"""A guest is asked to shut down, and given time."""

import asyncio
import contextlib

from oms.agent.guests import Machine, Machines
from oms.contract.errors import FuncManError, HypervisorUnavailable, NoSuchMachine

LOOK_SECONDS = 1.0
"""At the latest: that a machine went off is heard of, but may be told late."""
BUTTONS_SHARE = 0.3
"""Of the time, for a guest that has an agent too to react to its button."""


async def goes_off(machine: Machine, machines: Machines, seconds: float) -> bool:
    """Ask a machine's guest by its button, and after a while through its agent; whether it is off within so many
    seconds. May be repeated: a guest that is shutting down already does not mind."""
    now = asyncio.get_running_loop().time()
    if machine.state == "running":
        await machines.ask_off(machine.uuid, "button")
        if machine.live is not None and machine.live.guest_agent:
            if await _off_by(now + seconds * BUTTONS_SHARE, machine.uuid, machines):
                return True
            await _ask_agent(machine.uuid, machines)
    return await _off_by(now + seconds, machine.uuid, machines)


async def _ask_agent(uuid: str, machines: Machines) -> None:
    try:
        await machines.ask_off(uuid, "agent")
    except (HypervisorUnavailable, NoSuchMachine):
        raise
    except FuncManError:
        pass  # an agent that hangs is one more way not to react


async def _off_by(end: float, uuid: str, machines: Machines) -> bool:
    """Whether it is off at a time of the event loop's clock, or before."""
    changed = asyncio.Event()
    stop_listening = machines.on_change(lambda _change: changed.set())
    try:
        while True:
            changed.clear()
            if not await _is_on(uuid, machines):
                return True
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_SECONDS)):
                    await changed.wait()
    finally:
        stop_listening()


async def _is_on(uuid: str, machines: Machines) -> bool:
    try:
        return (await machines.find(uuid)).live is not None
    except NoSuchMachine:
        return False  # it was not kept, and is gone
