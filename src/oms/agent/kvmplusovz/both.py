"""Two halves of an answer, asked at once: what there is, and which of them is missing."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from oms.contract.errors import FuncManError, OmsError
from oms.contract.partly import GuestType, Missing

K = TypeVar("K")
C = TypeVar("C")
LONGEST_SECONDS: Final = 10.0
"""For a half: well below what the caller waits for the whole."""


async def both(
    kvm: Awaitable[K], openvz: Awaitable[C], seconds: float = LONGEST_SECONDS
) -> tuple[K | None, C | None, tuple[Missing, ...]]:
    """Both halves; None for one that failed or did not answer in time, which is then among the missing.

    Raises FuncManError where neither answers: the machines' words, and the containers' after them.
    """
    machines, containers = await asyncio.gather(_half(kvm, seconds), _half(openvz, seconds))
    missing = [
        Missing(kind, half.wire_name, half.reason, half.message)
        for kind, half in _named(machines, containers)
        if isinstance(half, OmsError)
    ]
    if isinstance(machines, OmsError) and isinstance(containers, OmsError):
        machines.message = f"Machines: {machines.message}. Containers: {containers.message}"
        raise machines
    return (
        None if isinstance(machines, OmsError) else machines,
        None if isinstance(containers, OmsError) else containers,
        tuple(missing),
    )


def _named(machines: object, containers: object) -> tuple[tuple[GuestType, object], ...]:
    return ("kvm", machines), ("openvz", containers)


async def _half(asked: Awaitable[K], seconds: float) -> K | OmsError:
    try:
        async with asyncio.timeout(seconds):
            return await asked
    except TimeoutError:
        return FuncManError(f"it did not answer within {seconds:g} s")
    except OmsError as error:
        return error
