"""What a text console said, in a file that asciinema plays (asciicast, version 2).

Written beside the event loop, a part at a time; what has not been written when OMS dies is a second's worth. Only
what the console shows is in it: passwords that are typed unseen are not.
"""

import asyncio
import codecs
import contextlib
import time
from pathlib import Path

import msgspec
import structlog

log = structlog.get_logger("oms.consoles")
FLUSH_SECONDS = 1.0
LARGEST_BYTES = 64 * 1024 * 1024
"""Of one recording; what comes after is not in it."""
_encode = msgspec.json.encode


class Recording:
    """One file, from its first line to `close`."""

    def __init__(self, path: Path, title: str, size: tuple[int, int]) -> None:
        """Raises OSError."""
        self.path = path
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._file = path.open("xb", buffering=0)
        path.chmod(0o600)
        self._began = time.monotonic()
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        columns, rows = size
        header = {"version": 2, "width": columns, "height": rows, "timestamp": int(time.time()), "title": title}
        self._lines = [_encode(header)]
        self._bytes = 0
        self._writing = asyncio.create_task(self._write())

    def hear(self, data: bytes) -> None:
        """The console said this."""
        if text := self._decode(data):
            self._note("o", text)

    def resize(self, columns: int, rows: int) -> None:
        """The window is as large now."""
        self._note("r", f"{columns}x{rows}")

    async def close(self) -> None:
        """Write the rest."""
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)
        await self._flush()
        self._file.close()

    def _note(self, kind: str, text: str) -> None:
        if self._bytes <= LARGEST_BYTES:
            line = _encode([round(time.monotonic() - self._began, 6), kind, text])
            self._bytes += len(line)
            self._lines.append(line)

    async def _write(self) -> None:
        while True:
            await self._flush()
            await asyncio.sleep(FLUSH_SECONDS)

    async def _flush(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._file.write, b"\n".join((*lines, b"")))
