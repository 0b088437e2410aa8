"""A host's agent that does as a test tells it: keeps a journal in memory, and fails in the ways that agents can.

The honest agent is `oms.agent`; this one is for what an honest agent does not do on demand.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from oms.bus import call
from oms.bus.call import Request, encode
from oms.bus.local import LocalAgentWire, LocalBus
from oms.contract.errors import OmsError, pack
from oms.contract.internal import (
    INTERNAL,
    AskGuests,
    AskJobs,
    CancelJob,
    Hello,
    HostFacts,
    JobState,
    Roster,
    Welcome,
)
from oms.contract.operation import HostOperation, Operation
from oms.contract.registry import OPERATIONS

Handler = Callable[[Any], Awaitable[Any]]
Does = Mapping[type[Operation[Any]], Handler]
"""What a host does for each operation: takes it, gives its result."""
FACTS = HostFacts(
    "1.0", hypervisors=("kvm",), architecture="x86_64", distribution="debian 12", cpus=4, memory_mb=8192, vmcount=3
)


class HostDouble:
    """One host. What stands in its public fields may be changed while it runs."""

    def __init__(self, bus: LocalBus, host_id: str, name: str, does: Does) -> None:
        self.bus, self.id, self.name = bus, host_id, name
        self.does = dict(does)
        self.facts = FACTS
        self.roster = Roster("", 0, ("kvm",), ())
        self.journal: dict[str, JobState] = {}
        self.begun: Counter[str] = Counter()
        """How often each change was begun, by the job's id."""
        self.asked: Counter[str] = Counter()
        """How often each verb was asked for."""
        self.requests: list[Request] = []
        """The changes that came, repeated ones included."""
        self.greetings: list[Hello] = []
        self.deaf: set[str] = set()
        """Verbs that are swallowed: nothing happens and no answer comes."""
        self.mute: set[str] = set()
        """Verbs that are done, but no answer comes."""
        self.refuses: dict[str, OmsError] = {}
        self.says: dict[str, bytes] = {}
        """Verbs with the raw bytes that are answered instead."""
        self.journal_first = False
        """Whether what is answered with raw bytes is done all the same."""
        self.tells = True
        """Whether events are sent."""
        self.queue_open = asyncio.Event()
        self.queue_open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.wire = self._connected()

    def _connected(self) -> LocalAgentWire:
        wire = self.bus.agent(self.id)
        operations = {
            kind.facts.wire: kind for kind in (*OPERATIONS, *INTERNAL) if issubclass(kind, HostOperation)
        }
        honest = call.server(operations, self._run, "1.0")

        async def serve(verb: str, payload: bytes) -> bytes:
            self.asked[verb] += 1
            if verb in self.deaf:
                await asyncio.Event().wait()
            if verb in self.says and not self.journal_first:
                return self.says[verb]
            answer = await honest(verb, payload)
            if verb in self.says:
                return self.says[verb]
            if verb in self.mute:
                await asyncio.Event().wait()
            return answer

        wire.serve(serve)
        return wire

    async def _run(self, request: Request, op: HostOperation[Any]) -> Any:
        if op.facts.wire in self.refuses:
            raise self.refuses[op.facts.wire]
        match op:
            case Hello():
                self.greetings.append(op)
                return Welcome(self.facts, tuple(self.journal.values()))
            case AskGuests():
                return self.roster
            case AskJobs():
                return tuple(self.journal.get(job, JobState(job, "unknown")) for job in op.ids)
            case CancelJob():
                return self._cancel(op.id)
        if op.facts.changes:
            return self._accept(request, op)
        return await self.does[type(op)](op)

    def _accept(self, request: Request, op: HostOperation[Any]) -> JobState:
        self.requests.append(request)
        if request.id not in self.journal:
            self.journal[request.id] = JobState(request.id, "queued")
            task = asyncio.create_task(self._work(request.id, op))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return self.journal[request.id]

    def _cancel(self, job: str) -> JobState:
        if self.journal.get(job, JobState(job, "queued")).state == "queued":
            self.journal[job] = JobState(job, "cancelled")
        return self.journal[job]

    async def _work(self, job: str, op: HostOperation[Any]) -> None:
        await self.queue_open.wait()
        if self.journal[job].state != "queued":
            return
        self.begun[job] += 1
        self.journal[job] = JobState(job, "running")
        await self.tell(self.journal[job])
        try:
            result = await self.does[type(op)](op)
            self.journal[job] = JobState(job, "done", result=encode(result).decode())
        except OmsError as error:
            self.journal[job] = JobState(job, "failed", error=pack(error))
        await self.tell(self.journal[job])

    async def tell(self, state: JobState) -> None:
        """Send the event of a job's state, unless the host tells nothing."""
        if self.tells and self.wire.connected:
            await self.wire.publish("job", encode(state))

    async def tell_facts(self, facts: HostFacts) -> None:
        """Send the event of changed facts."""
        self.facts = facts
        await self.wire.publish("facts", msgspec.json.encode(facts))

    async def close(self) -> None:
        """End whatever still runs."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.wire.close()
