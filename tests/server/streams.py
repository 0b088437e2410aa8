"""Requests with bulk, spoken to an edge in this process: a body that comes piece by piece, an answer taken so."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from oms.server.edge.http import Edge
from tests.server.asgi import ADDRESS


class Stream:
    """One request. The body is what `body` gives; `parts` is what has been answered so far."""

    def __init__(
        self,
        edge: Edge,
        verb: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: Iterable[bytes] | AsyncIterator[bytes] = (),
    ) -> None:
        path, _, query = target.partition("?")
        named = {"host": "localhost:8000", **(headers or {})}
        self._scope = {
            "type": "http",
            "method": verb,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in named.items()],
            "client": (ADDRESS, 50_000),
        }
        self._body = body if isinstance(body, AsyncIterator) else _each(body)
        self._left = asyncio.Event()
        self._over = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.answer = bytearray()
        self.task = asyncio.create_task(edge(self._scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self._over and not self._left.is_set():
            try:
                piece = await anext(self._body)
            except StopAsyncIteration:
                self._over = True
                return {"type": "http.request", "body": b"", "more_body": False}
            return {"type": "http.request", "body": piece, "more_body": True}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if self._left.is_set():
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.answer += message.get("body", b"")

    def leave(self) -> None:
        """The connection breaks."""
        self._left.set()

    async def done(self) -> "Stream":
        """Once all is answered."""
        async with asyncio.timeout(30):
            await self.task
        return self

    @property
    def json(self) -> Any:
        return json.loads(bytes(self.answer))


async def _each(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
