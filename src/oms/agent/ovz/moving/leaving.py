"""The side that a container leaves; it decides. See the room's `__init__` for the steps."""

import asyncio
import contextlib
import time
from typing import Any, Final

import msgspec

from oms.agent.context import Host, breaks_off
from oms.agent.guests.containers import Containers, Sender
from oms.agent.ovz.conditions import containers_of
from oms.agent.ovz.handlers import end
from oms.agent.ovz.moving import passes, rules
from oms.agent.ovz.moving.planning import Plan, planned
from oms.agent.ovz.moving.sending import sent
from oms.agent.ovz.moving.words import (
    STREAM,
    Abort,
    Commit,
    Dropped,
    FromHere,
    Here,
    Kept,
    Pass,
    Ready,
    Refused,
    Taken,
    Whole,
    stream_of,
)
from oms.agent.passage.crossing import Crossing
from oms.agent.passage.passages import Passages
from oms.agent.passage.stream import Cut, Stream
from oms.contract.errors import (
    CallError,
    FuncManError,
    HypervisorUnavailable,
    JobInterrupted,
    NoSuchMachine,
    NotSupported,
    OmsError,
    WireError,
    pack,
    unpack,
)
from oms.contract.handlers import Handlers
from oms.contract.internal import ReceiveContainer
from oms.contract.operation import HostOperation
from oms.contract.ovz import migration as api

handlers: Handlers[Host] = Handlers()
TELL_SECONDS = 30.0
"""For telling it that the container stays."""
LAST_WORDS_SECONDS = 10.0
"""For it to say why it did not take what was sent."""
AGAIN_SECONDS = 1.0
COPIED: Final = 70.0
MOVED: Final = 90.0
"""Percent of the work that is done when the first pass is, and when the container is whole over there."""
ENDED: Final = ("failed", "cancelled")
MB: Final = 1000 * 1000


@handlers.handles(api.MigrateVm)
async def migrate_vm(op: api.MigrateVm, host: Host) -> int:
    """Broken off, it is undone, or gone on with once the other host was told to start it."""
    try:
        containers = containers_of(host)
    except NotSupported as error:
        raise rules.refusal("source", error.message) from error
    if isinstance(containers, Sender):
        return await sent(op, host, containers)
    if host.passages is None:
        raise rules.refusal("source", "its agent has no way to other hosts")
    job = host.job
    if (recalled := job.recall("plan")) is None:
        recalled = msgspec.to_builtins(await planned(str(op.container_id), containers))
        await job.record("plan", recalled)
    job.note("target", op.server2_hostname)
    return await _Leaving(op, msgspec.convert(recalled, Plan), host, containers, host.passages).run()


