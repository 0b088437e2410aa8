"""Containers through LXC: the port's methods. Whatever a program's exit status is, what became of it is read
back."""

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import structlog

from oms import background, durable
from oms.agent.guests import Capacity, Change, Stat, Use
from oms.agent.guests.containers import (
    Container,
    ContainerCapabilities,
    ContainerChange,
    ContainerState,
    IdMap,
    NewContainer,
    outside,
)
from oms.agent.guests.joined import Joined
from oms.agent.guests.lxc import boot, cgroups, disks, images, making, programs, sources
from oms.agent.guests.lxc.changing import Changing
from oms.agent.guests.lxc.ends import ended
from oms.agent.guests.lxc.looking import CONFIG, Looking, Seen, condition
from oms.agent.guests.system_files import set_hostname, set_password, set_resolver
from oms.agent.guests.watching import Watching
from oms.agent.host.files import STAGING
from oms.agent.host.foreign_root import Unfit
from oms.agent.host.memory import available_memory_kb, total_memory_kb
from oms.contract.errors import AlreadyThere, ContainerIsOff, FuncManError, HypervisorUnavailable, OmsError

log = structlog.get_logger("oms.agent.guests")
END_SECONDS = 10.0
"""For the monitor of a container that was killed to clear up."""
WATCH_SECONDS = 2.0
"""Two readings of the kernel, a millisecond together: LXC tells of changes only through a further daemon."""


