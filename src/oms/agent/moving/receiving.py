"""The side that a machine comes to; it does as it is told. See the room's `__init__` for the steps."""

import asyncio
import contextlib
from pathlib import Path

import msgspec
import structlog

from oms.agent import placing, shelf
from oms.agent.context import Host, breaks_off
from oms.agent.guests import Machine, Machines
from oms.agent.guests.moves import Admission
from oms.agent.host import files, links, qemu_img, space
from oms.agent.images import catalogue, foreign, use
from oms.agent.images.handlers import lease
from oms.agent.kvm import seeds
from oms.agent.kvm.conditions import machines_of
from oms.agent.moving import domain, sockets
from oms.agent.moving import files as sent
from oms.agent.moving.domain import Place
from oms.agent.moving.words import (
    STREAM,
    Abort,
    Being,
    Commit,
    Dropped,
    FromThere,
    Here,
    Medium,
    Offer,
    Ready,
    Refused,
    Sent,
    Whole,
)
from oms.agent.passage.gate import Gate
from oms.agent.passage.passages import Passages
from oms.agent.passage.stream import Cut, Stream
from oms.background import ended
from oms.contract.errors import (
    AlreadyThere,
    FuncManError,
    InUse,
    JobCancelled,
    JobInterrupted,
    NoMemory,
    NoSuchMachine,
    NotSupported,
    NotThere,
    OmsError,
    WireError,
    pack,
    unpack,
)
from oms.contract.handlers import Handlers
from oms.contract.internal import ReceiveMachine

handlers: Handlers[Host] = Handlers()
log = structlog.get_logger("oms.agent")
SILENT_SECONDS = 60.0
"""After so long without the other host, what is not whole here is dropped."""
ROOM_PERCENT = 101
"""Of a disk's size, that a file that holds all of it may have: qcow2 has tables besides."""
ROOM_BYTES = 16 * 1024 * 1024


class Coming(msgspec.Struct, frozen=True):
    """What comes: its definitions for this host, and of its drives those whose files come too, with paths."""

    being: Being
    live: str
    kept: str
    autostart: bool
    copied: tuple[tuple[Medium, str], ...]


@handlers.handles(ReceiveMachine)
async def receive_machine(op: ReceiveMachine, host: Host) -> int:
    """Broken off, it is gone on with from what was written down."""
    if host.passages is None:
        raise NotSupported("This host's agent has no way to other hosts.")
    receiving = _Receiving(op, host, machines_of(host), host.passages)
    if host.job.recall("committed"):
        return await receiving.finish()
    if (dropped := host.job.recall("dropped")) is not None:
        await receiving.drop()
        raise unpack(msgspec.convert(dropped, WireError))
    if not host.job.resumed:
        await receiving.check_free()
    async with host.passages.gate(host.job, op.certificate) as gate, receiving:
        await host.job.answer(0)
        return await receiving.attend(gate)


