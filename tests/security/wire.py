"""A client that writes bytes as they are given, over TLS, and reads what comes back one answer at a time."""

import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from oms.bus import pinning
from tests.server.asgi import Reply

HOST = "localhost:8000"


class Connection:
    """One connection to 127.0.0.1."""

    def __init__(self, port: int, *, seconds: float = 30, context: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        try:
            self.tls = (context or pinning.unverified()).wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise
        self._came = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self.tls.close()

    def send(self, data: bytes) -> Self:
        """Write bytes."""
        self.tls.sendall(data)
        return self

    def pour(self, data: bytes, most: int) -> int:
        """Write the same bytes again and again, until the server hangs up or `most` bytes are written."""
        written = 0
        try:
            while written < most:
                self.tls.sendall(data)
                written += len(data)
        except OSError:
            pass
        return written

    def _more(self) -> bool:
        try:
            data = self.tls.recv(65_536)
        except (ConnectionResetError, ssl.SSLEOFError):
            return False
        self._came += data
        return bool(data)

    def reply(self, *, bodiless: bool = False) -> Reply | None:
        """The next whole answer; None where the server hung up instead. Raises TimeoutError."""
        while b"\r\n\r\n" not in self._came:
            if not self._more():
                return None
        head, _, rest = self._came.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = 0 if bodiless else int(headers.get("content-length", "0"))
        while len(rest) < length:
            self._came = rest
            if not self._more():
                return None
            rest = self._came
        self._came = rest[length:]
        return Reply(int(first.split(" ")[1]), headers, rest[:length])

    def ended(self, within: float = 5) -> bool:
        """Whether the server hangs up by itself and says no more before it does."""
        self.tls.settimeout(within)
        try:
            return not self._more() and not self._came
        except TimeoutError:
            return False

    def ask(self, verb: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """A whole request and its answer."""
        self.send(request(verb, target, body, headers))
        reply = self.reply(bodiless=verb == "HEAD")
        assert reply is not None, "the server hung up"
        return reply

    def call(self, method: str, *params: Any, headers: Mapping[str, str] | None = None) -> Any:
        """A call of 2011 by POST; its whole answer."""
        reply = self.ask("POST", "/", written(method, params), headers)
        assert reply.status == 200, reply
        return reply.json


def request(verb: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a request."""
    named = {"host": HOST, **({"content-length": str(len(body))} if body else {}), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"{verb} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


def written(method: str, params: Any) -> bytes:
    """The body of a call of 2011."""
    service, _, name = method.rpartition(".")
    return json.dumps({"service": service, "method": name, "id": 7, "params": params}).encode()


def soon(act: Callable[[], object], seconds: float = 2.0) -> bool:
    """Whether it is done within so many seconds. It may be tried three times: what else this machine does may slow
    one of them down, what holds up everybody slows down all."""
    for _ in range(3):
        began = time.monotonic()
        act()
        if time.monotonic() - began < seconds:
            return True
    return False
