"""What happens, as a program hears of it: in order, each once, also after a break."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Raw

from oms.client import Client, Gap
from oms.client.events import known
from oms.client.sync import Client as SyncClient
from oms.contract import tag
from tests.server.door import Door
from tests.server.rig import PASSWORD


@pytest.fixture
async def client(door: Door) -> AsyncIterator[Client]:
    """An administrator's, of an OMS with one host."""
    await door.oms.sign_in_host("node1", {})
    async with Client(door.url, ca_sha256=door.server.ca_sha256) as made:
        await made.login("admin", PASSWORD)
        yield made


async def test_events_are_told_in_order_and_gone_on_with_after_any_break(door: Door, client: Client) -> None:
    events = client.events(kinds=["tag"])
    begin = await events.begin()
    for name in ("a", "b", "c"):
        await client.call(tag.AddTag(name, "node1"))
    told = aiter(events)
    first: Any = await anext(told)
    assert (first.host, first.data.tag) == ("node1", "a")
    door.lose = 1
    again = aiter(client.events(kinds=["tag"], after=first.sequence))
    rest: list[Any] = [await anext(again), await anext(again)]
    assert [event.data.tag for event in rest] == ["b", "c"]
    assert begin < first.sequence < rest[0].sequence < rest[1].sequence


async def test_what_is_lost_is_said(client: Client) -> None:
    now = await client.events().begin()
    gap = await anext(aiter(client.events(after=now + 1000)))
    assert isinstance(gap, Gap)
    assert gap.sequence >= now


async def test_a_kind_that_is_not_known_here_is_passed_over() -> None:
    assert known(Raw(b'{"kind": "moon.rose", "sequence": 1}')) is None


async def test_events_come_without_asyncio_too(door: Door, client: Client) -> None:
    begin = await client.events().begin()
    await client.call(tag.AddTag("a", "node1"))

    def first() -> Any:
        with SyncClient(door.url, ca_sha256=door.server.ca_sha256, sessid=client.sessid) as other:
            return next(other.events(kinds=["tag"], after=begin))

    assert (await asyncio.to_thread(first)).data.tag == "a"
