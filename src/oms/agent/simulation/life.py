"""What happens on simulated hosts by itself: now and then a guest goes off, comes back, stands still, goes on."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any, NoReturn

from oms.agent.guests import Guests
from oms.agent.simulation.world import SimulatedHost
from oms.contract.errors import OmsError

CHANGES_AN_HOUR = 0.5
"""Of each guest, on average."""
STANDS_STILL = 0.1
"""Of guests that run, the share that is paused in place of stopped."""


async def go_on(hosts: Sequence[SimulatedHost], guests_each: int) -> NoReturn:
    """For ever."""
    every = 3600 / (CHANGES_AN_HOUR * max(1, len(hosts) * guests_each))
    while True:
        await asyncio.sleep(random.expovariate(1 / every))
        await change(random.choice(hosts))  # noqa: S311


async def change(host: SimulatedHost) -> None:
    """Something happens to one of its guests, whoever else changes it in the same moment."""
    guests: Guests[Any] = random.choice((host.machines, host.containers))  # noqa: S311
    states = await guests.states()
    if not states:
        return
    one = random.choice(states)  # noqa: S311
    try:
        match one.state:
            case "running" if random.random() < STANDS_STILL:  # noqa: S311
                await guests.pause(one.key)
            case "running":
                await guests.stop(one.key)
            case "paused":
                await guests.resume(one.key)
            case _:
                await guests.start(one.key)
    except OmsError:
        return
