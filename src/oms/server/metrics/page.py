"""`GET /metrics`: the whole fleet and OMS itself, for Prometheus.

A thousand hosts make tens of thousands of lines, so the text is made in a thread, and those who ask at one time
share one.
"""

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import Connection

from oms.bus.wire import ServerWire
from oms.contract.errors import OmsError
from oms.server.edge.http import Ask, Reply
from oms.server.metrics import token
from oms.server.metrics.figures import HostFigures
from oms.server.metrics.fleet import Everything, Sight
from oms.server.metrics.own import Own
from oms.server.store import Store, hosts, jobs

PATH = "/metrics"
_TEXT = b"text/plain; charset=utf-8"
_REFUSED = Reply(
    401,
    b"This needs the header `Authorization: Bearer TOKEN`: `oms admin metrics-token` makes a token.",
    _TEXT,
    ((b"www-authenticate", b'Bearer realm="metrics"'),),
)


class MetricsPage:
    """The page; call it."""

    def __init__(self, store: Store, wire: ServerWire, own: Own, figures: HostFigures) -> None:
        self._store, self._wire, self._own, self._figures = store, wire, own, figures
        self._making: asyncio.Task[bytes] | None = None

    async def __call__(self, ask: Ask) -> Reply:
        """One request."""
        if ask.verb not in ("GET", "HEAD"):
            return Reply(405, b"GET this.", _TEXT, ((b"allow", b"GET"),))
        try:
            if not await self._may(ask.authorization):
                self._own.refused.inc()
                return _REFUSED
            return Reply(200, await self._shared(), CONTENT_TYPE_LATEST.encode())
        except OmsError as failure:
            return Reply(503, failure.message.encode(), _TEXT)

    async def _may(self, authorization: str) -> bool:
        asked = token.given(authorization)
        return asked is not None and await self._store.read(lambda tx: token.fits(tx, asked))

    async def _shared(self) -> bytes:
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._made())
        return await asyncio.shield(self._making)

    async def _made(self) -> bytes:
        sight = await self._store.read(self._seen)
        return await asyncio.to_thread(generate_latest, Everything(self._own.registry, sight))

    def _seen(self, tx: Connection) -> Sight:
        return Sight(
            hosts=tuple(hosts.signed(tx)),
            connected=self._wire.connected_hosts(),
            figures=self._figures.fresh(),
            requests=hosts.count_requests(tx),
            jobs=jobs.count_open(tx),
            bus_connected=self._wire.connected,
        )
