"""The side that a machine leaves; it decides. See the room's `__init__` for the steps."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from oms import durable
from oms.agent import placing
from oms.agent.context import Host, breaks_off
from oms.agent.guests import Machines
from oms.agent.host import files, qemu_img
from oms.agent.images.handlers import lease
from oms.agent.kvm import removal
from oms.agent.kvm.conditions import machines_of
from oms.agent.kvm.handlers import delete_disks, end_and_forget
from oms.agent.moving import files as sent
from oms.agent.moving import rules, sockets
from oms.agent.moving.words import (
    STREAM,
    Abort,
    Being,
    Commit,
    Dropped,
    FromHere,
    Here,
    Medium,
    Offer,
    Ready,
    Refused,
    Sent,
    Whole,
)
from oms.agent.passage.crossing import Crossing
from oms.agent.passage.passages import Passages
from oms.agent.passage.stream import Cut, Stream
from oms.contract.errors import (
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
from oms.contract.internal import ReceiveMachine
from oms.contract.kvm import migration as api
from oms.contract.operation import HostOperation

handlers: Handlers[Host] = Handlers()
TELL_SECONDS = 30.0
"""For telling it that the machine stays."""
AGAIN_SECONDS = 1.0
NONCE_BYTES = 16
MOVED = 90.0
"""Percent of the work that is done when the machine is over there."""


class Plan(msgspec.Struct, frozen=True):
    """What leaves, and how it was."""

    uuid: str
    name: str
    being: Being
    autostart: bool
    memory_kb: int
    nonce: str
    media: tuple[tuple[Medium, str], ...]
    """With each one's file on this host."""


@handlers.handles(api.MigrateVm)
async def migrate_vm(op: api.MigrateVm, host: Host) -> int:
    """Broken off, it is gone on with from what was written down."""
    if host.passages is None:
        raise NotSupported("This host's agent has no way to other hosts.")
    machines, job = machines_of(host), host.job
    if (recalled := job.recall("plan")) is None:
        recalled = msgspec.to_builtins(await _planned(op, host, machines))
        await job.record("plan", recalled)
    plan = msgspec.convert(recalled, Plan)
    job.note("target", op.target_hostname)
    job.note("uuid", plan.uuid)
    names = [medium.name for medium, _ in plan.media if medium.kind == "image" and medium.at_home]
    async with host.leases.hold(job, alone=[lease(name) for name in names]):
        return await _Leaving(plan, host, machines, host.passages).run()


async def _planned(op: api.MigrateVm, host: Host, machines: Machines) -> Plan:
    machine = await machines.find(op.kvm_vm_name)
    being = rules.being(machine)
    rules.check_can_leave(machine, await machines.snapshots(machine.uuid))
    media = []
    for medium, file in rules.media(machine, host.storage):
        media.append((await _measured(medium, file, being), str(file)))
    memory = machine.live.max_memory_kb if machine.live else 0
    nonce = secrets.token_hex(NONCE_BYTES)
    return Plan(machine.uuid, machine.name, being, machine.autostart, memory, nonce, tuple(media))


async def _measured(medium: Medium, file: Path, being: Being) -> Medium:
    """With its sizes. Raises Unusable."""
    if medium.kind == "iso":
        return medium
    if medium.kind == "seed":
        with placing.told(file.parent):
            size = file.stat().st_size
        return msgspec.structs.replace(medium, size_bytes=size, used_bytes=size)
    found = await qemu_img.info(file, medium.format, limits=None)
    if being == "off":
        rules.check_whole(medium, found.backing_filename)
    used = found.virtual_size if found.backing_filename else found.actual_size
    return msgspec.structs.replace(medium, size_bytes=found.virtual_size, used_bytes=used)


