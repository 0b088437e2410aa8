"""The only room that touches the nats-py client: one connection, from the first byte to the last, and no more.

Reconnecting is not done here and not left to nats-py (it gives up for good on an expired token, for one):
`oms.bus.nats.link` makes a new client whenever one is lost. What nats-py needs from us, each with a test:

- A message may not break the reader. nats-py decodes subjects and headers while it reads, and splits lines at any
  white space: one strange byte from one host would end the connection that serves all hosts. `_Reader` reads lines
  exactly as nats-server writes them, and `_process_msg` takes any bytes.
- Messages go to their handler at once, without a queue and a task between: a request's way back is short.
- `lost` is set however the connection ends: nats-py does not always call its callbacks.
- A hung peer would hold `close` for 30 s of TLS good-byes: `discard` aborts (`oms.bus.nats.transport`).
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import nats.aio.client
import nats.errors
import structlog
from nats.protocol.parser import Parser

from oms.bus.nats.transport import TlsTransport
from oms.bus.wire import Refused

log = structlog.get_logger("oms.bus.nats")

MessageHandler = Callable[[str, str, bytes, bytes], None]
"""(subject, reply subject or "", raw headers or b"", payload); must not block."""

BUS_ERRORS = (TimeoutError, nats.errors.Error, OSError)
"""What anything sent may raise: no answer, or no connection any more."""

_MAX_LINE = 1024 * 1024  # the longest line nats-server writes is INFO with the addresses of a large cluster


class LinkFailed(Exception):
    """No connection came about."""


class Silence(LinkFailed):
    """The other side took our connection and then said nothing in time: it hangs, or is far too busy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """Files in PEM; they are read anew for each connection, so that renewed ones are taken up."""

    ca_file: Path
    """The CA of nats-servers."""
    cert_file: Path
    key_file: Path
    server_name: str | None = None
    """The name in the certificate of nats-server, where it is not the host part of the address."""

    def context(self) -> ssl.SSLContext:
        """TLS 1.3 with our certificate. Raises LinkFailed when a file is missing or wrong."""
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(self.ca_file))
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ssl.SSLError) as error:
            raise LinkFailed(
                f"cannot use {self.ca_file}, {self.cert_file} and {self.key_file} for TLS: {error}"
            ) from error
        return context


