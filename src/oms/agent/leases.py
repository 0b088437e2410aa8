"""Who holds what: the images, templates and volumes that a job works with besides its own target.

Jobs of one machine follow each other by their lane. A lease is for what two lanes could want at once: one disk
image for two machines, one template for two deployments. Whoever holds it is named to those who wait, and it ends
with the job, or with the agent.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol


class Holder(Protocol):
    """A job, as far as leases go."""

    id: str

    def note(self, key: str, text: str) -> None:
        """Say in the job's record what it waits for."""


class _Lease:
    """One thing: held by one writer, or by readers. The oldest wish comes first, so that nobody waits for ever."""

    def __init__(self) -> None:
        self.wanted = 0
        self.holders: list[str] = []
        self.alone = False
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, job: Holder, name: str, *, alone: bool) -> None:
        async with self._turn:
            while self.holders and (alone or self.alone):
                job.note(f"waited for {name}", f"job {self.holders[0]} held it")
                self._freed.clear()
                await self._freed.wait()
            self.holders.append(job.id)
            self.alone = alone

    def free(self, job: Holder) -> None:
        self.holders.remove(job.id)
        self._freed.set()


class Leases:
    """All leases of this host, by names as in `image/disk1.qcow2`."""

    def __init__(self) -> None:
        self._leases: dict[str, _Lease] = {}

    def holder(self, name: str) -> str:
        """A job that holds it, "" where none does."""
        lease = self._leases.get(name)
        return lease.holders[0] if lease and lease.holders else ""

    def names(self, front: str, *, but: Holder | None = None) -> frozenset[str]:
        """The rest of the names of all that begin so and are held, by others than `but`."""
        return frozenset(
            name.removeprefix(front)
            for name, lease in self._leases.items()
            if name.startswith(front) and any(but is None or holder != but.id for holder in lease.holders)
        )

    def held(self, front: str) -> int:
        """How many things whose names begin so are held."""
        return sum(bool(lease.holders) for name, lease in self._leases.items() if name.startswith(front))

    @asynccontextmanager
    async def hold(
        self, job: Holder, *, alone: Collection[str] = (), shared: Collection[str] = ()
    ) -> AsyncIterator[None]:
        """Wait until all of them are free, and keep them: `alone`, or `shared` with others that only read.

        A job asks for all at once, and they are taken in the order of their names, so that no two jobs ever wait
        for each other.
        """
        async with AsyncExitStack() as held:
            for name in sorted({*alone, *shared}):
                await held.enter_async_context(self._one(job, name, alone=name in alone))
            yield

    @asynccontextmanager
    async def _one(self, job: Holder, name: str, *, alone: bool) -> AsyncIterator[None]:
        lease = self._leases.setdefault(name, _Lease())
        lease.wanted += 1
        try:
            await lease.take(job, name, alone=alone)
            try:
                yield
            finally:
                lease.free(job)
        finally:
            lease.wanted -= 1
            if not lease.wanted:
                del self._leases[name]