class _Receiving(contextlib.AsyncExitStack):
    """One run of the job; as a context, what is open for it."""

    def __init__(self, op: ReceiveMachine, host: Host, machines: Machines, passages: Passages) -> None:
        super().__init__()
        self._op, self._host, self._job, self._machines = op, host, host.job, machines
        self._images, self._passages = host.storage.images, passages
        self._coming: dict[str, asyncio.Task[None]] = {}
        """The files that are on their way, by target."""

    # --- what is said

    async def attend(self, gate: Gate) -> int:
        """Do as the other host says, until the machine is here for good, or dropped."""
        while True:
            words = await self._next_words(gate)
            with contextlib.suppress(Cut):
                while await self._obeyed(words, gate):
                    pass
                return 0

    async def _next_words(self, gate: Gate) -> Stream:
        while True:
            try:
                async with asyncio.timeout(SILENT_SECONDS):
                    return await gate.stream(STREAM)
            except TimeoutError:
                if await self._is_whole() and not await self._passages.stays_there(self._job):
                    continue
                gone = JobInterrupted(
                    "The other host was not heard of any more: what came of the machine is dropped"
                )
                await self._give_up(gone)
                raise gone from None

    async def _obeyed(self, words: Stream, gate: Gate) -> bool:
        """Whether there is more to come."""
        word: FromThere = await words.hear(FromThere)
        match word:
            case Offer() as offer:
                await words.say(await self._answered(offer, gate, words))
            case Sent():
                await self._take_files(words)
                await words.say(Whole())
            case Commit():
                await self._commit(words)
                await words.say(Here())
                return False
            case Abort():
                stays = JobCancelled(
                    "The machine stays where it is: what came of it is dropped.", job=self._op.job
                )
                await self._give_up(stays)
                await words.say(Dropped())
                raise stays
        return True

    async def _answered(self, offer: Offer, gate: Gate, words: Stream) -> Ready:
        try:
            if self._job.recall("coming") is not None:
                raise FuncManError("This machine was offered once already")
            coming, ready = await self._judged(offer)
            await self._hold(coming)
            await self._job.record("coming", msgspec.to_builtins(coming))
            await self._open(coming, gate)
        except OmsError as error:
            if breaks_off(error) and self._recalled() is None:  # nothing has begun that could be gone on with
                error = FuncManError(error.message)
            await self._refuse(error, words)
            raise error from None
        return ready

    async def _refuse(self, error: OmsError, words: Stream) -> None:
        if not breaks_off(error):
            await self._give_up(error)
            await words.say(Refused(pack(error)))

    # --- whether it may come

    async def check_free(self) -> None:
        """Raises AlreadyThere where there is a machine of its name or uuid."""
        for name in (self._op.kvm_vm_name, self._op.uuid):
            with contextlib.suppress(NoSuchMachine):
                await self._machines.find(name)
                raise AlreadyThere(
                    f"There is a machine {name!r} on the host that it is to go to already", machine=name
                )

    async def _judged(self, offer: Offer) -> tuple[Coming, Ready]:
        await self.check_free()
        free = (await self._machines.capacity()).available_memory_kb
        if offer.being != "off" and offer.memory_kb > free:
            raise NoMemory(
                f"The machine has {offer.memory_kb // 1024} MB of memory, and the host that it is to go to has "
                f"{free // 1024} MB left to give: nothing was changed"
            )
        places, copied = await self._places(offer)
        here = domain.Here(
            {"qemu", self._machines.capabilities.domain_type},
            await self._machines.emulator(),
            await asyncio.to_thread(links.bridges),
            await self._machines.networks(),
        )
        name, uuid = self._op.kvm_vm_name, self._op.uuid
        kept = domain.adapted(offer.kept, name, uuid, places, here)
        live = domain.adapted(offer.live, name, uuid, places, here) if offer.being != "off" else ""
        await self._machines.check_fits(live or kept)
        coming = Coming(offer.being, live, kept, offer.autostart, tuple(copied))
        return coming, Ready(live or kept, tuple(medium.target for medium, _ in copied))

    async def _places(self, offer: Offer) -> tuple[dict[str, Place], list[tuple[Medium, str]]]:
        """Where each drive's file is, or is to come."""
        same = await asyncio.to_thread(self._is_same, offer)
        places, copied = {}, []
        for medium in offer.media:
            path = self._path(medium)
            there = same and medium.kind != "iso" and medium.at_home
            if there:
                await self._check_not_anothers(path, medium)
            elif medium.kind != "iso":
                placing.refuse_taken(self._job, path)
                copied.append((medium, str(path)))
            places[medium.target] = Place(path, whole=not there)
        with placing.told(self._images):
            wanted = sum(medium.used_bytes for medium, _ in copied)
            space.require(self._images, max(wanted, 1), f"Machine {self._op.kvm_vm_name!r}")
        return places, copied

    def _path(self, medium: Medium) -> Path:
        match medium.kind:
            case "iso":
                return Path(shelf.find(self._host.storage.iso, medium.name, "ISO image").path)
            case "seed":
                return seeds.path_of(self._images, self._op.uuid)
            case _:
                return shelf.path_of(self._images, medium.name)

    def _is_same(self, offer: Offer) -> bool:
        """Whether the other host's directory of images is this one's."""
        seen = files.head(files.staging_of(self._images, offer.job) / "nonce", len(offer.nonce) + 1)
        return bool(offer.nonce) and offer.images == str(self._images) and seen == offer.nonce.encode()

    async def _check_not_anothers(self, path: Path, medium: Medium) -> None:
        found = files.own_file(path, self._images)
        if isinstance(found, files.NotOwn):
            raise NotThere(f"Disk image {medium.name} is in no drive that could come here: {found.why}")
        if who := use.by_machines(await self._machines.all()).by(found):
            raise InUse(f"Disk image {medium.name} is needed by {who} on the host that it is to go to", user=who)

    # --- while it comes

    async def _hold(self, coming: Coming) -> None:
        names = [lease(medium.name) for medium, _ in coming.copied if medium.kind == "image"]
        await self.enter_async_context(self._host.leases.hold(self._job, alone=names))

    async def _open(self, coming: Coming, gate: Gate) -> None:
        """Make room for what comes, and listen for it."""
        with placing.told(self._images):
            staging = await asyncio.to_thread(files.open_staging, self._images, self._job.id)
        off = coming.being == "off"
        for medium, path in coming.copied:
            if off or medium.kind == "seed":
                task = asyncio.create_task(self._receive(gate, medium, staging))
                self._coming[medium.target] = task
                self.push_async_callback(ended, task)
            else:
                await qemu_img.create(staging / medium.name, medium.format, medium.size_bytes)
                await catalogue.take_in(self._job, staging / medium.name, Path(path), medium.format)
        if not off:
            await self._listen(coming, gate)

    async def _listen(self, coming: Coming, gate: Gate) -> None:
        place = self._host.storage.sockets
        directory = await self.enter_async_context(sockets.directory(place, self._job.id, self._machines))
        disks = tuple(medium.target for medium, _ in coming.copied if medium.kind == "image")
        admission = Admission(self._op.kvm_vm_name, coming.live, directory, disks)
        await self.enter_async_context(sockets.receiving(gate, admission, self._machines))

    async def _receive(self, gate: Gate, medium: Medium, staging: Path) -> None:
        stream = await gate.stream(f"file {medium.target}")
        most = medium.size_bytes * ROOM_PERCENT // 100 + ROOM_BYTES
        receiving = sent.receive(stream, staging / _staged(medium), most)
        try:
            await space.while_room(staging, receiving, f"File {medium.name}")
        finally:
            stream.close()  # whoever sends it need not wait

    async def _take_files(self, words: Stream) -> None:
        try:
            await self._place_files()
        except Cut:
            raise
        except OmsError as error:
            await self._refuse(error, words)
            raise

    async def _place_files(self) -> None:
        """Give the files that have come their names."""
        coming = self._recalled()
        assert coming is not None
        await asyncio.gather(*self._coming.values())
        staging = files.staging_of(self._images, self._job.id)
        for medium, path in coming.copied:
            if medium.target in self._coming:
                await self._place(medium, staging / _staged(medium), Path(path))
        await self._job.record("whole", True)

    async def _place(self, medium: Medium, staged: Path, path: Path) -> None:
        if medium.kind == "seed":
            with placing.told(self._images):
                await asyncio.to_thread(path.parent.mkdir, mode=0o711, exist_ok=True)
            await placing.place(self._job, staged, path)
        else:
            if medium.format != "raw":  # of a raw disk all is its guest's, and nothing in it is read here
                await foreign.check(staged, medium.format)
            await catalogue.take_in(self._job, staged, path, medium.format)

    # --- how it ends

    def _recalled(self) -> Coming | None:
        recalled = self._job.recall("coming")
        return None if recalled is None else msgspec.convert(recalled, Coming)

    async def _is_whole(self) -> bool:
        """Whether all of it is here, so that it could go on."""
        coming = self._recalled()
        if coming is None:
            return False
        if coming.being == "off":
            return bool(self._job.recall("whole"))
        return await self._machines.has_arrived(self._op.uuid)

    async def _commit(self, words: Stream) -> None:
        if not await self._is_whole():
            lost = JobInterrupted("The machine is not here whole, and what came of it is dropped")
            await self._refuse(lost, words)
            raise lost
        await self._job.record("committed", True)
        await self.finish()

    async def finish(self) -> int:
        """It is here for good: keep it, and let it go on. May be repeated."""
        coming = self._recalled()
        assert coming is not None
        uuid, machines = self._op.uuid, self._machines
        machine = await self._present()
        if coming.being == "running":  # first of all: it stands still
            if machine is not None and machine.live is not None:
                await machines.resume(uuid)
            else:
                self._job.note("ended", "its process ended before it could go on: it is off, as after a power cut")
        if machine is None or machine.kept is None:
            await machines.define(coming.kept)
        if coming.autostart:
            await machines.set_autostart(uuid, on=True)
        await placing.remove(self._images, self._job)
        return 0

    async def _present(self) -> Machine | None:
        try:
            return await self._machines.find(self._op.uuid)
        except NoSuchMachine:
            return None

    async def _give_up(self, why: OmsError) -> None:
        await self._job.record("dropped", msgspec.to_builtins(pack(why)))
        await self.drop()

    async def drop(self) -> None:
        """Nothing of it stays. May be repeated."""
        await ended(*self._coming.values())
        if (coming := self._recalled()) is not None:
            machine = await self._present()
            if machine is not None and machine.kept is None:
                await self._machines.drop_arrived(self._op.uuid)
            with placing.told(self._images):
                for _, path in coming.copied:
                    await asyncio.to_thread(placing.take_back, self._job, Path(path))
        await placing.remove(self._images, self._job)


def _staged(medium: Medium) -> str:
    return f"{medium.target}-{medium.kind}"
