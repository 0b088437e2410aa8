"""Both ends of the wire inside one process: what tests and the demonstration use where no network is wanted.

It keeps the promises of `oms.bus.wire` (same errors, same limits, each request in a task of its own), and it can
break on demand: `disconnect`, `down`. Two things are simpler than on a real bus: a host that disconnects leaves
its callers with NoAnswer at once, and `publish` returns after the server's handlers ran.
"""

import asyncio
import inspect
from collections.abc import Callable

import structlog

from oms.background import Background
from oms.bus.wire import (
    MAX_EVENT_BYTES,
    MAX_PAYLOAD_BYTES,
    AgentWire,
    AnswerTooLarge,
    EventHandler,
    HostAway,
    HostBusy,
    NoAnswer,
    PresenceHandler,
    RequestHandler,
    ServerWire,
    StateHandler,
    TellHandler,
    WireDown,
    check_host_id,
    check_size,
    check_verb,
)

log = structlog.get_logger("oms.bus.local")


class LocalBus:
    """One server and any number of agents, joined by a dict."""

    def __init__(self, *, max_in_hand: int = 256) -> None:
        self.max_in_hand = max_in_hand
        self.up = True
        self.agents: dict[str, LocalAgentWire] = {}
        self.server = LocalServerWire(self)

    def agent(self, host_id: str) -> "LocalAgentWire":
        """The (new) wire of one host; the host is connected as soon as it serves."""
        agent = LocalAgentWire(self, check_host_id(host_id))
        previous = self.agents.get(host_id)
        if previous is not None:
            previous.set_connected(connected=False, reason="replaced by a new agent")
        self.agents[host_id] = agent
        return agent

    def disconnect(self, host_id: str, reason: str = "connection lost") -> None:
        """Break the host's connection: requests in flight end with NoAnswer, new ones with HostAway."""
        self.agents[host_id].set_connected(connected=False, reason=reason)

    def reconnect(self, host_id: str) -> None:
        """Let the host come back after `disconnect`, unless it was cut off."""
        self.agents[host_id].set_connected(connected=True, reason="connect")

    def down(self) -> None:
        """The bus is gone: every request and event raises WireDown, every host is away."""
        for agent in self.agents.values():
            agent.set_connected(connected=False, reason="bus down")
        self.up = False

    def restore(self) -> None:
        """The bus is there again, and all hosts with it."""
        self.up = True
        for agent in self.agents.values():
            agent.set_connected(connected=True, reason="connect")


class LocalServerWire(ServerWire):
    """OMS's end of a LocalBus."""

    def __init__(self, bus: LocalBus) -> None:
        self._bus = bus
        self._on_event: list[EventHandler] = []
        self._on_presence: list[PresenceHandler] = []

    async def request(
        self,
        host_id: str,
        verb: str,
        payload: bytes,
        timeout: float,
        *,
        harmless: bool = False,  # noqa: ARG002 - nothing is lost here
    ) -> bytes:
        """See ServerWire."""
        check_host_id(host_id)
        check_verb(verb)
        check_size(f"request {verb}", payload)
        if not self._bus.up:
            raise WireDown("the bus is down")
        agent = self._bus.agents.get(host_id)
        if agent is None or not agent.connected:
            raise HostAway(f"host {host_id} is not connected")
        answer = agent.accept(verb, payload)
        try:
            async with asyncio.timeout(timeout):
                return await answer
        except TimeoutError:
            raise NoAnswer(f"no answer from host {host_id} to {verb} within {timeout:g} s") from None

    def on_event(self, handler: EventHandler) -> None:
        """See ServerWire."""
        self._on_event.append(handler)

    def on_presence(self, handler: PresenceHandler) -> None:
        """See ServerWire."""
        self._on_presence.append(handler)

    @property
    def connected(self) -> bool:
        """See ServerWire."""
        return self._bus.up

    def connected_hosts(self) -> frozenset[str]:
        """See ServerWire."""
        return frozenset(host for host, agent in self._bus.agents.items() if agent.connected)

    def awaited(self, host_id: str) -> float:  # noqa: ARG002
        """See ServerWire. There are no nodes here."""
        return 0.0

    async def cut_off(self, host_id: str) -> bool:
        """See ServerWire. A host that was cut off gets a new `LocalBus.agent` when it is signed again."""
        agent = self._bus.agents.pop(host_id, None)
        if agent is not None:
            agent.set_connected(connected=False, reason="cut off")
        return self._bus.up

    def tell(self, topic: str, payload: bytes) -> None:
        """See ServerWire. There is no other server here."""

    def on_told(self, handler: TellHandler) -> None:
        """See ServerWire."""

    def on_missed(self, handler: Callable[[], None]) -> None:
        """See ServerWire."""

    async def close(self) -> None:
        """See ServerWire."""
        for agent in self._bus.agents.values():
            agent.drop_answers("OMS left the bus")

    async def receive(self, host_id: str, topic: str, payload: bytes) -> None:
        """An event has arrived; a handler that breaks must not hurt the host that sent it."""
        for handler in self._on_event:
            try:
                done = handler(host_id, topic, payload)
                if inspect.isawaitable(done):
                    await done
            except Exception:
                log.exception("an event handler broke", host_id=host_id, topic=topic)

    def presence(self, host_id: str, *, connected: bool, reason: str) -> None:
        """A host has come or gone."""
        for handler in self._on_presence:
            handler(host_id, connected, reason)


