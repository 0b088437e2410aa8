"""Speaks HTTP's side of ASGI to an application in this process: the same calls as over TLS, without a socket."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oms.server.edge.http import Edge

ADDRESS = "192.0.2.7"
"""Where callers come from unless a test says otherwise."""


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which must be JSON."""
        return json.loads(self.body)


async def send(
    edge: Edge,
    verb: str,
    target: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    address: str = ADDRESS,
) -> Reply:
    """One request; `target` is the address after the host's name."""
    path, _, query = target.partition("?")
    named = {"host": "localhost:8000", **{name.lower(): value for name, value in (headers or {}).items()}}
    scope = {
        "type": "http",
        "method": verb,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode("latin-1"),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items()],
        "client": (address, 50_000),
    }
    parts: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def take(message: Any) -> None:
        parts.append(message)

    await edge(scope, receive, take)
    start, *rest = parts
    given = {name.decode(): value.decode() for name, value in start["headers"]}
    return Reply(start["status"], given, b"".join(part["body"] for part in rest))
