"""The sockets through which two hypervisors speak: made for one job, for the user that machines run as, and gone
with it. What goes through them is carried over the passage."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import structlog

from oms.agent.guests import Machines
from oms.agent.guests.moves import CONTROL, DISKS, MEMORY, Admission
from oms.agent.passage.crossing import Crossing
from oms.agent.passage.gate import Gate
from oms.agent.passage.stream import PIECE_BYTES, Stream, relay
from oms.background import Background
from oms.contract.errors import NotSupported, OmsError

log = structlog.get_logger("oms.agent")
ALL = (CONTROL, MEMORY, DISKS)
NAME_LENGTH = 16
"""Of a job's id: a socket's path has 107 bytes at most."""


def place_of(sockets: Path, job: str) -> Path:
    """The directory of one job's sockets."""
    return sockets / job[:NAME_LENGTH]


@contextlib.asynccontextmanager
async def directory(sockets: Path, job: str, machines: Machines) -> AsyncIterator[Path]:
    """A directory for sockets that the hypervisor and nobody else can get at."""
    place = place_of(sockets, job)
    user, group = await machines.socket_owner()
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700)
    os.chown(place, user, group)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextlib.asynccontextmanager
async def leaving(place: Path, crossing: Crossing, machines: Machines) -> AsyncIterator[None]:
    """Carry what this host's hypervisor says into the sockets over to the other host."""
    carried = _Carried()
    owner = await machines.socket_owner()
    async with contextlib.AsyncExitStack() as servers:
        servers.push_async_callback(carried.end)
        for name in ALL:

            async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name) -> None:
                carried.begin(_carry(crossing, name, reader, writer))

            server = await asyncio.start_unix_server(take, place / name, limit=2 * PIECE_BYTES)
            await servers.enter_async_context(server)
            os.chown(place / name, *owner)
        yield


@contextlib.asynccontextmanager
async def receiving(gate: Gate, admission: Admission, machines: Machines) -> AsyncIterator[None]:
    """Carry what comes from the other host to this one's hypervisor, as far as it may."""
    carried = _Carried()
    places = {CONTROL: machines.door(), MEMORY: admission.sockets / MEMORY, DISKS: admission.sockets / DISKS}

    async def listen(name: str) -> None:
        while True:
            stream = await gate.stream(name)
            judge = machines.doorkeeper(admission) if name == CONTROL else None
            carried.begin(_hand_on(stream, places[name], judge.let_through if judge else None))

    for name in ALL:
        carried.begin(listen(name))
    try:
        yield
    finally:
        await carried.end()


async def _carry(
    crossing: Crossing, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        stream = await crossing.open(name)
    except BaseException:
        writer.transport.abort()
        raise
    await relay(stream, reader, writer)


async def _hand_on(stream: Stream, place: Path, judge: Any) -> None:
    try:
        reader, writer = await asyncio.open_unix_connection(place, limit=2 * PIECE_BYTES)
    except BaseException:
        stream.close()
        raise
    await relay(stream, reader, writer, judge)


class _Carried:
    """Connections that are being carried; each ends by itself, or with all."""

    def __init__(self) -> None:
        self._tasks = Background()
        self.end = self._tasks.end

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.begin(self._told(work))

    async def _told(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except NotSupported as refusal:
            log.warning("another host's hypervisor was cut off", why=refusal.message)
        except (OmsError, OSError) as broken:
            log.info("a hypervisor's connection to another host ended", why=str(broken))


def sweep(sockets: Path) -> None:
    """Take away what an earlier run of the agent left: nobody listens there any more. Raises OSError."""
    for left in sockets.iterdir():
        shutil.rmtree(left)
