"""One browser's WebSocket: uvicorn's, but what is sent goes out uncopied, and nothing is piled up for whoever does
not read."""

from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import OPEN

SMALL_BYTES = 8 * 1024
"""So little is copied behind its head: two writes are two TLS records."""
_BINARY = 0x82


class ConsoleWebSocket(WebSocketsSansIOProtocol):
    """One connection, from its handshake on."""

    async def send(self, message: Any) -> None:
        """ASGI. What is to be sent waits until the browser reads; that it is over does not.

        Raises ClientDisconnected where it is over already, whoever ended it. To end it once more is nothing.
        """
        ends = message["type"] == "websocket.close"
        if not self.writable.is_set():
            if ends:
                self.transport.abort()
                return
            await self.writable.wait()
        if self._is_over:
            if ends and self.handshake_complete:
                return
            raise ClientDisconnected
        data = message.get("bytes") if message["type"] == "websocket.send" else None
        if data is not None and self.conn.state is OPEN:
            self._send_bytes(data)
        else:
            await super().send(message)

    @property
    def _is_over(self) -> bool:
        """Whether either side has said so, or the connection has gone."""
        return self.close_sent or self.disconnected or self.transport.is_closing()

    def _send_bytes(self, data: bytes) -> None:
        if len(data) <= SMALL_BYTES:
            self.transport.write(_head(len(data)) + data)
        else:
            self.transport.writelines((_head(len(data)), data))

    def data_received(self, data: bytes) -> None:
        """Some bytes more. A handshake that cannot be read is the last that is read here."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.transport.is_closing():
            self.transport.writelines(self.conn.data_to_send())
            self.transport.close()

    def handle_parser_exception(self) -> None:
        """Something that is no WebSocket's. Before the handshake was answered there is no way to say so."""
        if self.conn.close_sent is not None:
            super().handle_parser_exception()
        else:
            self.transport.abort()

    def shutdown(self) -> None:
        """The server ends. Whoever is leaving needs no word of it, and whoever does not read would not hear it."""
        if self.transport.is_closing() or not self.writable.is_set():
            self.transport.abort()
        else:
            super().shutdown()

    def handle_ping(self) -> None:
        """Answer it, unless no answers are read."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()


def _head(size: int) -> bytes:
    """Of a whole message of bytes (RFC 6455)."""
    if size < 126:
        return bytes((_BINARY, size))
    if size < 65536:
        return bytes((_BINARY, 126)) + size.to_bytes(2)
    return bytes((_BINARY, 127)) + size.to_bytes(8)
