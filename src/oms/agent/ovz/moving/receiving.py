"""The side that a container comes to; it does as it is told. See the room's `__init__` for the steps."""

import asyncio
import contextlib
import os
from pathlib import Path

import msgspec

from oms.agent.context import Host, breaks_off
from oms.agent.guests.containers import Containers, NewContainer, outside
from oms.agent.host import copying, links, rsync
from oms.agent.host.space import free_bytes
from oms.agent.ovz import taken
from oms.agent.ovz.conditions import containers_of
from oms.agent.ovz.handlers import limits_of_host
from oms.agent.ovz.moving import passes, rules
from oms.agent.ovz.moving.words import (
    STREAM,
    Abort,
    Commit,
    Dropped,
    FromThere,
    Here,
    Kept,
    Offer,
    Pass,
    Ready,
    Refused,
    Taken,
    Whole,
    stream_of,
)
from oms.agent.passage.gate import Gate
from oms.agent.passage.passages import Passages
from oms.agent.passage.stream import Cut, Stream
from oms.contract.errors import (
    AlreadyThere,
    FuncManError,
    JobCancelled,
    JobInterrupted,
    NoSuchMachine,
    OmsError,
    WireError,
    pack,
    unpack,
)
from oms.contract.handlers import Handlers
from oms.contract.internal import ReceiveContainer

handlers: Handlers[Host] = Handlers()
SILENT_SECONDS = 60.0
"""After so long without the other host, what is not whole here is dropped."""
ASK_SECONDS = 5.0
"""After so long OMS is asked whether there is still somebody who could come."""
STREAM_SECONDS = 30.0
"""For a stream to come that was announced."""


class Coming(msgspec.Struct, frozen=True):
    """What comes, and the bridge that it will be on here; "" where it is routed."""

    offer: Offer
    bridge: str


@handlers.handles(ReceiveContainer)
async def receive_container(op: ReceiveContainer, host: Host) -> int:
    """Broken off, it is gone on with from what was written down."""
    if host.passages is None:
        raise rules.refusal("target", "its agent has no way to other hosts")
    async with contextlib.AsyncExitStack() as held:
        receiving = _Receiving(op, host, containers_of(host), host.passages, held)
        if host.job.recall("dropped") is not None:
            await receiving.drop()
            raise unpack(msgspec.convert(host.job.recall("dropped"), WireError))
        await receiving.hold_on()
        if host.job.recall("committed"):
            return await receiving.finish()
        if not host.job.resumed:
            await receiving.check_free()
        async with host.passages.gate(host.job, op.certificate) as gate:
            await host.job.answer(0)
            return await receiving.attend(gate)