class LocalAgentWire(AgentWire):
    """One host's end of a LocalBus."""

    def __init__(self, bus: LocalBus, host_id: str) -> None:
        self.host_id = host_id
        self.connected = False
        self._bus = bus
        self._handler: RequestHandler | None = None
        self._on_state: list[StateHandler] = []
        self._tasks = Background()
        self._answers: set[asyncio.Future[bytes]] = set()

    def serve(self, handler: RequestHandler) -> None:
        """See AgentWire. The host counts as connected from here on."""
        if self._handler is not None:
            raise RuntimeError("this agent serves already")
        self._handler = handler
        self.set_connected(connected=True, reason="connect")

    async def publish(self, topic: str, payload: bytes) -> None:
        """See AgentWire."""
        check_verb(topic)
        check_size(f"event {topic}", payload, MAX_EVENT_BYTES)
        if not self.connected:
            raise WireDown(f"host {self.host_id} has no connection to the bus")
        await self._bus.server.receive(self.host_id, topic, payload)

    def on_state(self, handler: StateHandler) -> None:
        """See AgentWire."""
        self._on_state.append(handler)
        if self.connected:
            handler(True)

    async def close(self) -> None:
        """See AgentWire."""
        self.set_connected(connected=False, reason="agent closed")
        await self._tasks.end()
        if self._bus.agents.get(self.host_id) is self:
            del self._bus.agents[self.host_id]

    def set_connected(self, *, connected: bool, reason: str) -> None:
        """Come or go; both ends hear of it once."""
        present = connected and self._bus.up and self._handler is not None
        if present == self.connected:
            return
        self.connected = present
        if not present:
            self.drop_answers(f"host {self.host_id}: {reason}")
        for handler in self._on_state:
            handler(present)
        self._bus.server.presence(self.host_id, connected=present, reason=reason)

    def drop_answers(self, reason: str) -> None:
        """Nobody will carry the answers of the requests in hand; the requests themselves run on."""
        for answer in tuple(self._answers):
            if not answer.done():
                answer.set_exception(NoAnswer(reason))

    def accept(self, verb: str, payload: bytes) -> asyncio.Future[bytes]:
        """Begin one request in a task of its own; the future is its answer."""
        if len(self._tasks) >= self._bus.max_in_hand:
            raise HostBusy(f"host {self.host_id} has {len(self._tasks)} requests in hand")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._tasks.begin(self._run(verb, payload, answer))
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)
        return answer

    async def _run(self, verb: str, payload: bytes, answer: asyncio.Future[bytes]) -> None:
        """What the handler answers, or why it cannot be carried, into the future."""
        assert self._handler is not None
        failure: NoAnswer
        try:
            reply = await self._handler(verb, payload)
        except Exception:
            log.exception("a request broke", host_id=self.host_id, verb=verb)
            failure = NoAnswer(f"host {self.host_id} broke while it ran {verb}")
        else:
            if answer.done():
                return
            if len(reply) <= MAX_PAYLOAD_BYTES:
                answer.set_result(reply)
                return
            failure = AnswerTooLarge(f"the answer to {verb} holds {len(reply)} bytes")
        if not answer.done():
            answer.set_exception(failure)
