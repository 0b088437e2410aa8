"""The side that comes: asks OMS where the other host listens, and opens streams to it."""

import asyncio
import socket
import ssl
from typing import Any, Protocol

from oms.agent.leases import Holder
from oms.agent.passage import papers as proof
from oms.agent.passage.papers import Papers
from oms.agent.passage.stream import ARRIVED, IDENTIFY_SECONDS, PIECE_BYTES, Cut, Rate, Stream, watch
from oms.bus.introduction import Introduced
from oms.contract.errors import JobInterrupted, unpack
from oms.contract.internal import Gate
from oms.contract.operation import HostOperation

MEET_SECONDS = 60.0
"""For the other host to be met at all; nothing has been changed before."""
AGAIN_SECONDS = 1.0


class Matchmaker(Protocol):
    """Whoever knows both hosts."""

    async def introduce(self, job: str, op: HostOperation[Any]) -> Introduced:
        """Have the other host of a job of ours do `op`, if it is not at that yet, and say where it listens. Raises
        Cut where OMS cannot be asked now, and what OMS says against it."""

    async def standing(self, job: str) -> str:
        """How the job stands of which one of ours is the other side: `running`, `done`, `failed` and so on. Raises
        as `introduce` does."""

    async def call_off(self, job: str) -> bool:
        """Have the other host give it up, as far as it still can; answers whether it is over there, or was never
        begun. Raises as `introduce` does."""


class Crossing:
    """The way of one job to the host that takes what it brings."""

    def __init__(
        self, job: str, op: HostOperation[Any], papers: Papers, matchmaker: Matchmaker, rate: Rate
    ) -> None:
        self._job, self._op, self._papers = job, op, papers
        self._matchmaker, self._rate = matchmaker, rate
        self._streams: set[Stream] = set()
        self._gate: Gate | None = None

    async def find(self) -> Gate:
        """Have OMS say where the other host listens. Raises Cut, what OMS says against it, and, with
        `data.there`, the error with which the other host's job has ended."""
        self._gate = None
        found = await self._matchmaker.introduce(self._job, self._op)
        if found.error is not None:
            refusal = unpack(found.error)
            refusal.data.setdefault("there", found.state)
            raise refusal
        if found.gate is None:
            if found.state in ("failed", "cancelled", "done"):
                raise JobInterrupted(
                    f"The other host's job {found.job} has ended ({found.state}): see what it left",
                    job=found.job,
                    there=found.state,
                )
            raise Cut("The other host does not listen yet")
        self._gate = found.gate
        return found.gate

    async def met(self, name: str, job: Holder) -> Stream:
        """The first stream: the other host may take a moment to begin, or have no turn free for a while, which the
        job notes. Raises what `find` does."""
        try:
            async with asyncio.timeout(MEET_SECONDS):
                while True:
                    try:
                        return await self.open(name)
                    except Cut as cut:
                        job.note("waits", cut.message)
                    await asyncio.sleep(AGAIN_SECONDS)
        except TimeoutError:
            return await self.open(name)

    async def open(self, name: str) -> Stream:
        """A new stream of that name, at whose other end the other host is known to be. Raises what `find` does."""
        gate = self._gate or await self.find()
        try:
            async with asyncio.timeout(IDENTIFY_SECONDS):
                stream = await self._opened(gate, name)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, ValueError) as error:
            self._gate = None
            raise Cut(
                f"The other host cannot be reached at {gate.address} port {gate.port}"
                f" ({str(error) or 'it does not answer'}): see that a firewall lets this host through, and its "
                "setting migration_address"
            ) from error
        self._streams = {known for known in self._streams if not known.gone} | {stream}
        return stream

    async def call_off(self) -> bool:
        """Have the other host give it up, as far as it still can; answers whether it is over there, or was never
        begun. Raises as `find` does."""
        return await self._matchmaker.call_off(self._job)

    def close(self) -> None:
        """Part from all streams."""
        for stream in self._streams:
            stream.close()

    async def _opened(self, gate: Gate, name: str) -> Stream:
        context = proof.context(self._papers, gate.certificate, listens=False)
        reader, writer = await asyncio.open_connection(
            gate.address, gate.port, ssl=context, limit=2 * PIECE_BYTES, flags=socket.AI_NUMERICHOST
        )
        try:
            proof.check(writer.get_extra_info("ssl_object"), gate.certificate)
            watch(writer.get_extra_info("socket"))
            spelled = name.encode("ascii")
            writer.write(bytes([len(spelled)]) + spelled)
            await reader.readexactly(len(ARRIVED))
        except BaseException:
            writer.transport.abort()
            raise
        return Stream(reader, writer, self._rate)
