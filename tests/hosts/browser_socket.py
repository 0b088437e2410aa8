"""What a page does, without a browser: a ticket for a SESSID, and the WebSocket that it opens."""

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from websockets import Origin
from websockets.sync.client import ClientConnection, connect

TRUSTING = ssl.create_default_context()
TRUSTING.check_hostname, TRUSTING.verify_mode = False, ssl.CERT_NONE


def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers, body."""
    return _asked(urllib.request.Request(f"https://127.0.0.1:{port}{path}", headers=headers))


def ask_ticket(pages: int, sessid: str, port: int, *, path: str = "/ticket", origin: str = "") -> tuple[int, Any]:
    """Status, and the ticket's JSON or the words of a refusal."""
    request = urllib.request.Request(
        f"https://127.0.0.1:{pages}{path}",
        json.dumps({"port": port}).encode(),
        {"Authorization": f"Bearer {sessid}", "Origin": origin or f"https://127.0.0.1:{pages}"},
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
    port: int, ticket: str, *, pages: int, path: str = "/", origin: str | None = None
) -> ClientConnection:
    """The WebSocket of a page that came from `pages`. Raises websockets' InvalidStatus where it is refused."""
    return connect(
        f"wss://127.0.0.1:{port}{path}?ticket={ticket}",
        ssl=TRUSTING,
        origin=Origin(origin or f"https://127.0.0.1:{pages}"),
        compression=None,
        max_size=None,
        open_timeout=20,
        close_timeout=5,
    )


def _asked(request: urllib.request.Request) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(request, timeout=20, context=TRUSTING) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, {name.lower(): value for name, value in refusal.headers.items()}, refusal.read()