class _Leaving:
    """One run of the job."""

    def __init__(
        self, op: api.MigrateVm, plan: Plan, host: Host, containers: Containers, passages: Passages
    ) -> None:
        self._op, self._plan, self._host, self._job = op, plan, host, host.job
        self._containers, self._passages = containers, passages
        self._words: Stream | None = None
        self._sent: list[int] = []

    async def run(self) -> int:
        op, job = self._op, self._job

        def there(certificate: str) -> HostOperation[Any]:
            return ReceiveContainer(op.container_id, job.id, certificate)

        async with self._passages.crossing(job, there) as crossing:
            if not job.recall("commit"):
                await self._hand_over(crossing)
            return await self._conclude(crossing)

    # --- until it is over there

    async def _hand_over(self, crossing: Crossing) -> None:
        """Returns when `commit` is written down. Raises, with all as it was, where the container stays."""
        try:
            await self._go_over(crossing)
        except OmsError as error:
            if breaks_off(error):
                raise
            if not self._job.recall("failed"):
                await self._job.record("failed", msgspec.to_builtins(pack(error)))
            await self._take_back(crossing)
            raise
        await self._job.record("commit", True)

    async def _go_over(self, crossing: Crossing) -> None:
        if failed := self._job.recall("failed"):
            raise unpack(msgspec.convert(failed, WireError))
        ctid = self._plan.ctid
        if self._job.resumed:
            raise JobInterrupted(
                f"The move of container {ctid} was broken off in its midst: it stays where it was.", container=ctid
            )
        async with self._job.cancellable():
            await self._offered(crossing)
            if self._plan.offer.runs:
                await self._pass(crossing)
                while not rules.is_enough(self._sent):
                    await self._pass(crossing)
            await self._hand(crossing)

    async def _offered(self, crossing: Crossing) -> None:
        """Returns when the other host is ready. What it says against it is the document's error."""
        try:
            self._words = words = await crossing.met(STREAM, self._job)
            await words.say(self._plan.offer)
            ready = await self._heard(Ready)
        except _Refused as refused:
            raise rules.refused_there(refused.why) from refused
        except (Cut, HypervisorUnavailable, JobInterrupted):
            raise
        except OmsError as error:
            if isinstance(error, CallError) or error.data.get("there") in ENDED:
                raise rules.refused_there(error) from error
            raise
        for name, words_of_it in ready.notes.items():
            self._job.note(f"there: {name[:32]}", words_of_it)

    async def _heard(self, wanted: type[Any]) -> Any:
        assert self._words is not None
        answer: FromHere = await self._words.hear(FromHere)
        if isinstance(answer, Refused):
            raise _Refused(unpack(answer.error))
        if not isinstance(answer, wanted):
            raise Cut("The other host says something else than what was asked")
        return answer

    async def _pass(self, crossing: Crossing) -> None:
        """Copy what has changed."""
        number, began = len(self._sent) + 1, time.monotonic()
        self._sent.append(0)
        container = await self._containers.find(self._plan.ctid)
        if container.rootfs is None:
            raise FuncManError(f"The files of container {container.ctid} cannot be seen any more")
        assert self._words is not None
        await self._words.say(Pass(number))
        try:
            stream = await crossing.open(stream_of(number))
            await passes.send(stream, container.rootfs, container.ids, self._count)
            await self._heard(Taken)
        except _Refused as refused:
            raise refused.why from refused
        except FuncManError as error:
            raise await self._reason(error) from error
        seconds = time.monotonic() - began
        self._job.note(f"pass {number}", f"{self._sent[-1] / MB:.1f} MB in {seconds:.1f} s")

    async def _reason(self, error: FuncManError) -> OmsError:
        """What the other host says of it tells more, if it comes to that."""
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._heard(Refused)
        except _Refused as refused:
            return refused.why
        except (Cut, TimeoutError):
            pass
        return error

    def _count(self, count: int) -> None:
        self._sent[-1] += count
        if len(self._sent) == 1:
            share = self._sent[0] / max(self._plan.offer.used_kb * 1024, 1)
            self._job.progress(COPIED * min(share, 1.0))

    async def _hand(self, crossing: Crossing) -> None:
        """From here on it is off, and nothing starts it but this job."""
        plan, ctid = self._plan, self._plan.ctid
        await self._job.record("handing", time.time())
        if plan.onboot:
            await self._containers.set_autostart(ctid, on=False)
        if plan.offer.runs:
            await end(await self._containers.find(ctid), self._host)
            self._job.progress(COPIED + 5)
        await self._pass(crossing)
        assert self._words is not None
        await self._words.say(Whole())
        try:
            await self._heard(Kept)
        except _Refused as refused:
            raise refused.why from refused
        if (await self._containers.find(ctid)).runs:
            raise FuncManError(
                f"Container {ctid} was started while it was being moved, by somebody else than OMS: it stays here",
                container=ctid,
            )

    async def _take_back(self, crossing: Crossing) -> None:
        """The container stays: it is as it was, and the other host drops what came."""
        if self._job.recall("handing") is not None:
            await self._restore()
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await self._tell_to_drop(crossing)
        except TimeoutError:
            self._job.note("other side", "it could not be told that the container stays, and drops it by itself")

    async def _restore(self) -> None:
        plan = self._plan
        with contextlib.suppress(NoSuchMachine):
            if plan.onboot:
                await self._containers.set_autostart(plan.ctid, on=True)
            if plan.offer.runs:
                try:
                    await self._containers.start(plan.ctid)
                except HypervisorUnavailable:
                    raise
                except FuncManError as error:
                    self._job.note("start", f"it could not be started here again: {error.message}")

    async def _tell_to_drop(self, crossing: Crossing) -> None:
        while True:
            try:
                self._words = self._words or await crossing.open(STREAM)
                await self._words.say(Abort())
                while not isinstance(await self._words.hear(FromHere), Dropped | Refused):
                    pass  # what it still had to say before
            except Cut:
                self._words = None
                with contextlib.suppress(OmsError):
                    if await crossing.call_off():
                        return
            except OmsError:
                return  # it is over there already
            else:
                return
            await asyncio.sleep(AGAIN_SECONDS)

    # --- after that

    async def _conclude(self, crossing: Crossing) -> int:
        if (returned := self._job.recall("returned")) is not None:
            await self._restore()
            raise unpack(msgspec.convert(returned, WireError))
        if not self._job.recall("here"):
            self._job.progress(MOVED)
            await self._ask_on(crossing)
            await self._job.record("here", True)
            self._tell_downtime()
        await self._remove()
        return 0

    async def _remove(self) -> None:
        """It is there: what cannot be deleted here does not undo that, and is told."""
        try:
            container = await self._containers.find(self._plan.ctid)
            if container.runs:
                await self._containers.stop(container.ctid)
            await self._containers.destroy(container.ctid)
        except HypervisorUnavailable:
            raise
        except NoSuchMachine:
            pass
        except FuncManError as error:
            self._job.note("left here", error.message)

    def _tell_downtime(self) -> None:
        stopped = self._job.recall("handing")
        if self._plan.offer.runs and isinstance(stopped, int | float):
            self._job.note("downtime", f"{max(time.time() - stopped, 0):.1f} s")

    async def _ask_on(self, crossing: Crossing) -> None:
        """Returns when the container is there. Raises where it is certain that it will not be."""
        while True:
            try:
                await self._committed(crossing)
            except (_CameBack, HypervisorUnavailable):
                raise
            except OmsError as error:
                if breaks_off(error):
                    raise
                self._words = None
                self._job.note("waits", f"for the other host to say that the container is there: {error.message}")
            else:
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def _committed(self, crossing: Crossing) -> None:
        try:
            self._words = self._words or await crossing.open(STREAM)
        except OmsError as error:
            if error.data.get("there") == "done":
                return
            if error.data.get("there") in ENDED:
                raise await self._returned(error) from error
            raise
        await self._words.say(Commit())
        try:
            await self._heard(Here)
        except _Refused as refused:
            raise await self._returned(refused.why) from refused

    async def _returned(self, why: OmsError) -> "_CameBack":
        """The other host could not start it, and has nothing of it any more."""
        words = (
            f"Container {self._plan.ctid} could not be started on the other host, which has nothing of it any "
            f"more; it is where it was. The other host says: {why.message}"
        )
        error = _CameBack(words, container=self._plan.ctid)
        told = pack(JobInterrupted(words, container=self._plan.ctid))
        await self._job.record("returned", msgspec.to_builtins(told))
        await self._restore()
        return error


class _CameBack(JobInterrupted):
    """The other host had it, could not start it, and says so."""


class _Refused(Exception):
    """The other host says no, and has nothing of the container."""

    def __init__(self, why: OmsError) -> None:
        super().__init__()
        self.why = why
