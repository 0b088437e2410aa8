"""What a text console says, in files that asciinema plays (asciicast, version 2).

Written beside the event loop, a part at a time; what has not been written when OMS dies is a second's worth. Only
what the console shows is in it: passwords that are typed unseen are not.
"""

import asyncio
import codecs
import contextlib
import time

import msgspec
import structlog

from oms.contract.errors import NotRecorded
from oms.server.consoles.shelf import About, Head, Shelf, why_not

log = structlog.get_logger("oms.consoles")
FLUSH_SECONDS = 1.0
LARGEST_BYTES = 64 * 1024 * 1024
"""Of one file: what comes after goes into the next."""
MOST_WAITING_BYTES = 1024 * 1024
"""With so much not yet written, the console is held up."""
_encode = msgspec.json.encode


class Recording:
    """One console's, from `begin` to `close`."""

    def __init__(self, shelf: Shelf, about: About, title: str, size: tuple[int, int]) -> None:
        self._shelf, self._about, self._title, self._size = shelf, about, title, size
        self._open()
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._lines: list[bytes] = []
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._ending = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self.failed = ""
        """Why it could not go on; what the console said from then on is not in it."""

    @classmethod
    async def begin(cls, shelf: Shelf, about: About, title: str, size: tuple[int, int]) -> "Recording":
        """Raises NotRecorded."""
        made = await asyncio.to_thread(cls, shelf, about, title, size)
        made._writing = asyncio.create_task(made._write())
        return made

    def _open(self) -> None:
        """Raises NotRecorded."""
        columns, rows = self._size
        head = Head(columns, rows, int(time.time()), self._title, self._about)
        self.id, self._file = self._shelf.begin(head)
        self._began, self._bytes = time.monotonic(), 0

    def hear(self, data: bytes) -> None:
        """The console said this."""
        if text := self._decode(data):
            self._note("o", text)

    def resize(self, columns: int, rows: int) -> None:
        """The window is as large now."""
        self._size = (columns, rows)
        self._note("r", f"{columns}x{rows}")

    async def keep_up(self) -> None:
        """Wait until not too much is waiting to be written. Raises OSError where it cannot be written."""
        if self._waiting > MOST_WAITING_BYTES:
            await self._flush()
        if self.failed:
            raise OSError(self.failed)

    async def close(self) -> None:
        """Write the rest; what nothing was said in is not kept."""
        self._ending.set()
        if self._writing is not None:
            await self._writing
        await self._flush()
        await asyncio.to_thread(self._shut)

    def _note(self, kind: str, text: str) -> None:
        line = _encode([round(time.monotonic() - self._began, 6), kind, text])
        self._waiting += len(line)
        self._lines.append(line)

    async def _write(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._ending.wait()
            await self._flush()

    async def _flush(self) -> None:
        async with self._turn:
            lines, self._lines, self._waiting = self._lines, [], 0
            if lines and not self.failed:
                try:
                    await asyncio.to_thread(self._put, b"\n".join((*lines, b"")))
                except OSError as failure:
                    self._fail(why_not(failure))
                except NotRecorded as failure:
                    self._fail(failure.message)

    def _fail(self, why: str) -> None:
        self.failed = why
        log.error("console not recorded any more", id=self._about.console, why=why)

    def _put(self, data: bytes) -> None:
        """Raises OSError, NotRecorded."""
        if self._bytes and self._bytes + len(data) > LARGEST_BYTES:
            self._shut()
            self._open()
            self._shelf.tidy()
        self._file.write(data)
        self._file.flush()
        self._bytes += len(data)

    def _shut(self) -> None:
        with contextlib.suppress(OSError):  # what it still held was told as lost before
            self._file.close()
        self._shelf.ended(self.id)
        if not self._bytes:
            self._shelf.throw_away(self.id)
