"""What a packed archive holds, read from its beginning to its end as it is unpacked; and archives packed.

A packing is told by its first bytes. However much a few bytes unpack to, a piece at a time is all that is ever
held: gzip, xz and zstd are asked for no more than was wanted, and may use no more memory than their usual levels.

Sources: RFC 1952 (gzip); the .xz file format 1.1; RFC 8878 (zstd).
"""

import contextlib
import gzip
import hashlib
import lzma
import os
import queue
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Final, Protocol

import zstandard

from oms.agent.templates.appliance import BadPackage

MIB: Final = 1024 * 1024
PIECE: Final = MIB
AHEAD: Final = 4
"""Pieces that are unpacked before somebody wants them."""
XZ_MEMORY: Final = 256 * MIB
"""What xz may use: its largest usual level (-9) takes 65 MiB to unpack."""
ZSTD_WINDOW: Final = 128 * MIB
"""That of zstd's --long; its --ultra levels take less."""
LEVEL, MOST_THREADS = 3, 4
"""Of zstd: smaller would take longer than a disk."""
MOST_TIMES: Final = 250
ALWAYS_BYTES: Final = 256 * MIB
"""A system unpacks to three to ten times of its archive, and one with large empty files to somewhat more. What
becomes MOST_TIMES as large is made to fill disks, unless it is no more than this."""
DAMAGES: Final = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zstandard.ZstdError)
GZIP, XZ, ZSTD = b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"


class Readable(Protocol):
    """Anything that unpacks."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


class Sink(Protocol):
    """Where an archive goes."""

    def write(self, piece: bytes, /) -> object:
        """Take the next bytes of it."""


@contextlib.contextmanager
def reading(file: int, told: Callable[[float], None]) -> Iterator["Stream"]:
    """The unpacked content of `file`, a descriptor. `told` gets the share that has been read, and may end the
    reading by an exception. Raises BadPackage, OSError."""
    counted = _Counted(file)
    ahead = _Ahead(_unpacker(counted, os.pread(file, len(XZ), 0)))
    try:
        yield Stream(ahead, counted, os.fstat(file).st_size, told)
    finally:
        ahead.close()


class Stream:
    """What is unpacked, piece by piece."""

    def __init__(self, inner: "_Ahead", file: "_Counted", size: int, told: Callable[[float], None]) -> None:
        self._inner, self._file, self._size, self._told = inner, file, size, told
        self.place = 0

    def read(self, size: int) -> bytes:
        """So many bytes, fewer only at the end. Raises BadPackage, OSError."""
        pieces = []
        while size and (piece := self._piece(min(size, PIECE))):
            pieces.append(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def skip(self, size: int) -> int:
        """Pass over so many bytes; how many there were."""
        passed = 0
        while passed < size and (piece := self._piece(min(size - passed, PIECE))):
            passed += len(piece)
        return passed

    def _piece(self, size: int) -> bytes:
        self._told(self._file.place / max(self._size, 1))
        try:
            piece = self._inner.read(size)
        except DAMAGES as error:
            raise BadPackage(f"it is damaged, or was not copied to its end ({error})") from error
        self.place += len(piece)
        if self.place > max(ALWAYS_BYTES, MOST_TIMES * self._size):
            raise BadPackage(f"it unpacks to more than {MOST_TIMES} times of its own size, as no system does")
        return piece


class _Ahead:
    """Unpacks in a thread of its own, some pieces ahead of who reads: unpacking takes as long as writing."""

    def __init__(self, inner: Readable) -> None:
        self._inner = inner
        self._pieces: queue.Queue[bytes | Exception] = queue.Queue(AHEAD)
        self._rest = memoryview(b"")
        self._over: Exception | bytes | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._unpack, name="unpacking", daemon=True)
        self._thread.start()

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end. Raises what unpacking raises."""
        if not self._rest:
            piece = self._pieces.get() if self._over is None else self._over
            if isinstance(piece, Exception):
                self._over = piece
                raise piece
            if not piece:
                self._over = piece
            self._rest = memoryview(piece)
        piece, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return piece

    def close(self) -> None:
        """End the thread, whatever it does."""
        self._stop.set()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._pieces.get_nowait()
            self._thread.join(0.01)

    def _unpack(self) -> None:
        piece: bytes | Exception = b"x"
        while piece and not isinstance(piece, Exception) and not self._stop.is_set():
            try:
                piece = self._inner.read(PIECE)
            except (OSError, *DAMAGES) as error:
                piece = error
            self._pieces.put(piece)


class _Counted:
    """A descriptor read from its beginning, and how far."""

    def __init__(self, file: int) -> None:
        self._file = file
        self.place = 0

    def read(self, size: int = -1) -> bytes:
        piece = os.pread(self._file, size if 0 <= size < PIECE else PIECE, self.place)
        self.place += len(piece)
        return piece


def _unpacker(file: _Counted, beginning: bytes) -> Readable:
    if beginning.startswith(GZIP):
        return gzip.GzipFile(fileobj=_as_file(file), mode="rb")
    if beginning.startswith(XZ):
        return _Xz(file)
    if beginning.startswith(ZSTD):
        unpacking = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        return unpacking.stream_reader(_as_file(file), read_size=PIECE, read_across_frames=True)
    raise BadPackage("it is packed by none of gzip, xz and zstd: pack it by one of them, as a .tar.gz")


def _as_file(file: "_Counted | _Digested") -> IO[bytes]:
    return file  # type: ignore[return-value]  # all that is asked of it is to read, or to write


class _Xz:
    """One .xz stream after another; zeros may stand between them."""

    def __init__(self, file: _Counted) -> None:
        self._file = file
        self._rest = b""
        self._one = self._next()

    def _next(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def read(self, size: int, /) -> bytes:
        while True:
            if self._one.eof:
                rest = (self._one.unused_data or self._file.read(PIECE)).lstrip(b"\0")
                if not rest:
                    return b""
                self._one, self._rest = self._next(), rest
            if self._one.needs_input and not self._rest:
                self._rest = self._file.read(PIECE)
                if not self._rest:
                    raise EOFError("its end is missing")
            piece, self._rest = self._one.decompress(self._rest, size), b""
            if piece:
                return piece


class Packing:
    """A file that becomes a packed archive, and its SHA-256. What was packed is checked by zstd's own sum whenever
    it is unpacked."""

    def __init__(self, file: IO[bytes]) -> None:
        self._digested = _Digested(file)
        packing = zstandard.ZstdCompressor(
            level=LEVEL, threads=min(os.cpu_count() or 1, MOST_THREADS), write_checksum=True
        )
        self._inner = packing.stream_writer(_as_file(self._digested), closefd=False)

    def write(self, piece: bytes, /) -> int:
        """Bytes of the archive, packed on their way. Raises OSError."""
        return self._inner.write(piece)

    def end(self) -> str:
        """All is written; its digest, in hexadecimal digits. Raises OSError."""
        self._inner.flush(zstandard.FLUSH_FRAME)
        return self._digested.digest.hexdigest()


class _Digested:
    """What is written passes on into a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, piece: bytes) -> int:
        self.digest.update(piece)
        return self._file.write(piece)