class _Receiving:
    """One run of the job. `held` ends with it."""

    def __init__(
        self,
        op: ReceiveContainer,
        host: Host,
        containers: Containers,
        passages: Passages,
        held: contextlib.AsyncExitStack,
    ) -> None:
        self._op, self._host, self._job, self._containers = op, host, host.job, containers
        self._passages, self._held = passages, held
        self._ctid = str(op.container_id)

    # --- what is said

    async def attend(self, gate: Gate) -> int:
        """Do as the other host says, until the container is here for good, or dropped."""
        while True:
            words = await self._next_words(gate)
            with contextlib.suppress(Cut):
                while await self._obeyed(words, gate):
                    pass
                return 0

    async def _next_words(self, gate: Gate) -> Stream:
        silent = 0.0
        while True:
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    return await gate.stream(STREAM)
            except TimeoutError:
                silent += ASK_SECONDS
                may_come_yet = self._job.recall("whole") or silent < SILENT_SECONDS
                if may_come_yet and not await self._passages.stays_there(self._job):
                    continue
                gone = JobInterrupted("The other host was not heard of any more: what came of it is dropped")
                await self._give_up(gone)
                raise gone from None

    async def _obeyed(self, words: Stream, gate: Gate) -> bool:
        """Whether there is more to come."""
        said: FromThere = await words.hear(FromThere)
        if isinstance(said, Abort):
            stays = JobCancelled("The container stays where it is: what came of it is dropped.", job=self._op.job)
            await self._give_up(stays)
            await words.say(Dropped())
            raise stays
        try:
            answer = await self._answered(said, gate)
        except Cut:
            raise
        except OmsError as error:
            if not breaks_off(error):
                await self._give_up(error)
                with contextlib.suppress(Cut):
                    await words.say(Refused(pack(error)))
            raise
        await words.say(answer)
        return not isinstance(answer, Here)

    async def _answered(self, said: Offer | Pass | Whole | Commit, gate: Gate) -> Ready | Taken | Kept | Here:
        match said:
            case Offer():
                return await self._begin(said)
            case Pass():
                await self._take(said.number, gate)
                return Taken()
            case Whole():
                await self._keep()
                return Kept()
            case Commit():
                await self._commit()
                return Here()

    # --- whether it may come

    async def check_free(self) -> None:
        """Raises AlreadyThere where there is a container of its id."""
        with contextlib.suppress(NoSuchMachine):
            await self._containers.find(self._ctid)
            raise AlreadyThere(f"there is a container {self._ctid} on it already", container=self._ctid)

    async def _begin(self, offer: Offer) -> Ready:
        if self._job.recall("coming") is not None:
            raise FuncManError("This container was offered once already")
        await self.check_free()
        place = await self._place()
        rules.check_can_come(offer, place)
        await self._take_hold(offer)
        coming = Coming(offer, rules.bridge_there(offer, place))
        await self._job.record("coming", msgspec.to_builtins(coming))
        await self._prepared()
        notes = {} if coming.bridge == offer.bridge else {"bridge": f"{coming.bridge}, for want of {offer.bridge}"}
        return Ready(notes)

    async def _take_hold(self, offer: Offer) -> None:
        """From here on nobody else gets what it has. Raises OpenVZMigrationNotCapable."""
        wish = rules.wish(self._ctid, offer)
        if others := await taken.take(wish, self._host, self._containers, self._held):
            rules.check_others(wish, others)

    async def hold_on(self) -> None:
        """What an earlier run held."""
        if (coming := self._job.recall("coming")) is not None:
            wish = rules.wish(self._ctid, msgspec.convert(coming, Coming).offer)
            await self._held.enter_async_context(wish.held(self._host))

    async def _place(self) -> rules.Place:
        containers = self._containers
        capacity = await containers.capacity()
        return rules.Place(
            capabilities=containers.capabilities,
            limits=await limits_of_host(containers),
            available_memory_kb=capacity.available_memory_kb,
            free_kb=await asyncio.to_thread(free_bytes, containers.home) // 1024,
            lacking=rsync.lacking(),
            bridges=await asyncio.to_thread(links.bridges),
            own_bridge=self._host.offer.container_bridge,
        )

    # --- while it comes

    async def _prepared(self) -> Path:
        """Where its files come to, which belong to its root."""
        coming, ids = self._recalled(), self._containers.capabilities.ids
        place = await self._containers.prepare(self._job.id, coming.offer.settings.disk_kb)
        await asyncio.to_thread(os.chown, place, outside(ids, "user", 0), outside(ids, "group", 0))
        return place

    async def _take(self, number: int, gate: Gate) -> None:
        if self._job.recall("whole"):
            raise FuncManError("All of the container was here already")
        place = await self._prepared()
        try:
            async with asyncio.timeout(STREAM_SECONDS):
                stream = await gate.stream(stream_of(number))
            await passes.receive(stream, place, self._containers.capabilities.ids)
        except TimeoutError:
            raise FuncManError("The other host did not send what it announced") from None
        except Cut as cut:  # it speaks on, if it can, and is told of that
            raise FuncManError(f"The files broke off: {cut.message}") from cut

    async def _keep(self) -> None:
        await copying.sync(await self._prepared())
        await self._job.record("whole", True)

    # --- how it ends

    def _recalled(self) -> Coming:
        recalled = self._job.recall("coming")
        if recalled is None:
            raise FuncManError("The other host has offered no container")
        return msgspec.convert(recalled, Coming)

    async def _commit(self) -> None:
        if not self._job.recall("whole"):
            raise JobInterrupted("The container is not here whole, and what came of it is dropped")
        await self._job.record("committed", True)
        await self._finished()

    async def finish(self) -> int:
        """It is here for good. May be repeated; where it cannot be, nothing of it is here, and that is raised."""
        try:
            await self._finished()
        except OmsError as error:
            if not breaks_off(error):
                await self._give_up(error)
            raise
        return 0

    async def _finished(self) -> None:
        coming, containers = self._recalled(), self._containers
        offer = coming.offer
        if not self._job.recall("created"):
            new = NewContainer(
                ctid=self._ctid,
                settings=offer.settings,
                bridge=coming.bridge,
                mac=offer.mac if coming.bridge else "",
            )
            await containers.create(self._job.id, new)
            await self._job.record("created", True)
        await containers.discard(self._job.id)
        if offer.runs:
            await containers.start(self._ctid)

    async def _give_up(self, why: OmsError) -> None:
        await self._job.record("dropped", msgspec.to_builtins(pack(why)))
        await self.drop()

    async def drop(self) -> None:
        """Nothing of it stays. May be repeated."""
        if self._job.recall("created"):
            with contextlib.suppress(NoSuchMachine):
                await self._containers.stop(self._ctid)
                await self._containers.destroy(self._ctid)
        await self._containers.discard(self._job.id)
