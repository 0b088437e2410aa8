"""A container template taken away, with what was found out and unpacked of it."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from oms import durable
from oms.agent import placing
from oms.agent.context import Host
from oms.agent.guests.containers import Containers
from oms.agent.host import files
from oms.agent.rootfs import catalogue, looking, unpacked
from oms.agent.rootfs.deploying import lease
from oms.contract.errors import NotThere

GOING, ASIDE = "going", "aside"
KEYED: Final = f".{'?' * catalogue.KEY_DIGITS}.*"


async def delete(name: str, host: Host, containers: Containers) -> None:
    """Delete it. May be repeated by the same job, which knows by its notes what it was to delete: what has come
    under the name since is another one, and stays. Raises NotThere, FuncManError."""
    directory, job = host.storage.rootfs, host.job
    async with host.leases.hold(job, alone=(lease(name),)):
        if (going := job.recall(GOING)) is None:
            going = await asyncio.to_thread(_going, directory, name)
            await job.record(GOING, going)
        if not job.recall(ASIDE):
            with placing.told(directory):
                await asyncio.to_thread(_set_aside, directory, job.id, going)
            with placing.told(containers.home):
                await asyncio.to_thread(unpacked.forget, containers, name)
            await job.record(ASIDE, True)  # from here on, what they were known by may be others' again
    await placing.remove(directory, job)


def _going(directory: Path, name: str) -> dict[str, Sequence[int] | None]:
    if not catalogue.taken(directory, name):
        raise NotThere(f"There is no template {name!r} here; list_templates shows those there are", template=name)
    beside = (directory / looking.JUDGED).glob(f"{name}{KEYED}")
    return {str(path): _identity(path) for path in (*catalogue.places(directory, name), *beside)}


def _set_aside(directory: Path, job: str, going: Mapping[str, Sequence[int] | None]) -> None:
    """Out of sight, in one step each."""
    staging = files.open_staging(directory, job)
    for number, (text, identity) in enumerate(going.items()):
        path = Path(text)
        if identity is not None and _identity(path) == list(identity):
            path.rename(staging / f"{number}")
            durable.sync_directory(path.parent)


def _identity(path: Path) -> list[int] | None:
    """Of what lies there itself, links not followed."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return [found.st_dev, found.st_ino]
