"""A terminal: a program that runs on the host as long as its console is set up, whoever looks on meanwhile.

What it last said is kept, so that a browser that comes back sees where it was. A browser that does not read holds
the program up, as a real terminal would, unless it may only look; where nobody looks on, the program goes on and
the oldest is forgotten.
"""

import asyncio
import contextlib
from collections.abc import Callable

import asyncssh
import msgspec

from oms.background import ended
from oms.server.consoles.recording import Recording
from oms.server.consoles.relay import NOT_REACHED, READ_BYTES, Socket
from oms.server.consoles.ways import reaching

KEPT_BYTES = 256 * 1024
TYPE = "xterm-256color"
SIZE = (80, 24)
LANGUAGE = {"LANG": "C.UTF-8"}
"""Browsers write UTF-8: a shell that was not told so throws half of it away. Debian's sshd takes this setting."""
PATIENCE_SECONDS = 5.0
"""So long one who only looks may hold up the others."""
MOST = 1000
"""Columns or rows."""


class Size(msgspec.Struct, frozen=True):
    """What a browser says of its window, in characters."""

    columns: int
    rows: int


_size = msgspec.json.Decoder(Size)


class Terminal:
    """One program with its terminal."""

    def __init__(
        self, connection: asyncssh.SSHClientConnection, process: "asyncssh.SSHClientProcess[bytes]"
    ) -> None:
        self._connection, self._process = connection, process
        self._said = bytearray()
        self._viewers: dict[Socket, bool] = {}
        """Those who look on, and whether that is all they may."""
        self._turn = asyncio.Lock()
        self._reading = asyncio.create_task(self._read())
        self.recording: Recording | None = None

    @classmethod
    async def begin(
        cls, connection: asyncssh.SSHClientConnection, command: str | None, what: str, host: str
    ) -> "Terminal":
        """Run the command, or else the user's shell. Raises NoTunnel; owns the connection from then on."""
        try:
            with reaching(what, host):
                process = await connection.create_process(
                    command,
                    term_type=TYPE,
                    term_size=SIZE,
                    env=LANGUAGE,
                    encoding=None,
                    stderr=asyncssh.STDOUT,
                )
        except BaseException:
            connection.abort()
            raise
        return cls(connection, process)

    @property
    def over(self) -> bool:
        """Whether the program has ended."""
        return self._reading.done()

    def record(self, recording: Recording) -> None:
        """Keep what it says from now on, and what it said before as far as that is still known."""
        recording.hear(bytes(self._said))
        self.recording = recording

    async def show(self, socket: Socket, used: Callable[[], None], *, view_only: bool) -> None:
        """Let a browser look on, until it goes or the program ends."""
        async with self._turn:  # so that what was said before comes before what is said now
            if self._said:
                await socket.give(bytes(self._said))
            self._viewers[socket] = view_only
        typing = asyncio.create_task(self._typed(socket, used, view_only=view_only))
        try:
            await asyncio.wait((typing, self._reading), return_when=asyncio.FIRST_COMPLETED)
            if typing.done():
                typing.result()
        finally:
            self._viewers.pop(socket, None)
            await ended(typing)

    async def _typed(self, socket: Socket, used: Callable[[], None], *, view_only: bool) -> None:
        while (data := await socket.read()) is not None:
            if view_only:
                continue
            used()
            if isinstance(data, str):
                self._resize(data)
            else:
                self._process.stdin.write(data)
                await self._process.stdin.drain()

    def _resize(self, text: str) -> None:
        with contextlib.suppress(msgspec.MsgspecError):
            size = _size.decode(text)
            if 0 < size.columns <= MOST and 0 < size.rows <= MOST:
                self._process.change_terminal_size(size.columns, size.rows)
                if self.recording is not None:
                    self.recording.resize(size.columns, size.rows)

    async def _read(self) -> None:
        with contextlib.suppress(asyncssh.Error, OSError):
            while data := await self._process.stdout.read(READ_BYTES):
                if self.recording is not None:
                    self.recording.hear(data)
                    await self.recording.keep_up()
                async with self._turn:
                    self._keep(data)
                    await asyncio.gather(*(self._give(viewer, data) for viewer in self._viewers))

    def _keep(self, data: bytes) -> None:
        self._said += data
        if len(self._said) > KEPT_BYTES:
            # Not in the midst of a line: what is shown first would be half a letter or half an order.
            cut = self._said.find(b"\n", len(self._said) - KEPT_BYTES)
            del self._said[: cut + 1 if cut >= 0 else len(self._said) - KEPT_BYTES]

    async def _give(self, viewer: Socket, data: bytes) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS if self._viewers[viewer] else None):
                await viewer.give(data)
        except TimeoutError:
            self._viewers.pop(viewer, None)
            with contextlib.suppress(OSError):
                await viewer.close(NOT_REACHED, "This page did not keep up.")
        except OSError:  # it has gone
            self._viewers.pop(viewer, None)

    async def end(self) -> None:
        """End the program, and the connection."""
        self._reading.cancel()
        self._process.close()
        self._connection.abort()
        await ended(self._reading)
