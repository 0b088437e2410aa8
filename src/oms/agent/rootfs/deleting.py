"""A container template taken away, with what was found out and unpacked of it."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from oms.agent import placing, shelf
from oms.agent.context import Host
from oms.agent.guests.containers import Containers
from oms.agent.rootfs import catalogue, looking, unpacked
from oms.agent.rootfs.deploying import lease
from oms.agent.templates import words

KEYED: Final = f".{'?' * catalogue.KEY_DIGITS}.*"


async def delete(name: str, host: Host, containers: Containers) -> None:
    """Delete it. May be repeated by the same job. Raises NotThere, FuncManError."""
    directory = host.storage.rootfs

    async def doomed() -> Iterable[Path]:
        if not catalogue.taken(directory, name):
            raise words.not_there(name)
        return *catalogue.places(directory, name), *(directory / looking.JUDGED).glob(f"{name}{KEYED}")

    async with host.leases.hold(host.job, alone=(lease(name),)):
        await shelf.clear_away(directory, host.job, doomed)
        with placing.told(containers.home):
            await asyncio.to_thread(unpacked.forget, containers, name)
