"""More ports of the same server: those of consoles come and go, the page server's stays."""

import asyncio
import functools
from collections.abc import Callable

import uvicorn

from oms.server.edge.listener import Server, bound
from oms.server.edge.protocol import LimitedProtocol


class MorePorts:
    """Ports beside the main one, served by the same application with the same certificate."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._server: uvicorn.Server | None = None
        self._beginning: set[asyncio.Task[asyncio.Server]] = set()

    def use(self, server: Server) -> None:
        """Serve with this from now on."""
        self._server = server

    def listen(self, port: int) -> Callable[[], None]:
        """Listen until the function is called that is answered; connections that are there then go on.

        Raises OSError.
        """
        if self._server is None:
            raise OSError("nothing is served yet")
        sock = bound(self._host, port)
        config, state = self._server.config, self._server.server_state
        made = functools.partial(LimitedProtocol, config=config, server_state=state, app_state={}, port=port)
        beginning = asyncio.create_task(
            asyncio.get_running_loop().create_server(made, sock=sock, ssl=config.ssl, backlog=64)
        )
        self._beginning.add(beginning)
        return functools.partial(self._end, beginning)

    def _end(self, beginning: "asyncio.Task[asyncio.Server]") -> None:
        self._beginning.discard(beginning)
        beginning.add_done_callback(lambda task: task.result().close())
