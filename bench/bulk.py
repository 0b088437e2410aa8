"""The two ends of a relay that is measured: a server that gives, takes or echoes bytes, and a client that asks it
to, over a plain socket or as a browser does (`tests.hosts.raw_socket`). Neither costs much beside what is between.
"""

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

PIECE = bytes(256 * 1024)
ORDER = struct.Struct(">cQ")
GIVE, TAKE, ECHO = b"g", b"t", b"e"
ECHOED_BYTES = 64
ROUNDS = 400


class Way(Protocol):
    """From the client's end to the server's."""

    def send(self, data: bytes, /) -> None:
        """All of it."""

    def take(self, count: int, /) -> None:
        """Read so many bytes."""


class PlainWay:
    """A socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._room = sock, bytearray(len(PIECE))
        self.send = sock.sendall

    def take(self, count: int) -> None:
        """Read so many bytes."""
        while count:
            got = self._sock.recv_into(self._room, min(count, len(self._room)))
            if not got:
                raise EOFError(f"{count} bytes did not come")
            count -= got


def down(way: Way, count: int) -> float:
    """MB a second to this end."""
    began = time.perf_counter()
    way.send(ORDER.pack(GIVE, count))
    way.take(count)
    return count / 1e6 / (time.perf_counter() - began)


def up(way: Way, count: int) -> float:
    """MB a second from this end."""
    began = time.perf_counter()
    way.send(ORDER.pack(TAKE, count))
    for _ in range(count // len(PIECE)):
        way.send(PIECE)
    way.send(PIECE[: count % len(PIECE)])
    way.take(1)
    return count / 1e6 / (time.perf_counter() - began)


def round_trip_ms(way: Way) -> float:
    """The median of 64 bytes there and back."""
    way.send(ORDER.pack(ECHO, ROUNDS * ECHOED_BYTES))
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        way.send(PIECE[:ECHOED_BYTES])
        way.take(ECHOED_BYTES)
        took.append(time.perf_counter() - began)
    return sorted(took)[ROUNDS // 2] * 1000


@contextmanager
def serving(address: str) -> Iterator[None]:
    """The server as a process, at a path or at a port of loopback."""
    process = subprocess.Popen([sys.executable, "-m", "bench.bulk", address], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield
    finally:
        process.terminate()
        process.wait()


def _serve(address: str) -> None:
    if address.isdigit():
        listening = socket.create_server(("127.0.0.1", int(address)))
    else:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(address)
        listening.listen()
    print("listening", flush=True)
    while True:
        threading.Thread(target=_obey, args=[listening.accept()[0]], daemon=True).start()


def _obey(sock: socket.socket) -> None:
    way = PlainWay(sock)
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock:
        while order := sock.recv(ORDER.size, socket.MSG_WAITALL):
            kind, count = ORDER.unpack(order)
            if kind == GIVE:
                for _ in range(count // len(PIECE)):
                    sock.sendall(PIECE)
                sock.sendall(PIECE[: count % len(PIECE)])
            elif kind == TAKE:
                way.take(count)
                sock.sendall(b"!")
            else:
                while count:
                    said = sock.recv(count)
                    sock.sendall(said)
                    count -= len(said)


if __name__ == "__main__":
    _serve(sys.argv[1])
