"""uvicorn's HTTP/1.1, held to limits: a head that does not end is cut off, and an answer leaves in one write."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST_HEAD_BYTES = 28 * 1024
"""Of an unfinished head: the longest URL, the longest headers, and room for the request line."""
HEAD_SECONDS = 10
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class OneWrite:
    """A transport that holds the head of an answer back until the body comes, a moment later, and sends both
    as one: two writes are two TLS records and two packets."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = b""
        self.is_closing = transport.is_closing

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

    def connection_made(self, transport: Any) -> None:
        """A caller is there: the first head must come in time."""
        super().connection_made(OneWrite(transport))  # type: ignore[arg-type]
        self._head_bytes = 0
        self._late = self.loop.call_later(HEAD_SECONDS, self._refuse, _TOO_SLOW)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        self._late.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Another head begins."""
        super().on_message_begin()
        self._late.cancel()
        self._late = self.loop.call_later(HEAD_SECONDS, self._refuse, _TOO_SLOW)
        self._head_open = True

    def on_headers_complete(self) -> None:
        """The head has ended."""
        self._late.cancel()
        self._head_bytes = 0
        self._head_open = False
        super().on_headers_complete()

    _head_open = True

    def data_received(self, data: bytes) -> None:
        """Some bytes more."""
        super().data_received(data)
        if self._head_open:
            self._head_bytes += len(data)
            if self._head_bytes > LONGEST_HEAD_BYTES:
                self._refuse(_TOO_LONG)

    def on_response_complete(self) -> None:
        """An answer without a body has nothing that would push its head out."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()
