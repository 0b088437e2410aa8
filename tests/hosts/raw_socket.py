"""A WebSocket over TLS that keeps to no rules by itself: it reads when it is told to, and sends any frame."""

import socket
import ssl

PIECE_BYTES = 256 * 1024
WHOLE, PING, PONG = 0x82, 0x89, 0x8A
CLOSE = 0x88


class RawSocket:
    """From its handshake on. Its masks are zeros, which is legal and costs this end nothing."""

    def __init__(self, port: int, path: str, origin: str, *, compressed: bool = False) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = socket.create_connection(("127.0.0.1", port), 20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context.wrap_socket(sock)
        self._room = memoryview(bytearray(PIECE_BYTES))
        self._begin = self._end = 0
        self._left = 0
        self.answer = self._shake_hands(port, path, origin, compressed)
        """The head of the handshake's answer, in lower case."""

    def _shake_hands(self, port: int, path: str, origin: str, compressed: bool) -> str:
        more = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if compressed else ""
        head = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            f"Sec-WebSocket-Protocol: binary\r\n{more}\r\n"
        )
        self.sock.sendall(head.encode())
        said = b""
        while not said.endswith(b"\r\n\r\n"):
            said += self.sock.recv(1)
        if b" 101 " not in said:
            self.sock.close()
            raise ConnectionRefusedError(said.decode())
        return said.decode().lower()

    def send(self, data: bytes, kind: int = WHOLE, *, size: int | None = None) -> None:
        """All of it, in one frame. `size`: what the frame says of itself, where that is to be a lie."""
        count = len(data) if size is None else size
        head = bytes((0x80 | count,)) if count < 126 else b"\xff" + count.to_bytes(8)
        self.sock.sendall(b"".join((bytes((kind,)), head, bytes(4), data)))

    def take(self, count: int) -> None:
        """Read so many bytes of messages, whichever they come in; pings are answered."""
        while count:
            if not self._left:
                self._left = self._head()
            if self._begin == self._end:
                self._fill()
            got = min(count, self._left, self._end - self._begin)
            self._begin += got
            self._left -= got
            count -= got

    def close_code(self) -> int:
        """Read on until the other end closes; why it does (0: without a word)."""
        try:
            while True:
                self.take(1)
        except Closed as why:
            return why.code
        except OSError:
            return 0

    def _fill(self) -> None:
        self._begin, self._end = 0, self.sock.recv_into(self._room)
        if not self._end:
            raise Closed(0)

    def _bytes(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            if self._begin == self._end:
                self._fill()
            piece = bytes(self._room[self._begin : min(self._end, self._begin + count - len(found))])
            self._begin += len(piece)
            found += piece
        return found

    def _head(self) -> int:
        """The next message's, or part's; how long it is. Raises Closed."""
        while True:
            kind, size = self._bytes(2)
            if size >= 126:
                size = int.from_bytes(self._bytes(2 if size == 126 else 8))
            if kind == PING:
                self.send(self._bytes(size), PONG)
            elif kind == CLOSE:
                raise Closed(int.from_bytes(self._bytes(size)[:2]))
            elif kind == PONG:
                self._bytes(size)
            else:
                return size

    def close(self) -> None:
        """Without a word."""
        self.sock.close()


class Closed(EOFError):
    """The other end has ended it, with a code or (0) without."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code
