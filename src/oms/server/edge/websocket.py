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
        """ASGI. What is to be sent waits until the browser reads; that it is over does not."""
        data = message.get("bytes") if message["type"] == "websocket.send" else None
        if data is not None and self.conn.state is OPEN:
            await self._send_bytes(data)
        elif message["type"] == "websocket.close" and not self.writable.is_set():
            self.transport.abort()
        else:
            await super().send(message)

    async def _send_bytes(self, data: bytes) -> None:
        if not self.writable.is_set():
            await self.writable.wait()
            if self.disconnected or self.conn.state is not OPEN:
                raise ClientDisconnected
        if len(data) <= SMALL_BYTES:
            self.transport.write(_head(len(data)) + data)
        else:
            self.transport.writelines((_head(len(data)), data))

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
