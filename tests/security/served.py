"""A whole server behind its real HTTPS socket: in this process, but in a thread, on a loop of the real kind.

`served.do(...)` runs in that loop what the rig offers (`served.oms`); connections are made with `wire`.
"""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

import uvicorn
import uvloop

from oms.server import identity
from oms.server.ca.client import SignerClient
from oms.server.edge import listener
from tests.security.wire import Connection
from tests.server.rig import Oms, Seed

T = TypeVar("T")
START_S = 60.0


class Served:
    """`with Served(seed, folder) as served:` serves at `served.port` of 127.0.0.1."""

    oms: Oms
    port: int
    server: uvicorn.Server
    _loop: asyncio.AbstractEventLoop
    _told: asyncio.Event

    def __init__(self, seed: Seed, folder: Path, **settings: Any) -> None:
        self._seed, self._folder, self._settings = seed, folder, settings
        self._ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, name="served")

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.result(START_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._told.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            uvloop.run(self._serve())
        except BaseException as failure:
            if self._ready.done():
                raise
            self._ready.set_exception(failure)

    async def _serve(self) -> None:
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        async with Oms(self._seed, self._folder, **self._settings) as self.oms:
            pair = (await identity.prepare(self.oms.config, SignerClient(self.oms.config.signer))).web
            with contextlib.closing(listener.bound("127.0.0.1", 0)) as sock:
                self.port = sock.getsockname()[1]
                async with listener.listening(self.oms.edge, pair, sock) as self.server:
                    self._ready.set_result(None)
                    await self._told.wait()

    def do(self, work: Coroutine[Any, Any, T], seconds: float = 60) -> T:
        """What comes of it in the server's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def session(self, role: str = "viewer") -> str:
        """The SESSID of somebody with that role."""
        return self.do(self.oms.as_user(role)).sessid

    def connect(self, **how: Any) -> Connection:
        """A new connection; see `Connection`."""
        return Connection(self.port, **how)
