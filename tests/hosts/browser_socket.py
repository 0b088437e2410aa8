"""What a page does, without a browser: a ticket for a SESSID, and the WebSocket that it opens."""

import contextlib
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from websockets import Origin
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from oms.bus import pinning

TRUSTING = pinning.unverified()
ONE_THREAD = pinning.unverified()
"""This client reads and writes in threads of its own, and Python's TLS of one connection may lose what one thread
writes while another reads what is TLS's own, such as the tickets that TLS 1.3 sends after its handshake."""
ONE_THREAD.maximum_version = ssl.TLSVersion.TLSv1_2


def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers, body."""
    return _asked(urllib.request.Request(f"https://127.0.0.1:{port}{path}", headers=headers))


def ask_ticket(
    pages: int,
    sessid: str,
    wanted: int | dict[str, str],
    *,
    path: str = "/ticket",
    origin: str = "",
    address: str = "127.0.0.1",
) -> tuple[int, Any]:
    """Status, and the ticket's JSON or the words of a refusal. `wanted`: the port of a console, or a `console` or
    `share`."""
    request = urllib.request.Request(
        f"https://{address}:{pages}{path}",
        json.dumps({"port": wanted} if isinstance(wanted, int) else wanted).encode(),
        {"Authorization": f"Bearer {sessid}", "Origin": origin or f"https://{address}:{pages}"},
    )
    status, _, body = _asked(request)
    return status, json.loads(body) if status == 200 else body.decode()


def ticket(pages: int, sessid: str, port: int, *, path: str = "/ticket") -> str:
    """A ticket that lets one WebSocket in."""
    status, given = ask_ticket(pages, sessid, port, path=path)
    assert status == 200, given
    text: str = given["ticket"]
    return text


def open_socket(
    port: int,
    ticket: str,
    *,
    pages: int,
    path: str = "/",
    origin: str | None = None,
    address: str = "127.0.0.1",
) -> ClientConnection:
    """The WebSocket of a page that came from `pages`. Raises websockets' InvalidStatus where it is refused."""
    return connect(
        f"wss://{address}:{port}{path}?ticket={ticket}",
        ssl=ONE_THREAD,
        origin=Origin(origin or f"https://{address}:{pages}"),
        compression=None,
        max_size=None,
        open_timeout=20,
        close_timeout=5,
    )


def said(socket: ClientConnection, pattern: str, seconds: float = 60) -> str:
    """What a terminal says until the pattern is in it."""
    text, end = "", time.monotonic() + seconds
    while not re.search(pattern, text):
        try:
            data = socket.recv(timeout=max(end - time.monotonic(), 0.1))
        except (ConnectionClosed, TimeoutError) as over:
            raise AssertionError(f"no {pattern!r} was said, only {text!r}") from over
        assert isinstance(data, bytes)
        text += data.decode(errors="replace")
    return text


def closed(socket: ClientConnection, seconds: float = 30) -> int | None:
    """Read to the end; the code it was closed with."""
    end = time.monotonic() + seconds
    with contextlib.suppress(ConnectionClosed):
        while True:
            socket.recv(timeout=max(end - time.monotonic(), 0.1))
    return socket.close_code


def not_let_in(
    port: int, paper: str, *, pages: int, path: str = "/", origin: str = "", address: str = "127.0.0.1"
) -> int:
    """The status by which a WebSocket is refused."""
    with (
        pytest.raises(InvalidStatus) as refusal,
        open_socket(port, paper, pages=pages, path=path, origin=origin, address=address),
    ):
        pass
    return refusal.value.response.status_code


def _asked(request: urllib.request.Request) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(request, timeout=20, context=TRUSTING) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, {name.lower(): value for name, value in refusal.headers.items()}, refusal.read()
