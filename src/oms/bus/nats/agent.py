"""A host's end of the wire over NATS.

Requests run in tasks of their own, a bounded number at once. Their answers are kept until nats-server has them and
sent again after a broken line (`oms.bus.nats.outbox`); events are sent once or not at all.
"""

import secrets
from collections.abc import Callable

import structlog

from oms.background import Background
from oms.bus.nats import answers, subjects
from oms.bus.nats.client import BUS_ERRORS, BusClient, Credentials
from oms.bus.nats.link import AGENT_TIMING, Link, LinkTiming
from oms.bus.nats.outbox import Answer, Outbox
from oms.bus.wire import (
    MAX_EVENT_BYTES,
    MAX_PAYLOAD_BYTES,
    AgentWire,
    Refused,
    RequestHandler,
    StateHandler,
    WireDown,
    check_host_id,
    check_size,
    check_verb,
)

log = structlog.get_logger("oms.bus.nats")

# After a broken line all that is kept is sent at once, most of it a second time: OMS must not take it for a flood
# (`meter`). Twice the requests in hand is all that can be worth keeping.
OUTBOX_BYTES = 16 * 1024 * 1024
OUTBOX_ANSWERS = 512


class NatsAgentWire(AgentWire):
    """See AgentWire. `serve`, then `start`; from then on it is connected whenever the bus lets it."""

    def __init__(
        self,
        host_id: str,
        servers: tuple[str, ...],
        credentials: Credentials,
        *,
        timing: LinkTiming = AGENT_TIMING,
        on_refused: Callable[[Refused], None] = lambda _refused: None,
        max_in_hand: int = 256,
        keep_answers_s: float = 30.0,
    ) -> None:
        """`servers` are host:port. `on_refused` is called for each refusal; the wire goes on trying, ever more
        slowly, until `renew` says that something has changed.
        """
        self.host_id = check_host_id(host_id)
        self._calls, self._answers = subjects.calls_of(host_id), subjects.reply_prefix(host_id)
        self._handler: RequestHandler | None = None
        self._on_state: list[StateHandler] = []
        self._on_refused = on_refused
        self._max_in_hand, self._in_hand = max_in_hand, 0
        self._tasks = Background()
        # Where answers go: a request may come, and be answered, before the link calls its connection good.
        self._line: BusClient | None = None
        self._outbox = Outbox(keep_s=keep_answers_s, most_bytes=OUTBOX_BYTES, most_answers=OUTBOX_ANSWERS)
        self._link = Link(
            servers,
            credentials,
            name=f"oms-agent-{secrets.token_hex(8)}",  # tells OMS a new agent from a new connection
            timing=timing,
            on_up=self._subscribe,
            on_change=self._changed,
            on_alive=self._outbox.round_trip,
            on_failure=self._failed,
        )

    def serve(self, handler: RequestHandler) -> None:
        """See AgentWire."""
        if self._handler is not None:
            raise RuntimeError("this agent serves already")
        self._handler = handler

    def start(self) -> None:
        """Begin to connect; returns at once."""
        if self._handler is None:
            raise RuntimeError("serve before start: a connected host must answer")
        self._link.start()

    def renew(self) -> None:
        """Connect anew and at once: there is a new certificate in the files, or OMS has signed the host."""
        self._link.renew()

    def use(self, servers: tuple[str, ...]) -> None:
        """The bus is at these (host:port) from the next connection on."""
        self._link.use(servers)

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._link.client is not None

    async def wait_connected(self) -> None:
        """Return when there is a connection."""
        await self._link.connected.wait()

    async def publish(self, topic: str, payload: bytes) -> None:
        """See AgentWire."""
        check_verb(topic)
        check_size(f"event {topic}", payload, MAX_EVENT_BYTES)
        client = self._link.client
        if client is None:
            raise WireDown(f"host {self.host_id} has no connection to the bus")
        try:
            await client.publish(subjects.event(self.host_id, topic), payload)
        except BUS_ERRORS as error:
            raise WireDown(f"host {self.host_id} has just lost the bus: {error}") from error

    def on_state(self, handler: StateHandler) -> None:
        """See AgentWire."""
        self._on_state.append(handler)
        if self.connected:
            handler(True)

    async def close(self) -> None:
        """See AgentWire."""
        await self._tasks.end()
        await self._link.close()

    async def _subscribe(self, client: BusClient) -> None:
        self._line = client
        await client.listen(self._calls, self._receive)
        for answer in self._outbox.unconfirmed():
            await _post(client, answer)

    def _changed(self, connected: bool) -> None:
        for handler in self._on_state:
            try:
                handler(connected)
            except Exception:
                log.exception("a state handler broke")

    def _failed(self, error: Exception) -> None:
        if isinstance(error, Refused):
            try:
                self._on_refused(error)
            except Exception:
                log.exception("the handler of a refusal broke")

    def _receive(self, subject: str, reply: str, _headers: bytes, payload: bytes) -> None:
        """Begin a request. What wants no answer where we may answer is no request of OMS's."""
        if not reply.startswith(self._answers):
            return
        busy = self._in_hand >= self._max_in_hand
        self._tasks.begin(self._decline(reply) if busy else self._run(subject, reply, payload))

    async def _run(self, subject: str, reply: str, payload: bytes) -> None:
        self._in_hand += 1
        try:
            await self._answer(reply, *await self._handle(subject, payload))
        finally:
            self._in_hand -= 1

    async def _handle(self, subject: str, payload: bytes) -> tuple[bytes, str]:
        """The answer and its status ("": a good one)."""
        assert self._handler is not None
        verb = subjects.verb_of(subject)
        try:
            answer = await self._handler(verb, payload)
        except Exception:
            log.exception("a request broke", verb=verb)
            return b"", answers.BROKEN
        if len(answer) > MAX_PAYLOAD_BYTES:
            log.error("an answer is larger than the bus carries", verb=verb, bytes=len(answer))
            return b"", answers.TOO_LARGE
        return answer, ""

    async def _decline(self, reply: str) -> None:
        """Say that there is too much in hand: not worth keeping, it would only push good answers out."""
        if self._line is not None:
            await _post(self._line, Answer(reply, b"", {answers.STATUS: answers.BUSY}, 0.0))

    async def _answer(self, reply: str, payload: bytes, status: str) -> None:
        answer = self._outbox.put(reply, payload, {answers.STATUS: status} if status else None)
        if self._line is not None:
            await _post(self._line, answer)


async def _post(client: BusClient, answer: Answer) -> None:
    """Send an answer; when the connection ends just now, the next one sends it again."""
    try:
        await client.publish(answer.subject, answer.payload, headers=answer.headers)
    except BUS_ERRORS as error:
        log.info("an answer waits for the next connection", error=str(error))
