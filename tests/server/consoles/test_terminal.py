"""A terminal and those who look at it."""

import asyncio
from typing import Any

import pytest

from oms.server.consoles import terminal as module
from oms.server.consoles.relay import NOT_REACHED, Message, Socket
from oms.server.consoles.terminal import Terminal


class Program:
    """Says one letter after the other, each as soon as the one before was passed on."""

    def __init__(self, says: str) -> None:
        self.stdout = self
        self._says = [letter.encode() for letter in says]

    async def read(self, _: int) -> bytes:
        """The next; once all is said, nothing more comes."""
        if not self._says:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return self._says.pop(0)


class Page:
    """A browser that reads, or does not; it says nothing."""

    def __init__(self, *, reads: bool) -> None:
        self.came: list[bytes] = []
        self.code = 0
        self.heard = asyncio.Event()
        """All that the program says has come."""
        self._reads, self._gone = reads, asyncio.Event()
        self.socket = Socket(self._receive, self._send)

    async def _receive(self) -> Message:
        await self._gone.wait()
        return {"type": "websocket.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            self.code = message["code"]
            self._gone.set()
        elif self._reads:
            self.came.append(message["bytes"])
            if len(self.came) == 3:
                self.heard.set()
        else:
            await asyncio.Event().wait()


async def test_who_only_looks_and_does_not_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """S-WS-5: a link that was shared stops nobody's work."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    program: Any = Program("abc")
    connection: Any = None
    terminal = Terminal(connection, program)
    mine, theirs = Page(reads=True), Page(reads=False)
    looking = [
        asyncio.create_task(terminal.show(page.socket, lambda: None, view_only=page is theirs))
        for page in (mine, theirs)
    ]
    async with asyncio.timeout(60):
        await looking[1]
        await mine.heard.wait()
    assert b"".join(mine.came) == b"abc"
    assert theirs.code == NOT_REACHED
    looking[0].cancel()
    await asyncio.gather(*looking, return_exceptions=True)
