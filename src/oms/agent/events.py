"""What the agent tells of itself: how its jobs stand, its facts, its guests, its host's figures. Best effort:
whatever is lost is asked for, or told again soon.

How a job ended is told at once. Progress is gathered first, so that a busy job makes few messages of many steps.
"""

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from oms.bus.call import encode
from oms.bus.wire import AgentWire, WireError
from oms.contract.internal import Figures, GuestNews, HostFacts, JobState

log = structlog.get_logger("oms.agent")
GATHER_SECONDS = 0.2
PUBLISH_SECONDS = 5.0
LARGEST_EVENT_BYTES = 256 * 1024
"""How a job ended is not told where that is larger: it is asked for."""
ASK_ANEW = 0
"""The number of news that are too large to be told: it follows upon none, so whoever hears it asks for all."""


class Events:
    """Publishes on whatever wire there is at the moment. Nothing here raises or waits for the bus."""

    def __init__(self) -> None:
        self._wire: AgentWire | None = None
        self._jobs: dict[str, JobState] = {}
        self._facts: HostFacts | None = None
        self._news: list[GuestNews] = []
        self._figures: Figures | None = None
        self._job_ended: Callable[[], None] = lambda: None
        self._something = asyncio.Event()
        self._urgent = asyncio.Event()
        self._telling = asyncio.Lock()

    def on_job_ended(self, callback: Callable[[], None]) -> None:
        """Call back whenever a job has ended."""
        self._job_ended = callback

    def use(self, wire: AgentWire | None) -> None:
        """Publish there from now on; nowhere with None."""
        self._wire = wire

    def job(self, state: JobState, *, urgent: bool) -> None:
        """A job stands so; only the last word of each job is told."""
        self._jobs.pop(state.id, None)
        self._jobs[state.id] = state
        self._something.set()
        if urgent:
            self._urgent.set()
            self._job_ended()

    def facts(self, facts: HostFacts) -> None:
        """The host is so."""
        self._facts = facts
        self._something.set()
        self._urgent.set()

    def guests(self, news: GuestNews) -> None:
        """Those guests have changed. Each is told: who has missed one sees it by the next one's number."""
        if self._wire is None:
            return
        self._news.append(news)
        self._something.set()
        self._urgent.set()

    def figures(self, figures: Figures) -> None:
        """The host does this much; only the last word is told."""
        self._figures = figures
        self._something.set()

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            await self._something.wait()
            self._something.clear()
            self._urgent.clear()
            await self._tell_all()
            try:
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._urgent.wait()
            except TimeoutError:
                pass

    async def flush(self) -> None:
        """Publish what is left now; return when that is done, and what was on its way already."""
        await self._tell_all()

    async def _tell_all(self) -> None:
        async with self._telling:
            jobs, self._jobs = self._jobs, {}
            facts, self._facts = self._facts, None
            figures, self._figures = self._figures, None
            news, self._news = self._news, []
            for state in jobs.values():
                payload = encode(state)
                if len(payload) <= LARGEST_EVENT_BYTES:
                    await self._publish("job", payload)
                elif state.state == "running":
                    await self._publish("job", encode(msgspec.structs.replace(state, notes={})))
            if facts is not None:
                await self._publish("facts", encode(facts))
            for some in news:
                if len(payload := encode(some)) > LARGEST_EVENT_BYTES:
                    payload = encode(GuestNews(some.stamp, ASK_ANEW, some.kind))
                await self._publish("guests", payload)
            if figures is not None:
                await self._publish("figures", encode(figures))

    async def _publish(self, topic: str, payload: bytes) -> None:
        if self._wire is None:
            return
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._wire.publish(topic, payload)
        except (WireError, TimeoutError) as lost:
            log.debug("event not sent", topic=topic, why=str(lost))
