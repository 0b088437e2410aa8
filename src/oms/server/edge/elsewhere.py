"""Consoles that another server holds: whoever comes here for one is passed on to where it is.

A console's id, its tickets and its links begin with the id of their server. So a browser may come to any, each
time to another: with a balancer between, nobody need find out where a console is.
"""

import asyncio
import contextlib
import re

import h11
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Origin

from oms.contract.errors import OmsError
from oms.server.consoles.relay import BROKE, Socket, both
from oms.server.edge.detour import CONNECT_SECONDS, ONCE_REMOVED, asked, trusting
from oms.server.edge.http import ALWAYS, Answered
from oms.server.store import Store, servers

log = structlog.get_logger("oms.consoles")
ANSWER_SECONDS = 10.0
LARGEST_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9_-]{16,100}")
NOT_NOW: Answered = (
    503,
    [(b"content-type", b"text/plain; charset=utf-8"), *ALWAYS],
    b"The server that has this console does not answer: try again in a moment.",
)


class Elsewhere:
    """The way from this server to the consoles of others."""

    def __init__(self, store: Store, server: str, ca: str) -> None:
        """`server`: this one's id; `ca`: the PEM by which all are known."""
        self._store, self._server, self._trusted = store, server, trusting(ca)

    async def at(self, name: str) -> str:
        """host:port of the server that a console's id, a ticket or a link is of; empty where that is this one, or
        none that is alive."""
        holder = name[: servers.ID_DIGITS]
        if not self._store.is_shared or holder == self._server or not _NAME.fullmatch(name):
            return ""
        try:
            return await self._store.read(lambda tx: servers.address_of(tx, holder))
        except OmsError:
            return ""

    async def ticket(self, at: str, sessid: str, body: bytes) -> Answered:
        """What that server answers to who asks for a ticket; `sessid` is empty where he comes by a link."""
        headers = [("authorization", f"Bearer {sessid}")] if sessid else []
        status, media, answer = 0, b"", bytearray()
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                contextlib.aclosing(
                    asked(at, self._trusted, "POST", "/console/ticket", headers=headers, body=body)
                ) as events,
            ):
                async for event in events:
                    if isinstance(event, h11.Response):
                        status = event.status_code
                        media = dict(event.headers).get(b"content-type", b"")
                    elif isinstance(event, h11.Data):
                        answer += event.data
        except (OSError, TimeoutError, h11.RemoteProtocolError) as failure:
            log.warning("the server of a console does not answer", at=at, why=str(failure))
            return NOT_NOW
        return status, [(b"content-type", media), *ALWAYS], bytes(answer)

    async def reached(self, at: str, ticket: str) -> ClientConnection | None:
        """The WebSocket that a ticket lets in there; None where it does not."""
        try:
            return await connect(
                f"wss://{at}/console/ws?ticket={ticket}",
                ssl=self._trusted,
                origin=Origin(f"https://{at}"),
                additional_headers={ONCE_REMOVED: "1"},
                compression=None,
                proxy=None,
                max_size=LARGEST_BYTES,
                open_timeout=CONNECT_SECONDS,
                close_timeout=1,
            )
        except (OSError, TimeoutError, InvalidHandshake) as failure:
            log.warning("a console elsewhere is not reached", at=at, why=str(failure))
            return None


async def passed_on(browser: Socket, there: ClientConnection) -> None:
    """Until either side ends it; the browser is told what the other server says of why."""
    try:
        await both(_from_there(there, browser), _from_browser(browser, there))
    except ConnectionClosed as end:
        code, reason = (end.rcvd.code, end.rcvd.reason) if end.rcvd else (BROKE, "The server that has it is gone.")
        await browser.close(code, reason)
    finally:
        await there.close()


async def _from_there(there: ClientConnection, browser: Socket) -> None:
    while True:
        said = await there.recv()
        await (browser.tell(said) if isinstance(said, str) else browser.give(said))


async def _from_browser(browser: Socket, there: ClientConnection) -> None:
    while (said := await browser.read()) is not None:
        await there.send(said)
