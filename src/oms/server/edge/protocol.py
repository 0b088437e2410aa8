"""uvicorn's HTTP/1.1, held to limits: what does not end is cut off, a request that was not read to its end is the
last on its connection, and an answer leaves in one write."""

import asyncio
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.utils import get_remote_addr

from oms.bus import transfer
from oms.server.edge.http import (
    LONG_HEADERS,
    LONG_URL,
    LONGEST_URL_BYTES,
    NO_HTTP,
    SLOW_BODY,
    SLOW_HEAD,
    Answered,
)

LONGEST_LOOSE_BYTES = 28 * 1024
"""Of what comes without a whole head or a piece of a body in it: a head has at most the longest URL, the longest
headers and the request line, and nobody needs as much for what stands between chunks or behind them."""
HEAD_SECONDS = 10
BODY_SECONDS = 30
LAST_LOOK_SECONDS = 0.1
"""After that: for what came in time and was not read yet, because the loop was held up."""
BULK = transfer.PATH.encode()
"""Addresses whose bodies take as long as they take: who answers there sees when one stalls."""
UNREAD_SECONDS = 60
"""How long an answer may wait for its caller to read on."""


class OneWrite:
    """A transport that holds the head of an answer back until the body comes, a moment later, and sends both
    as one: two writes are two TLS records and two packets."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.bare = self._transport = transport
        self._held = b""
        self.is_closing, self.get_extra_info = transport.is_closing, transport.get_extra_info

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send, or hold back."""
        if data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self.flush()
            self._held = data
        elif self._held:
            self._transport.write(self._held + data)
            self._held = b""
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what is held back."""
        if self._held:
            self._transport.write(self._held)
            self._held = b""

    def close(self) -> None:
        """Send what is held back, and close."""
        self.flush()
        self._transport.close()


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, port: int = 0, **named: Any) -> None:
        """`port`: where it was made, if not at the main address."""
        super().__init__(*args, **named)
        self.server = ("", port) if port else None

    @property
    def is_served(self) -> bool:
        """Whether a call is under way whose caller has not left."""
        cycle: Any = self.cycle  # None before the first one, whatever uvicorn says
        return cycle is not None and not (cycle.response_complete or cycle.disconnected)

    def connection_made(self, transport: Any) -> None:
        """A caller is there: the first head must come in time."""
        # uvicorn's own asks the kernel for our address as well, which costs more than all the rest here.
        self.connections.add(self)
        self.transport = OneWrite(transport)  # type: ignore[assignment]
        self.flow = FlowControl(self.transport)
        self.client, self.scheme = get_remote_addr(transport), "https"
        self.url = b""
        self._loose_bytes = 0
        self._moved = False  # whether the bytes that came last ended a head or brought a piece of a body
        self._in_head = self._in_body = False
        self._keep_alive = True
        self._late: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._expect(HEAD_SECONDS, SLOW_HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        self._expect_nothing()
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes more. What came whole in them has needed no timer."""
        self._moved = False
        super().data_received(data)
        self._loose_bytes = 0 if self._moved else self._loose_bytes + len(data)
        if self._loose_bytes > LONGEST_LOOSE_BYTES:
            self._refuse_head(LONG_HEADERS)
        elif self._in_body and not self.url.startswith(BULK):
            self._expect(BODY_SECONDS, SLOW_BODY)
        elif self._in_head or not self._moved:
            self._expect(HEAD_SECONDS, SLOW_HEAD)

    def on_message_begin(self) -> None:
        """Another head begins, perhaps in the bytes that ended the request before."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """The head has ended. Until the body has as well, an answer is the last one on this connection."""
        self._expect_nothing()
        self._in_head, self._moved = False, True
        super().on_headers_complete()
        if self._is_upgraded():
            return
        self._in_body = True
        self._keep_alive, self.cycle.keep_alive = self.cycle.keep_alive, False

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole: others may follow it."""
        self._expect_nothing()
        self._in_body = False
        if not self._is_upgraded():
            self.cycle.keep_alive = self._keep_alive
        super().on_message_complete()

    def _is_upgraded(self) -> bool:
        return bool(self.parser.should_upgrade()) and self._should_upgrade()

    def handle_websocket_upgrade(self) -> None:
        """From now on this is a console's: nothing here holds it back or hurries it."""
        self._expect_nothing()
        self._stop_waiting()
        self.transport = self.transport.bare  # type: ignore[attr-defined]
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """What came cannot be read, perhaps because it is too long for the parser."""
        self._refuse_head(NO_HTTP)

    def _unsupported_upgrade_warning(self) -> None:
        """Whoever asks for another protocol is answered in this one; that is no line in the log."""

    def shutdown(self) -> None:
        """The server ends, and this connection with the answer that is being given."""
        self._keep_alive = False
        super().shutdown()

    def on_response_complete(self) -> None:
        """An answer without a body has nothing that would push its head out."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The caller does not read what he asked for."""
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """He reads on."""
        super().resume_writing()
        self._stop_waiting()

    def _expect(self, seconds: float, otherwise: Answered) -> None:
        """The rest of a head or a body, within so many seconds from when it was first waited for."""
        if self._late is None and not self.transport.is_closing():
            self._late = self.loop.call_later(seconds, self._look_once_more, otherwise)

    def _look_once_more(self, otherwise: Answered) -> None:
        """In each round the loop runs its timers before it reads: after a round that was long, the head that came
        during it is read only now. The next timer is run after that."""
        self._late = self.loop.call_later(LAST_LOOK_SECONDS, self._refuse, otherwise)

    def _expect_nothing(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _stop_waiting(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _refuse_head(self, answer: Answered) -> None:
        self._refuse(LONG_URL if len(self.url) > LONGEST_URL_BYTES else answer)

    def _refuse(self, answer: Answered) -> None:
        if not self.transport.is_closing():
            self.transport.write(_written(answer))
            self.transport.close()


def _written(answer: Answered) -> bytes:
    status, headers, body = answer
    every = [*headers, (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    return b"".join((STATUS_LINE[status], *(b"%s: %s\r\n" % header for header in every), b"\r\n", body))
