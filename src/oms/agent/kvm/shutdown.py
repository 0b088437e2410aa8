"""A guest is asked to shut down, and given time."""

import asyncio

from oms.agent.clock import Clock
from oms.agent.guests import Machines
from oms.contract.errors import FuncManError, HypervisorUnavailable, NoSuchMachine

ROUND_SECONDS = 10.0
ROUNDS = 3
"""At least so many, however short the time is."""
LOOK_SECONDS = 1.0
"""At the latest: that a machine went off is heard of, but may be told late."""


async def goes_off(uuid: str, machines: Machines, seconds: float, clock: Clock) -> bool:
    """Ask a machine's guest by its button, and from the second round on through its agent too; whether it is off
    within so many seconds.

    It is asked anew in each round, because one that was still booting did not hear; one that is shutting down
    already does not mind.
    """
    begun, pause, rounds = clock.now(), min(ROUND_SECONDS, seconds / ROUNDS), 0
    while clock.now() < begun + seconds:
        await _ask(uuid, machines, agent_too=rounds > 0)
        rounds += 1
        if await _off_by(begun + min(rounds * pause, seconds), uuid, machines, clock):
            return True
    return not await _is_on(uuid, machines)


async def _ask(uuid: str, machines: Machines, *, agent_too: bool) -> None:
    try:
        machine = await machines.find(uuid)
    except NoSuchMachine:
        return
    if machine.live is None or machine.state != "running":
        return
    await machines.ask_off(uuid, "button")
    if agent_too and machine.live.guest_agent:
        try:
            await machines.ask_off(uuid, "agent")
        except (HypervisorUnavailable, NoSuchMachine):
            raise
        except FuncManError:
            pass  # an agent that hangs is one more way not to react


async def _off_by(end: float, uuid: str, machines: Machines, clock: Clock) -> bool:
    """Whether it is off at a time of that clock, or before."""
    changed = asyncio.Event()
    stop_listening = machines.on_change(lambda _change: changed.set())
    try:
        while True:
            changed.clear()
            if not await _is_on(uuid, machines):
                return True
            left = end - clock.now()
            if left <= 0:
                return False
            await clock.wait(changed, min(left, LOOK_SECONDS))
    finally:
        stop_listening()


async def _is_on(uuid: str, machines: Machines) -> bool:
    try:
        return (await machines.find(uuid)).live is not None
    except NoSuchMachine:
        return False  # it was not kept, and is gone
