"""Bringing a file: its bytes are PUT where OMS said, and after any break from where on they are wanted."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from oms.client.ways import FAILURES, FAULT, ClientError, OutOfReach, Response, Ways
from oms.contract import errors
from oms.contract.incoming import Upload

PART_BYTES = 256 * 1024
STALLED_SECONDS = 90.0
PAUSE_SECONDS = 1.0
MOST_BREAKS = 60
"""One after the other, without a byte that came between them."""


class Sent(msgspec.Struct, frozen=True):
    """How far an upload is, in bytes."""

    sent: int
    size: int


class _Stand(msgspec.Struct):
    state: str = ""
    offset: int = -1
    error: dict[str, str] = {}


def measured(file: Path) -> tuple[int, str]:
    """A file's size in bytes and its SHA-256. Raises OSError."""
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
        return opened.tell(), digest


class Sending:
    """One file on its way."""

    def __init__(
        self,
        ways: Ways,
        upload: Upload,
        file: Path,
        sessid: Callable[[], str],
        progress: Callable[[Sent], None] | None = None,
    ) -> None:
        """`sessid` is asked at each request. Raises OSError."""
        self._ways, self._upload, self._file, self._sessid = ways, upload, file, sessid
        self._size = file.stat().st_size
        self._tell = progress or (lambda _sent: None)

    async def run(self) -> None:
        """Bring all of it. Raises OSError, ClientError, and the error with which the upload's job ended."""
        offset, furthest, breaks = await self._wanted(), -1, 0
        while offset is None or 0 <= offset < self._size:
            if offset is not None and offset > furthest:
                furthest, breaks = offset, 0
            if offset is not None:
                offset = await self._put(offset)
            if offset is None:
                breaks += 1
                if breaks > MOST_BREAKS:
                    raise OutOfReach(f"The host takes no more of {self._file.name}, for which it waits an hour.")
                await asyncio.sleep(PAUSE_SECONDS)
                offset = await self._wanted()
        self._tell(Sent(self._size, self._size))

    async def _wanted(self) -> int | None:
        """From where on bytes are wanted; -1: none any more; None: that is not known now."""
        for url in tuple(self._ways.urls):
            try:
                answer = await self._ways.request(
                    "GET", f"{url}{self._upload.address}", b"", self._who(), STALLED_SECONDS
                )
            except FAILURES:
                continue
            return _offset(answer)
        return None

    async def _put(self, first: int) -> int | None:
        """Bring what is wanted from there on; then as `_wanted`."""
        headers = {
            **self._who(),
            "Content-Length": str(self._size - first),
            "Content-Range": f"bytes {first}-{self._size - 1}/{self._size}",
        }
        url = f"{self._ways.urls[0]}{self._upload.address}"
        try:
            answer = await self._ways.request("PUT", url, self._parts(first), headers, STALLED_SECONDS)
        except FAILURES:
            return None
        return _offset(answer)

    async def _parts(self, first: int) -> AsyncIterator[bytes]:
        with self._file.open("rb") as opened:
            opened.seek(first)
            while first < self._size:
                part = await asyncio.to_thread(opened.read, min(PART_BYTES, self._size - first))
                if not part:
                    raise OSError(f"{self._file} became shorter while it was brought.")
                yield part
                first += len(part)
                self._tell(Sent(first, self._size))

    def _who(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._sessid()}"}


def _offset(response: Response) -> int | None:
    try:
        stand = msgspec.json.decode(response.body, type=_Stand)
    except msgspec.MsgspecError as bad:
        raise ClientError(f"{response.url} answers {response.status}: {response.text}") from bad
    if stand.error:
        if response.status >= FAULT:
            return None
        raise errors.shown(stand.error.get("message", ""), {"name": stand.error.get("name", "")})
    if stand.state == "done":
        return -1
    return None if stand.offset < 0 else stand.offset