class LxcContainers:
    """The containers of one of LXC's paths; see the Protocol `Containers` for what each method does."""

    def __init__(self, path: Path, ids: IdMap) -> None:
        """`ids` of new ones."""
        self.home = path
        self._ids = ids
        self._online = tuple(sorted(os.sched_getaffinity(0)))
        self._looking = Looking(path, self._online)
        self._watching = Watching(lambda: asyncio.to_thread(self._looking.running), WATCH_SECONDS)
        self._states = Joined(self._ask_states)
        self._limiter = disks.Limiter("", "that was not looked at yet")
        self._changing = Changing(path, self._looking, self._online)
        self._booting: asyncio.Task[None] | None = None

    @property
    def capabilities(self) -> ContainerCapabilities:
        """What LXC can do on this host."""
        return ContainerCapabilities(
            backend="lxc",
            pause=True,
            disk_limit=self._limiter.kind,
            why_no_disk_limit=self._limiter.why_not,
            ids=self._ids,
            swap=cgroups.swap_is_counted(),
        )

    async def begin(self) -> None:
        """See what this host can do. Raises OSError where LXC's path cannot be used."""
        self.home.mkdir(mode=0o711, exist_ok=True)
        if self._ids:  # the users of containers pass through here to their own files
            self.home.chmod(self.home.stat().st_mode & 0o777 | 0o111)
        self._limiter = await disks.limiter(self.home)
        await self._mount_all()
        if why := await sources.check():
            log.warning("containers may send from addresses of others", why=why, get="apt-get install nftables")
        if boot.is_ours(self.home) and await asyncio.to_thread(boot.is_new, self.home):
            self._booting = asyncio.create_task(self._start_with_host())

    async def _mount_all(self) -> None:
        """What is in images is seen from the beginning, whether its container runs or not."""
        for ctid, config in await asyncio.to_thread(self._looking.configs):
            if config.ours:
                try:
                    await images.tidy(self.home / ctid)
                except OmsError as error:
                    log.error("a container's disk is not to be seen", container=ctid, why=error.message)  # noqa: TRY400 - no bug

    async def started_with_host(self) -> None:
        """Wait for what is being started because the host has booted."""
        if self._booting is not None:
            await asyncio.wait((self._booting,))

    async def _start_with_host(self) -> None:
        for ctid in boot.in_order(await asyncio.to_thread(self._looking.configs)):
            try:
                await self.start(ctid)
            except OmsError as error:
                log.error("a container did not start with its host", container=ctid, why=error.message)  # noqa: TRY400 - no bug
            else:
                log.info("a container was started with its host", container=ctid)

    async def close(self) -> None:
        """Nothing is held but the watch."""
        await background.ended(self._booting)
        await self._watching.close()

    def on_change(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call back in the event loop at each change; those made by others are seen within seconds."""
        return self._watching.listen(callback)

    async def states(self) -> list[ContainerState]:
        """All containers, in one pass."""
        return await self._states()

    async def use(self, wanted: frozenset[Stat]) -> dict[str, Use]:
        """What they use, in one pass; btrfs is asked once for all of its quotas."""
        subvolumes = await disks.uses(self.home) if "df" in wanted and self._limiter.kind == "subvolume" else {}
        return await asyncio.to_thread(
            self._looking.uses, wanted, subvolumes, total_memory_kb(), time.monotonic_ns()
        )

    async def addresses(self) -> dict[str, tuple[str, ...]]:
        """All of each, in one pass."""
        return await asyncio.to_thread(self._looking.addresses)

    async def capacity(self) -> Capacity:
        """What this host has for containers now."""
        cpus = len(self._online)
        return Capacity(cpus=cpus, max_vcpus=cpus, available_memory_kb=available_memory_kb())

    async def find(self, ctid: str, /) -> Container:
        """The container of that id."""
        return await asyncio.to_thread(lambda: self._looking.container(self._looking.one(ctid)))

    async def start(self, ctid: str, /) -> None:
        """Start it, as a unit of systemd's where that runs."""
        seen = await asyncio.to_thread(self._made_ready, ctid)
        if seen.process is not None:
            if condition(seen) == "paused":
                await self.resume(ctid)
        else:
            await images.ready(self.home / ctid)
            if seen.runs and not await self._is_off(ctid, END_SECONDS):
                raise FuncManError(f"Container {ctid} is just ending, and does not come to it", container=ctid)
            try:
                await programs.start(self.home, ctid, lambda: self._has_begun(ctid), ours=seen.config.ours)
            except FuncManError as error:
                await self._see_off(ctid, error)
        self._watching.look()

    async def stop(self, ctid: str, /) -> None:
        """Kill what runs in it."""
        if (await self._seen(ctid)).runs:
            said = await programs.stop(self.home, ctid)
            if not await self._is_off(ctid, END_SECONDS):
                raise FuncManError(f"Container {ctid} was killed, and does not end: {said}", container=ctid)
        self._watching.look()

    async def ask_off(self, ctid: str, /) -> None:
        """Have its init shut it down."""
        if (await self._seen(ctid)).runs:
            await programs.ask_off(self.home, ctid)

    async def goes_off(self, ctid: str, /, *, seconds: float) -> bool:
        """Wait for its first process to end, and for its monitor to clear up."""
        end = time.monotonic() + seconds
        seen = await self._seen(ctid)
        if seen.process is not None and not await ended(seen.process.pid, seconds):
            return False
        return await self._is_off(ctid, max(end - time.monotonic(), 1.0))

    async def pause(self, ctid: str, /) -> None:
        """Have it stand still."""
        await self._freeze(ctid, still=True)

    async def resume(self, ctid: str, /) -> None:
        """Let it go on."""
        await self._freeze(ctid, still=False)

    async def set_autostart(self, ctid: str, /, *, on: bool) -> None:
        """LXC's own service starts those of its usual path with the host, `boot` those of others."""
        await self.configure(ctid, ContainerChange(onboot=on))

    async def configure(self, ctid: str, change: ContainerChange, /) -> None:
        """Change what it starts with next."""
        await self._changing.configure(await self._seen(ctid), change)

    async def set_live(self, ctid: str, change: ContainerChange, /) -> dict[str, str]:
        """Change a running one."""
        return await self._changing.set_live(await self._running(ctid), change)

    async def prepare(self, job: str, disk_kb: int, /) -> Path:
        """A directory, a subvolume or a mounted image in LXC's path."""
        return await disks.make(self.home, job, self._limiter, disk_kb)

    async def discard(self, job: str, /) -> None:
        """Take it away."""
        await disks.remove(disks.staging(self.home, job))

    async def create(self, job: str, new: NewContainer, /) -> None:
        """Complete what the job prepared where it lies, then rename it into its place."""
        if (self.home / new.ctid / CONFIG).exists():
            if (await self._seen(new.ctid)).config.job == job:
                return
            raise AlreadyThere(f"There is a container {new.ctid} already: choose another id", container=new.ctid)
        place = disks.staging(self.home, job)
        if not (place / images.ROOTFS).is_dir():
            raise FuncManError("Nothing was prepared for that container", container=new.ctid)
        await images.mount(place)  # the host may have booted since it was prepared
        try:
            await asyncio.to_thread(self._complete, place, job, new)
            disks.into_place(self.home, job, new.ctid)
        except Unfit as unfit:
            raise FuncManError(f"The root file system cannot be used: {unfit}", container=new.ctid) from unfit
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                raise AlreadyThere(
                    f"There is something called {new.ctid} already: choose another id", container=new.ctid
                ) from error
            raise FuncManError(f"Container {new.ctid} cannot be made: {error.strerror}") from error
        self._watching.look()

    async def destroy(self, ctid: str, /) -> None:
        """It leaves the list in one step, and is then deleted; one that is not ours is LXC's own to remove."""
        seen = await self._seen(ctid)
        if seen.runs:
            raise FuncManError(f"Container {ctid} runs, and only one that is off is removed", container=ctid)
        if not seen.config.ours or seen.config.rootfs != self.home / ctid / images.ROOTFS:
            said = await programs.destroy(self.home, ctid)
            if ctid in await asyncio.to_thread(self._looking.running):
                raise FuncManError(f"Container {ctid} was not removed: {said}", container=ctid)
        else:
            gone = disks.out_of_place(self.home, ctid)
            try:
                await disks.remove(gone)
            except OSError as error:
                raise FuncManError(
                    f"Container {ctid} is removed, but not all of its files could be deleted: {error.strerror}",
                    container=ctid,
                ) from error
        self._watching.look()

    async def sweep(self, open_jobs: Iterable[str], /) -> list[Path]:
        """What no job will go on with, and what is left of those that were removed."""
        kept, swept = set(open_jobs), []
        for place in (self.home / STAGING).glob("*"):
            if place.name not in kept:
                with contextlib.suppress(OSError, FuncManError):
                    await disks.remove(place)
                    swept.append(place)
        return swept

    async def console(self, ctid: str, /) -> tuple[str, ...]:
        """A login, through lxc-attach."""
        await self._running(ctid)
        return programs.console(self.home, ctid)

    def _complete(self, place: Path, job: str, new: NewContainer) -> None:
        """In a thread: everything but its place."""
        rootfs, ids = place / images.ROOTFS, self._ids
        root = outside(ids, "user", 0), outside(ids, "group", 0)
        os.chown(rootfs, *root, follow_symlinks=False)
        settings = new.settings
        if new.password is not None:
            set_password(rootfs, ids, new.password)
        with contextlib.suppress(FileNotFoundError):  # there is no /etc, and so nobody to look into it
            if settings.nameservers or settings.searchdomains:
                set_resolver(rootfs, ids, settings.nameservers, settings.searchdomains)
            if settings.hostname:
                set_hostname(rootfs, ids, settings.hostname)
        target = self.home / new.ctid / images.ROOTFS
        hook = images.hook(target.parent) if images.is_there(place) else ""
        text = making.text(new, job, target, ids, self._online, swap=cgroups.swap_is_counted(), hook=hook)
        durable.write_whole(place / CONFIG, text.encode(), 0o640)
        # Its own root passes through to its files; nobody else does, who could run what is set-user-id in them.
        os.chown(place, 0, root[1])
        place.chmod(0o710)

    async def _freeze(self, ctid: str, *, still: bool) -> None:
        seen = await self._running(ctid)
        if cgroups.is_frozen(seen.groups) != still:
            said = await (programs.freeze if still else programs.thaw)(self.home, ctid)
            if cgroups.is_frozen(seen.groups) != still:
                raise FuncManError(f"Container {ctid} does not {'stand still' if still else 'go on'}: {said}")
        what: Literal["paused", "resumed"] = "paused" if still else "resumed"
        self._watching.tell(Change(ctid, ctid, what))

    async def _seen(self, ctid: str) -> Seen:
        return await asyncio.to_thread(self._looking.one, ctid)

    def _made_ready(self, ctid: str) -> Seen:
        """In a thread, for a start."""
        seen = self._looking.one(ctid)
        if seen.process is None:
            self._changing.set_uplink(seen)
        return seen

    async def _see_off(self, ctid: str, error: FuncManError) -> None:
        """After a start that failed, or took too long: raises that, when it is off. One that runs has started."""
        if await self._is_off(ctid, END_SECONDS):
            raise error
        if not await self._has_begun(ctid):
            raise HypervisorUnavailable(
                f"Whether container {ctid} starts is not known yet: {error.message}", outcome="unknown"
            ) from error

    async def _has_begun(self, ctid: str) -> bool:
        return (await self._seen(ctid)).process is not None

    async def _running(self, ctid: str) -> Seen:
        seen = await self._seen(ctid)
        if seen.process is None:
            raise ContainerIsOff(f"Container {ctid} is off; start it with start_vm first", container=ctid)
        return seen

    async def _is_off(self, ctid: str, seconds: float) -> bool:
        """Whether its monitor has gone within so many seconds: nobody tells when."""
        end = time.monotonic() + seconds
        while (await self._seen(ctid)).runs:
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.01)
        return True

    async def _ask_states(self) -> list[ContainerState]:
        return await asyncio.to_thread(self._looking.states)
