"""Two hosts brought together for one move: the job that somebody asked for on the one, and its other side.

OMS knows both by their certificates and tells each the other's, which is made for this move alone. It gives the
other host its job once, whoever asks how often, and carries none of the bytes.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from oms.bus import introduction
from oms.bus.call import UNREADABLE, decode
from oms.bus.introduction import Introduced
from oms.contract.errors import (
    FuncManError,
    FuncMethodTimeoutError,
    HostUnavailable,
    NoSuchTask,
    NotThere,
    OmsError,
    ParameterMismatch,
)
from oms.contract.internal import Gate, ReceiveContainer, ReceiveMachine, WhereGate
from oms.contract.kvm.migration import MigrateVm
from oms.contract.operation import HostOperation
from oms.contract.ovz import migration as ovz
from oms.contract.registry import OF_JOBS
from oms.server.desk import House
from oms.server.store.hosts import Host
from oms.server.store.jobs import ENDED, Job
from oms.server.told import answered

ANSWERS_SECONDS = 30.0
"""For the other host to begin; whoever asked asks again after that."""


class Move(msgspec.Struct, frozen=True):
    """What has another side. `to`: the name of the other host, by the operation that was asked for. `there`: what
    that host does, with the first job's id as its `job`. `meant`: whether what the first host says of it is the
    thing that was asked for."""

    to: Callable[[Any], str]
    there: type[HostOperation[Any]]
    meant: Callable[[Any, Any], bool]


MOVES: dict[type[HostOperation[Any]], Move] = {
    MigrateVm: Move(
        lambda op: op.target_hostname,
        ReceiveMachine,
        lambda op, there: op.kvm_vm_name.lower() in (there.kvm_vm_name.lower(), there.uuid),
    ),
    ovz.MigrateVm: Move(
        lambda op: op.server2_hostname, ReceiveContainer, lambda op, there: op.container_id == there.container_id
    ),
}


class Matchmaker:
    """Knows both hosts."""

    def __init__(self, house: House, moves: dict[type[HostOperation[Any]], Move] | None = None) -> None:
        self._house = house
        self._moves = MOVES if moves is None else moves

    async def introduce(self, host: Host, job_id: str, body: bytes) -> Introduced:
        """A host with a job says what the other host is to do. Raises OmsError; FuncMethodTimeoutError where to
        ask again is all that is needed."""
        job, op, move = await self._of(host, job_id)
        there = _understood(body, move, op, job.id)
        other = await self._other(host, move.to(op))
        begun = await self._house.jobs.submit(
            there, other, job.owner, job_id=introduction.job_there(job.id), name=job.name
        )
        if not answered(begun):
            begun = await self._house.jobs.outcome(begun, ANSWERS_SECONDS)
        return Introduced(begun.id, begun.state, await self._gate(begun), begun.failure())

    async def standing(self, host: Host, job_id: str) -> Introduced:
        """A host asks how the job stands of which one of its own is the other side. Raises NoSuchTask."""
        job = await self._house.jobs.find(job_id)
        kind = OF_JOBS.get(job.method)
        if job.host_id != host.id or kind not in {move.there for move in self._moves.values()} or not job.op:
            raise NoSuchTask(f"There is no open job {job_id} of {host.name} that is another one's side.")
        first = await self._house.jobs.find(decode(job.op, kind).job)
        return Introduced(first.id, first.state)

    async def call_off(self, host: Host, job_id: str) -> bool:
        """A host gives its move up: the other side is cancelled, as far as it lets itself be; whether that is over
        now, or was never asked. Raises OmsError."""
        job, _, _ = await self._of(host, job_id)
        try:
            there = await self._house.jobs.cancel(introduction.job_there(job.id))
        except NoSuchTask:
            return True
        return there.state in ENDED

    async def _of(self, host: Host, job_id: str) -> tuple[Job, HostOperation[Any], Move]:
        """The open job of that very host, if it is one with another side. Raises NoSuchTask."""
        job = await self._house.jobs.find(job_id)
        kind = OF_JOBS.get(job.method)
        move = self._moves.get(kind) if kind is not None and issubclass(kind, HostOperation) else None
        if job.host_id != host.id or move is None or kind is None or job.state in ENDED:
            raise NoSuchTask(f"There is no job {job_id} of {host.name} that has another side.")
        op: HostOperation[Any] = decode(job.op, kind)
        return job, op, move

    async def _other(self, host: Host, name: str) -> Host:
        if name == host.name:
            raise ParameterMismatch(f"It is on {name} already: name another host to move it to.", host=name)
        return await self._house.fleet.host(name)

    async def _gate(self, job: Job) -> Gate | None:
        """Where the other side listens; None where it does not, or cannot be asked now."""
        if job.state in ENDED:
            return None
        try:
            return await self._house.caller.ask(job.host_id, WhereGate(job.id))
        except (NotThere, HostUnavailable, FuncMethodTimeoutError):
            return None


def _understood(body: bytes, move: Move, op: HostOperation[Any], job_id: str) -> HostOperation[Any]:
    """What the first host says, if it is of the kind and of the thing that was asked for. Raises FuncManError."""
    try:
        there: HostOperation[Any] = decode(body, move.there)
    except UNREADABLE as bad:
        raise FuncManError(
            "What the host says of its move was not understood: see that its agent is ours."
        ) from bad
    if not move.meant(op, there) or getattr(there, "job", job_id) != job_id:
        raise FuncManError("The host speaks of something else than what was asked to be moved.")
    return there


def is_final(error: OmsError) -> bool:
    """Whether asking again is of no use."""
    return not isinstance(error, FuncMethodTimeoutError)
