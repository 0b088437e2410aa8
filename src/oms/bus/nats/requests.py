"""The requests of one OMS server that wait for their answers.

An answer is accepted once, and only under the exact subject that was given to the host asked: the host's id is in
it, and nats-server lets no other host publish there. Late, doubled and forged answers are therefore nothing.
"""

import asyncio
import itertools
import secrets
from collections import deque
from collections.abc import Callable

import nats.errors

from oms.bus.nats import answers, subjects
from oms.bus.nats.client import BusClient
from oms.bus.wire import NoAnswer, WireDown

Waiting = asyncio.Future[bytes]


_LATE = 256


class Nobody(Exception):
    """nats-server says that nobody listens on that subject: the request was not delivered."""


class AskAgain(Exception):
    """The request or its answer may have been lost with a connection, and to ask once more does no harm."""


class Requests:
    """What is in flight, by reply subject."""

    def __init__(self, on_stray: Callable[[str, int], object] = lambda _host_id, _size: None) -> None:
        """`on_stray(host_id, size)` hears of answers that nobody waits for."""
        self._on_stray = on_stray
        self._token = secrets.token_hex(8)  # new with each start: answers to an earlier OMS are not ours
        self._numbers = itertools.count(1)
        self._waiting: dict[str, Waiting] = {}
        self._harmless: set[str] = set()
        """Those of them that may be asked twice."""
        self._late: deque[str] = deque(maxlen=_LATE)
        self._stranded: dict[str, tuple[str, list[Waiting], asyncio.TimerHandle]] = {}

    async def subscribe(self, client: BusClient) -> None:
        """Take in answers on this connection: one subscription for all."""
        await client.listen(subjects.replies_to(self._token), self._receive)

    async def ask(
        self, client: BusClient, host_id: str, verb: str, payload: bytes, *, harmless: bool = False
    ) -> bytes:
        """The host's answer; waits for it without end. Raises Nobody, WireDown, or what the host's wire says, and
        AskAgain where that is `harmless`."""
        reply = subjects.reply(host_id, self._token, next(self._numbers))
        waiting: Waiting = asyncio.get_running_loop().create_future()
        self._waiting[reply] = waiting
        if harmless:
            self._harmless.add(reply)
        try:
            await client.publish(subjects.call(host_id, verb), payload, reply)
            return await waiting
        except (nats.errors.ConnectionClosedError, nats.errors.OutboundBufferLimitError) as error:
            raise WireDown(f"the connection to the bus has just ended: {error}") from error
        finally:
            del self._waiting[reply]
            self._harmless.discard(reply)
            if waiting.cancelled() or isinstance(waiting.exception() if waiting.done() else None, AskAgain):
                self._late.append(reply)

    def lost(self, host_id: str = "") -> None:
        """A connection has ended, that of a host or our own: what was on its way may never arrive."""
        for reply in self._harmless:
            if host_id in ("", subjects.host_of_reply(reply)) and not self._waiting[reply].done():
                self._waiting[reply].set_exception(AskAgain())

    def strand(self, host_id: str, instance: str, patience_s: float) -> None:
        """The host is away. Its agent may come back and still answer, so wait `patience_s` more."""
        waiting = self._of(host_id)
        if not waiting:
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(patience_s, self.give_up, host_id, "went away and did not come back in time")
        _, earlier, earlier_timer = self._stranded.pop(host_id, ("", [], timer))
        if earlier_timer is not timer:
            earlier_timer.cancel()
        self._stranded[host_id] = (instance, [*earlier, *waiting], timer)

    def rejoin(self, host_id: str, instance: str) -> None:
        """The host is back. The same agent still has its requests in hand; a new one knows nothing of them."""
        stranded = self._stranded.get(host_id)
        if stranded is not None and stranded[0] == instance:
            stranded[2].cancel()
            del self._stranded[host_id]
            self.lost(host_id)  # what had not reached it yet it does not have
        elif stranded is not None:
            self.give_up(host_id, "was started anew")

    def give_up(self, host_id: str, reason: str) -> None:
        """End the stranded requests of a host."""
        stranded = self._stranded.pop(host_id, None)
        if stranded is not None:
            stranded[2].cancel()
            _end(stranded[1], f"no answer: host {host_id} {reason}")

    def give_up_on(self, host_id: str, reason: str) -> None:
        """End all requests to a host, stranded or not."""
        self.give_up(host_id, reason)
        _end(self._of(host_id), f"no answer: host {host_id} {reason}")

    def close(self) -> None:
        """End everything."""
        for _, _, timer in self._stranded.values():
            timer.cancel()
        self._stranded.clear()
        _end(list(self._waiting.values()), "OMS has left the bus")

    def _of(self, host_id: str) -> list[Waiting]:
        return [w for reply, w in self._waiting.items() if subjects.host_of_reply(reply) == host_id]

    def _receive(self, subject: str, _reply: str, headers: bytes, payload: bytes) -> None:
        waiting = self._waiting.get(subject)
        if waiting is None or waiting.done():
            if subject in self._late:  # we asked for it and gave up: no fault of the host's
                self._late.remove(subject)
            else:
                self._on_stray(subjects.host_of_reply(subject), len(payload))
            return
        if not headers:
            waiting.set_result(payload)
        elif answers.is_nobody(headers):
            waiting.set_exception(Nobody())
        else:
            waiting.set_exception(answers.failure(headers, subjects.host_of_reply(subject)))


def _end(waiting: list[Waiting], reason: str) -> None:
    for one in waiting:
        if not one.done():
            one.set_exception(NoAnswer(reason))
