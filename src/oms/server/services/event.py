"""eventservices: the log of events as callers read it."""

import time
from typing import Any

from msgspec import Raw

from oms.contract import event as api
from oms.contract.event import EventPage
from oms.server.desk import Desk, Table
from oms.server.events.log import Listener, Page
from oms.server.rules.events import View, whole

handlers = Table()


@handlers.handles(api.ListEvents)
async def list_events(op: api.ListEvents, desk: Desk) -> EventPage:
    """Without a wait it takes no place among those who wait."""
    news = desk.house.events
    async with news.log.listening(view(op, desk), op.after) as listener:
        page = await listener.read(op.limit)
        seconds = min(op.wait_seconds, news.longest_wait)
        if seconds and not _is_answer(page):
            assert desk.known is not None
            with news.places.place(desk.known.digest):
                page = await _waited(listener, op.limit, seconds)
    told: list[Any] = [Raw(event.body.encode()) for event in page.events]
    return EventPage(told, page.next, page.gap, page.more)


async def _waited(listener: Listener, most: int, seconds: float) -> Page:
    """What comes, or nothing when the seconds are over or the server ends."""
    end = time.monotonic() + seconds
    while True:
        woken = await listener.wait(max(0, end - time.monotonic()))
        page = await listener.read(most)
        if _is_answer(page) or not woken or listener.log.closed:
            return page


def _is_answer(page: Page) -> bool:
    return bool(page.events) or page.gap or page.more


def view(op: api.ListEvents, desk: Desk) -> View:
    """What is asked for, as far as the caller may see it."""
    return View(desk.role, desk.user, whole(op.kinds), op.server_hostname, op.guest, op.job)
