"""The HTTPS socket: TLS 1.2 and above with ciphers that still hold, one uvicorn on it."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable

import uvicorn

from oms.server.edge.http import Edge
from oms.server.edge.protocol import LimitedProtocol
from oms.server.edge.websocket import ConsoleWebSocket
from oms.server.identity import Pair

BACKLOG = 1024
DOOR_SECONDS, MOST_DOOR_SECONDS = 0.1, 2.0
"""At the end: when no call has come for so long, none is on its way in any more."""
ANSWER_SECONDS, END_SECONDS = 10, 15
"""At the end: for calls under way; then for whoever waits for a job to be told that it is not known yet."""
LINGER_SECONDS = 2
"""At the end, when nothing is under way: for callers and browsers to let go of their connections."""
LARGEST_MESSAGE_BYTES = 1024 * 1024
"""From a browser to a console."""
CIPHERS_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Keys that die with the connection, and no block chaining. TLS 1.3 has nothing else."""


def bound(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made


def configured(edge: Edge, pair: Pair) -> uvicorn.Config:
    """uvicorn's settings. Raises OSError and ssl.SSLError for a certificate that cannot be used."""
    config = uvicorn.Config(
        edge,
        http=LimitedProtocol,
        ws=ConsoleWebSocket,
        ws_max_size=LARGEST_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # a few bytes that unpack to many, and secrets that compress, are not for us
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        log_level="error",  # a warning for whatever is no HTTP would let anybody fill the log
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=LINGER_SECONDS,
        ssl_certfile=str(pair.certificate),
        ssl_keyfile=str(pair.key),
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        config.ssl.set_ciphers(CIPHERS_1_2)
        config.ssl.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        config.ssl.num_tickets = 1  # each costs a tenth of a handshake, and few callers ever use one
    return config


class Server(uvicorn.Server):
    """uvicorn, with the signals left to `main`, and a way to end on which no call is lost."""

    def take(self, pair: Pair) -> None:
        """Show this certificate from the next connection on, at each port. Raises ssl.SSLError, OSError."""
        if self.config.ssl is not None:
            self.config.ssl.load_cert_chain(pair.certificate, pair.key)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """First nobody comes in any more; whoever is just coming is let in and served; then all is ended."""
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        came = -1
        end = time.monotonic() + MOST_DOOR_SECONDS
        while came != self.server_state.total_requests and time.monotonic() < end:
            came = self.server_state.total_requests
            await asyncio.sleep(DOOR_SECONDS)
        callers = [one for one in self.server_state.connections if isinstance(one, LimitedProtocol)]
        for caller in callers:
            caller.shutdown()
        for _ in range(int(END_SECONDS / DOOR_SECONDS)):
            if not any(caller.is_served for caller in callers):
                break
            await asyncio.sleep(DOOR_SECONDS)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Not ours."""
        yield


@contextlib.asynccontextmanager
async def listening(
    edge: Edge, pair: Pair, sock: socket.socket, leave: Callable[[], None] = lambda: None
) -> AsyncIterator[Server]:
    """Serve on the socket; leaving ends it within seconds. `leave` has who waits for long answered then."""
    server = Server(configured(edge, pair))
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield server
    finally:
        server.should_exit = True
        leaving = asyncio.get_running_loop().call_later(ANSWER_SECONDS, leave)
        await task
        leaving.cancel()