class _Leaving:
    """One run of the job."""

    def __init__(self, plan: Plan, host: Host, machines: Machines, passages: Passages) -> None:
        self._plan, self._host, self._job, self._machines = plan, host, host.job, machines
        self._passages = passages
        self._words: Stream | None = None

    async def run(self) -> int:
        plan, job = self._plan, self._job

        def there(certificate: str) -> HostOperation[Any]:
            return ReceiveMachine(plan.name, plan.uuid, job.id, certificate)

        async with self._passages.crossing(job, there) as crossing:
            if not job.recall("commit"):
                await self._hand_over(crossing)
            return await self._conclude(crossing)

    # --- until it is over there

    async def _hand_over(self, crossing: Crossing) -> None:
        """Returns when `commit` is written down. Raises, with all as it was, where the machine stays."""
        try:
            await self._go_on_or_begin(crossing)
        except OmsError as error:
            if breaks_off(error):
                raise
            if not self._job.recall("failed"):
                await self._job.record("failed", msgspec.to_builtins(pack(error)))
            await self._take_back(crossing)
            raise
        await self._job.record("commit", True)

    async def _go_on_or_begin(self, crossing: Crossing) -> None:
        if self._job.recall("handing") is not None and self._plan.being != "off":
            await self._machines.settle(self._plan.uuid)
            if await self._has_left():
                return
        if failed := self._job.recall("failed"):
            raise unpack(msgspec.convert(failed, WireError))
        if self._job.resumed:
            async with self._job.cancellable():
                pass
            raise JobInterrupted(
                f"The move of machine {self._plan.name!r} was broken off in its midst: it stays here.",
                machine=self._plan.name,
            )
        async with self._job.cancellable():
            ready = await self._offered(crossing)
            await self._job.record("handing", list(ready.copied))
            await self._send(crossing, ready)

    async def _offered(self, crossing: Crossing) -> Ready:
        """What the other host has answered."""
        portable = await self._machines.portable(self._plan.uuid)
        async with self._proof():
            self._words = words = await crossing.met(STREAM, self._job)
            plan = self._plan
            await words.say(
                Offer(
                    self._job.id,
                    plan.being,
                    portable.live,
                    portable.kept,
                    plan.autostart,
                    plan.memory_kb,
                    tuple(medium for medium, _ in plan.media),
                    str(self._host.storage.images),
                    plan.nonce,
                )
            )
            ready: Ready = await self._heard(words, Ready)
            return ready

    @contextlib.asynccontextmanager
    async def _proof(self) -> AsyncIterator[None]:
        """What only a host with the very same directory of images can read."""
        images = self._host.storage.images
        with placing.told(images):
            staging = await asyncio.to_thread(files.open_staging, images, self._job.id)
            await asyncio.to_thread(durable.write_whole, staging / "nonce", self._plan.nonce.encode())
        try:
            yield
        finally:
            await placing.remove(images, self._job)

    async def _heard(self, words: Stream, *wanted: type[Any]) -> Any:
        answer: FromHere = await words.hear(FromHere)
        if isinstance(answer, Refused):
            refusal = unpack(answer.error)
            raise FuncManError(refusal.message) if breaks_off(refusal) else refusal
        if not isinstance(answer, wanted):
            raise Cut("The other host says something else than what was asked")
        return answer

    async def _send(self, crossing: Crossing, ready: Ready) -> None:
        if self._plan.autostart:
            await self._machines.set_autostart(self._plan.uuid, on=False)
        off = self._plan.being == "off"
        for medium, file in self._plan.media:
            if medium.target in ready.copied and (off or medium.kind == "seed"):
                stream = await crossing.open(f"file {medium.target}")
                with contextlib.suppress(Cut):  # the other host says why, in the answer to the next words
                    await sent.send(stream, Path(file), lambda percent: self._job.progress(percent * MOVED / 100))
        assert self._words is not None
        await self._words.say(Sent())
        await self._heard(self._words, Whole)
        if off:
            await self._check_still_off()
        else:
            await self._send_running(crossing, ready)

    async def _send_running(self, crossing: Crossing, ready: Ready) -> None:
        disks = {medium.target for medium, _ in self._plan.media if medium.kind == "image"}
        copied = tuple(target for target in ready.copied if target in disks)
        place = self._host.storage.sockets
        async with (
            sockets.directory(place, self._job.id, self._machines) as directory,
            sockets.leaving(directory, crossing, self._machines),
        ):
            await self._machines.send_away(
                self._plan.uuid,
                ready.definition,
                directory,
                copied,
                lambda percent: self._job.progress(percent * MOVED / 100),
            )
        if not await self._has_left():
            raise FuncManError(f"Machine {self._plan.name!r} ended here while it was being moved: it stays here")

    async def _has_left(self) -> bool:
        return await self._machines.has_left(self._plan.uuid)

    async def _check_still_off(self) -> None:
        if (await self._machines.find(self._plan.uuid)).live is not None:
            raise FuncManError(
                f"Machine {self._plan.name!r} was started while it was being moved, by somebody else than OMS: it "
                "stays here"
            )

    async def _take_back(self, crossing: Crossing) -> None:
        """The machine stays: it is as it was, and the other host drops what came."""
        plan = self._plan
        if self._job.recall("handing") is not None:
            with contextlib.suppress(NoSuchMachine):
                machine = await self._machines.find(plan.uuid)
                if plan.being == "running" and machine.state == "paused":
                    await self._machines.resume(plan.uuid)
                if plan.autostart:
                    await self._machines.set_autostart(plan.uuid, on=True)
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await self._tell_to_drop(crossing)
        except TimeoutError:
            self._job.note(
                "other side", "it could not be told that the machine stays; it asks OMS for that itself"
            )

    async def _tell_to_drop(self, crossing: Crossing) -> None:
        while True:
            try:
                words = self._words or await crossing.open(STREAM)
                await words.say(Abort())
                await self._heard(words, Dropped)
            except OmsError as error:
                if "there" in error.data:
                    return  # it has ended by itself
                self._words = None
                with contextlib.suppress(OmsError):
                    if await crossing.call_off():
                        return
            else:
                return
            await asyncio.sleep(AGAIN_SECONDS)

    # --- after that

    async def _conclude(self, crossing: Crossing) -> int:
        if not self._job.recall("here"):
            self._job.progress(MOVED)
            await self._ask_on(crossing)
            await self._job.record("here", True)
        plan = await self._removal()
        for path, why in plan.kept.items():
            self._job.note(f"disk {path}", f"kept here, because {why}")
        await end_and_forget(self._machines, plan.uuid)
        if plan.disks:
            await delete_disks(plan, self._host, self._machines)
        return 0

    async def _ask_on(self, crossing: Crossing) -> None:
        """Returns when the machine is kept there. Raises where it is certain that it will not be."""
        while True:
            try:
                await self._committed(crossing)
            except (_Returned, HypervisorUnavailable):
                raise
            except OmsError as error:
                self._words = None
                self._job.note("waits", f"for the other host to say that the machine is there: {error.message}")
            else:
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def _committed(self, crossing: Crossing) -> None:
        try:
            words = self._words or await crossing.open(STREAM)
        except OmsError as error:
            if error.data.get("there") == "done":
                return
            if "there" in error.data:
                raise await self._returned(error) from error
            raise
        await words.say(Commit())
        answer: FromHere = await words.hear(FromHere)
        if isinstance(answer, Refused):
            raise await self._returned(unpack(answer.error))
        if not isinstance(answer, Here):
            raise Cut("The other host says something else than what was asked")

    async def _returned(self, why: OmsError) -> "_Returned":
        """The other host has lost it, and has nothing of it any more: it is off here, with its disks."""
        if self._plan.autostart:
            await self._machines.set_autostart(self._plan.uuid, on=True)
        return _Returned(
            f"Machine {self._plan.name!r} was over there and was lost before it went on, as by a power cut: it is "
            f"off, on the host that it came from, with its disks. The other host says: {why.message}",
            machine=self._plan.name,
        )

    async def _removal(self) -> removal.Plan:
        """What goes here: the machine, and of its disks those that were copied."""
        if (recalled := self._job.recall("gone")) is not None:
            return msgspec.convert(recalled, removal.Plan)
        uuid = self._plan.uuid
        everything = await self._machines.all()
        mine = [machine for machine in everything if machine.uuid == uuid]
        others = [machine for machine in everything if machine.uuid != uuid]
        plan = removal.Plan(uuid, self._plan.name, [], {})
        if mine:
            plan = await asyncio.to_thread(removal.plan, mine[0], others, self._host.storage.images)
        copied = set(self._job.recall("handing") or ())
        shared = {file for medium, file in self._plan.media if medium.target not in copied}
        plan = msgspec.structs.replace(plan, disks=[disk for disk in plan.disks if disk.path not in shared])
        await self._job.record("gone", msgspec.to_builtins(plan))
        return plan


class _Returned(JobInterrupted):
    """The other host had it, lost it, and says so."""