class _Reader(Parser):
    """nats-server's side of the protocol, read by its own rules: fields end at a space, lines at CR LF."""

    nc: "BusClient"

    def __init__(self, client: "BusClient") -> None:
        super().__init__(client)
        self._message: list[bytes] | None = None  # control line of the message whose payload is awaited
        self._wanted = 0

    async def parse(self, data: bytes = b"") -> None:
        """Take in what has arrived and act on all that is whole."""
        self.buf += data
        while self.buf:
            if self._message is None:
                end = self.buf.find(b"\r\n")
                if end < 0:
                    if len(self.buf) > _MAX_LINE:
                        raise nats.errors.ProtocolError
                    return
                line = bytes(self.buf[:end])
                del self.buf[: end + 2]
                await self._line(line)
            elif len(self.buf) < self._wanted + 2:
                return
            else:
                payload = bytes(self.buf[: self._wanted])
                del self.buf[: self._wanted + 2]
                fields, self._message = self._message, None
                await self._deliver(fields, payload)

    async def _line(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        word = word.upper()
        if word in (b"MSG", b"HMSG"):
            self._message = [word, *rest.split(b" ")]
            self._wanted = int(self._message[-1])
        elif word == b"PING":
            await self.nc._process_ping()
        elif word == b"PONG":
            await self.nc._process_pong()
        elif word == b"INFO":
            await self.nc._process_info(msgspec.json.decode(rest))
        elif word == b"-ERR":
            await self.nc._process_err(rest.decode(errors="replace").lower())
        elif word != b"+OK":
            raise nats.errors.ProtocolError

    async def _deliver(self, fields: list[bytes], payload: bytes) -> None:
        # MSG subject sid [reply] size | HMSG subject sid [reply] header-size size
        headers = b""
        tail = 1
        if fields[0] == b"HMSG":
            size = int(fields[-2])
            headers, payload, tail = payload[:size], payload[size:], 2
        reply = fields[3] if len(fields) - tail == 4 else b""
        await self.nc._process_msg(int(fields[2]), fields[1], reply, payload, headers)


class BusClient(nats.aio.client.Client):
    """One connection to nats-server; when `lost` is set it is over."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = _Reader(self)
        self._transport = self._stream = TlsTransport()
        self._handlers: dict[int, MessageHandler] = {}
        self.lost = asyncio.Event()
        self.is_let_go = False
        """nats-server has said that it ends, and that it lets its clients go in turns."""

    async def listen(self, subject: str, handler: MessageHandler, queue: str = "") -> None:
        """Hand every message on `subject` to `handler`."""
        self._handlers[self._sid + 1] = handler  # the number that `subscribe` gives next
        await self.subscribe(subject, queue, future=asyncio.Future())

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        handler = self._handlers.get(sid)
        if handler is None:  # nats-py's own: answers to `request`
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        # A host may write any bytes where our own agents write ASCII: they become signs that match nothing.
        name = subject.decode("ascii", "replace")
        try:
            handler(name, reply.decode("ascii", "replace"), headers, data)
        except Exception:
            log.exception("the handler of a message broke", subject=name)

    async def _process_pong(self) -> None:
        """A PONG for which nobody waits any more is no error of the connection."""
        if self._pongs and self._pongs[0].done():
            self._pongs.pop(0)
            return
        await super()._process_pong()

    async def barrier(self, timeout: float) -> None:
        """Return when nats-server has acted on all that was sent before. Raises TimeoutError or nats' Error.

        `rtt`, because nats-py's `flush` calls a connection without a reader a success. Twice, because nats-py
        writes a PING past the commands that wait for its flusher; the second PING comes after them.
        """
        async with asyncio.timeout(timeout):
            await self.rtt(_NEVER)
            await self.rtt(_NEVER)

    def watch(self) -> None:
        """From here on `lost` tells the end of the reading, whatever its cause."""
        assert self._reading_task is not None
        self._reading_task.add_done_callback(self._ended)

    def abort(self) -> None:
        """End the stream now."""
        self._stream.abort()

    def _ended(self, _task: object) -> None:
        self.lost.set()
        for pong in self._pongs:
            if not pong.done():
                pong.set_exception(nats.errors.ConnectionClosedError())


_NEVER = 3600  # seconds; our own timeouts are around it


async def connect(server: str, credentials: Credentials, *, name: str, timeout: float) -> BusClient:
    """A connection to `server` (host:port) that nats-server has admitted; `timeout` in seconds.

    Raises Refused (it does not let us in), Silence, or LinkFailed.
    """
    context = credentials.context()
    client = BusClient()
    errors: list[Exception] = []

    async def note(error: Exception) -> None:
        errors.append(error)
        del errors[:-1]
        if "permissions violation" in str(error) or isinstance(error, nats.errors.SlowConsumerError):
            log.warning("nats-server complains", name=name, error=str(error))

    async def let_go() -> None:
        client.is_let_go = True

    try:
        async with asyncio.timeout(timeout):
            await client.connect(
                f"tls://{server}",
                name=name,
                tls=context,
                tls_hostname=credentials.server_name,
                tls_handshake_first=True,
                allow_reconnect=False,
                # "1 and 0": nats-py tries an address that does not answer twice and then says so; with 0 attempts
                # it would try for ever.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=int(timeout) + 1,
                ping_interval=_NEVER,
                no_echo=True,  # nobody here needs to hear what he said himself
                error_cb=note,
                lame_duck_mode_cb=let_go,
                skip_subject_validation=True,  # ours are made of checked parts only
            )
    except BUS_ERRORS as error:
        await discard(client)
        cause = errors[-1] if errors and isinstance(error, nats.errors.NoServersError) else error
        raise named(cause, server) from error
    except BaseException:
        await discard(client)
        raise
    if not client.is_connected:
        # nats-server sent a PING while it still asks OMS about us, and nats-py took that for its answer.
        await discard(client)
        raise Silence("nats-server has not decided about this connection")
    client.watch()
    return client


def named(error: Exception, server: str) -> Exception:
    """What an error of nats-py means to us: Silence, Refused or LinkFailed."""
    text = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return Silence(f"{server} does not answer")
    if "authorization violation" in text.lower() or "authentication timeout" in text.lower():
        return Refused("OMS does not let this certificate in, or did not decide in time")
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        return Refused(f"nats-server refuses our certificate: {error.reason}")
    return LinkFailed(f"{server}: {text}")


async def discard(client: BusClient, patience: float = 0.2) -> None:
    """End a connection: politely within `patience` seconds, then by force. Never raises, leaves nothing behind."""
    closing = asyncio.ensure_future(client.close())
    await asyncio.wait({closing}, timeout=patience)
    client.abort()
    tasks = [closing, client._reading_task, client._flusher_task, client._ping_interval_task]
    for task in tasks:
        if task is not None:
            task.cancel()
    for subscription in client._subs.values():
        subscription._stop_processing()
    await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
    client.lost.set()
