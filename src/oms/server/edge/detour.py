"""Bytes that are brought at one server, and whose host waits at another.

Whoever is brought something and sees no host waiting calls over the bus; the server where the host does wait
fetches from there what it passes on to it, in the host's own name: its signature is good at every server.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator

import h11
import msgspec

from oms.bus import transfer
from oms.bus.wire import ServerWire
from oms.server.edge.http import ALWAYS, Answered, Send
from oms.server.meeting import Meetings
from oms.settings import address

TOPIC = "brought"
ONCE_REMOVED = "oms-once-removed"
"""The header of such a request: who brings the bytes has been asked to already."""
CONNECT_SECONDS = 5.0
BITE = 256 * 1024
NONE_YET: Answered = 204, ALWAYS, b""


class Brought(msgspec.Struct, frozen=True):
    """A job's bytes are brought there: host:port of a server."""

    job: str
    at: str


_brought = msgspec.json.Decoder(Brought)


class Detours:
    """From this server to others, and back."""

    def __init__(self, wire: ServerWire, meetings: Meetings, here: str, ca: str) -> None:
        """`here`: host:port at which other servers reach this one; `ca`: the PEM by which all are known."""
        self._wire, self._meetings, self._here = wire, meetings, here
        self._trusted = trusting(ca)
        wire.on_told(self._told)

    def call(self, job: str) -> None:
        """Let the server where the host of that job waits hear that its bytes are here."""
        self._wire.tell(TOPIC, msgspec.json.encode(Brought(job, self._here)))

    def _told(self, topic: str, payload: bytes) -> None:
        if topic == TOPIC:
            with contextlib.suppress(msgspec.MsgspecError):
                brought = _brought.decode(payload)
                self._meetings.elsewhere(brought.job, brought.at)

    async def passed_on(self, at: str, target: str, claim: str, send: Send) -> Answered | None:
        """What the other server gives for a host's request; what is to be answered where it gives nothing."""
        try:
            headers = [(transfer.HOST_HEADER, claim)]
            async with contextlib.aclosing(asked(at, self._trusted, "GET", target, headers=headers)) as events:
                return await _passed_on(events, send)
        except (OSError, TimeoutError, h11.RemoteProtocolError):
            return NONE_YET  # the host asks again


def trusting(ca: str) -> ssl.SSLContext:
    """How one server knows another. `ca`: PEM."""
    return ssl.create_default_context(cadata=ca)


async def asked(
    at: str,
    trusted: ssl.SSLContext,
    method: str,
    target: str,
    *,
    headers: list[tuple[str, str]],
    body: bytes = b"",
) -> AsyncGenerator[h11.Event, None]:
    """The answer of the server at `at`, as it comes. Raises OSError, TimeoutError, h11.RemoteProtocolError."""
    host, port = address(at)
    async with asyncio.timeout(CONNECT_SECONDS):
        reader, writer = await asyncio.open_connection(host, port, ssl=trusted, limit=BITE)
    try:
        line = h11.Connection(h11.CLIENT)
        length = [("content-length", str(len(body)))] if body else []
        every = [("host", at), *headers, (ONCE_REMOVED, "1"), *length, ("connection", "close")]
        writer.write(line.send(h11.Request(method=method, target=target, headers=every)) or b"")
        writer.write((line.send(h11.Data(body)) or b"") if body else b"")
        writer.write(line.send(h11.EndOfMessage()) or b"")
        while True:
            event = line.next_event()
            if event is h11.NEED_DATA:
                line.receive_data(await reader.read(BITE))
                continue
            assert isinstance(event, h11.Event)
            yield event
            if isinstance(event, h11.EndOfMessage):
                return
    finally:
        writer.close()


async def _passed_on(events: AsyncIterator[h11.Event], send: Send) -> Answered | None:
    begun = False
    try:
        async for event in events:
            if isinstance(event, h11.Response):
                if event.status_code != 200:
                    return NONE_YET
                told = [(name, value) for name, value in event.headers if name in (b"oms-size", b"content-type")]
                await send({"type": "http.response.start", "status": 200, "headers": [*told, *ALWAYS]})
                begun = True
            elif isinstance(event, h11.Data):
                await send({"type": "http.response.body", "body": bytes(event.data), "more_body": True})
    except (OSError, h11.RemoteProtocolError):
        if not begun:
            raise
    # Broken off there, it is as if the bytes had ended: the host sees how many came, and asks for the rest.
    await send({"type": "http.response.body", "body": b""})
    return None
