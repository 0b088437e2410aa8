"""A reader of `GET /events`, as browsers' EventSource reads it: fields, blank lines, comments."""

import asyncio
from typing import Any

import msgspec

from oms.server.edge.http import Edge
from tests.server.streams import Stream


class Heard(msgspec.Struct, frozen=True):
    """One event: its name ("message" where it has none), its id, and its data."""

    name: str
    id: int | None
    data: dict[str, Any]


class Listening(Stream):
    """One stream. `heard` grows while it is read."""

    def __init__(self, edge: Edge, sessid: str, query: str = "", **headers: str) -> None:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(edge, "GET", f"/events?{query}", {"authorization": f"Bearer {sessid}", **given})

    @property
    def heard(self) -> list[Heard]:
        """What has come so far."""
        return [event for event in map(_event, bytes(self.answer).decode().split("\n\n")[:-1]) if event]

    @property
    def kinds(self) -> list[str]:
        """Of the API's events that have come."""
        return [event.data["kind"] for event in self.heard if event.name == "message"]

    async def until(self, name: str) -> Heard:
        """The first event of that name, or of that kind."""
        async with asyncio.timeout(60):
            while True:
                for event in self.heard:
                    if name in (event.name, event.data.get("kind")):
                        return event
                await asyncio.sleep(0.005)


def _event(block: str) -> Heard | None:
    fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
    if "data" not in fields:
        return None
    ident = int(fields["id"]) if "id" in fields else None
    return Heard(fields.get("event", "message"), ident, msgspec.json.decode(fields["data"]))
