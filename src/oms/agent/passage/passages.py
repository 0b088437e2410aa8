"""Passages as jobs use them: one job opens a gate on its host, its counterpart on the other host crosses."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

import msgspec

from oms.agent.leases import Holder
from oms.agent.passage import papers as proof
from oms.agent.passage.crossing import Crossing, Matchmaker
from oms.agent.passage.gate import Gate
from oms.agent.passage.papers import Records
from oms.agent.passage.stream import Rate
from oms.contract import internal
from oms.contract.errors import FuncManError, NotThere, OmsError
from oms.contract.operation import HostOperation

HIGHEST_PORT = 65535
MB = 1000 * 1000


class Job(Records, Protocol):
    """A job, as far as it has a passage."""

    id: str


class Terms(msgspec.Struct, frozen=True):
    """How this host takes part: where it listens for others, and how many bytes per second it sends at most (0: as
    many as there can be)."""

    address: Callable[[], str]
    ports: Sequence[int]
    bytes_per_second: float = 0


class Passages:
    """The passages of one host."""

    def __init__(self, terms: Terms, matchmaker: Matchmaker) -> None:
        self._terms, self._matchmaker = terms, matchmaker
        self._rate = Rate(terms.bytes_per_second)
        self._open: dict[str, internal.Gate] = {}

    @contextlib.asynccontextmanager
    async def gate(self, job: Job, other: str) -> AsyncIterator[Gate]:
        """Listen for the holder of that certificate (PEM) as long as this lasts; OMS tells him where, if he asks.

        Raises FuncManError where this host cannot.
        """
        papers = await proof.of_job(job)
        try:
            gate = Gate(papers, other, self._rate)
        except ValueError as bad:
            raise FuncManError("The other host's certificate for this move is none") from bad
        address = await asyncio.to_thread(self._terms.address)
        gate.open(address, self._terms.ports)
        self._open[job.id] = internal.Gate(address, gate.port, papers.certificate)
        try:
            yield gate
        finally:
            del self._open[job.id]
            gate.close()
            await gate.closed()

    def where(self, job: str) -> internal.Gate:
        """Where a job of this host listens now. Raises NotThere."""
        if (found := self._open.get(job)) is None:
            raise NotThere("This job listens for no other host just now", job=job)
        return found

    async def stays_there(self, job: Holder) -> bool:
        """Whether the other host's job, of which this one is the other side, has ended without giving up what it
        was to bring: it does so only before that. False, which the job notes, where OMS cannot say."""
        try:
            return await self._matchmaker.standing(job.id) in ("failed", "cancelled")
        except OmsError as error:
            job.note("waits", f"for the other host, or for OMS to say how its job stands: {error.message}")
            return False

    @contextlib.asynccontextmanager
    async def crossing(self, job: Job, there: Callable[[str], HostOperation[Any]]) -> AsyncIterator[Crossing]:
        """The way to the other host. `there` makes, given this side's certificate, what that host is to do; the
        same in every run of the job. All streams end with this."""
        papers = await proof.of_job(job)
        crossing = Crossing(job.id, there(papers.certificate), papers, self._matchmaker, self._rate)
        try:
            yield crossing
        finally:
            crossing.close()


def ports(text: str) -> range:
    """The ports that a setting names, as in `49216-49279`. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text)
    if found:
        first, last = int(found[1]), int(found[2] or found[1])
        if 0 < first <= last <= HIGHEST_PORT:
            return range(first, last + 1)
    raise ValueError(f"{text!r} is no port or range of ports from 1 to {HIGHEST_PORT}, as in 49216-49279")
