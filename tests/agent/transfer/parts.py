"""Parts that bring what a test has written down, and break where it says."""

from collections.abc import Callable, Sequence
from typing import Any

from oms.agent.transfer.part import Broken, Head


class Scripted:
    """Brings `content` from an offset on, in pieces; breaks after so many bytes of the whole."""

    def __init__(
        self,
        content: bytes,
        offset: int,
        *,
        size: int | None = None,
        breaks_at: int | None = None,
        mark: str = "",
        piece: int = 1000,
        on_read: Callable[[], None] = lambda: None,
    ) -> None:
        self.content, self.offset, self.piece = content, offset, piece
        self.size = len(content) if size is None else size
        self.breaks_at, self.mark, self.on_read = breaks_at, mark, on_read
        self.hung_up = False

    def open(self) -> Head | None:
        return Head(self.offset, None if self.size < 0 else self.size, self.mark)

    def read(self) -> bytes:
        self.on_read()
        if self.breaks_at is not None and self.offset >= self.breaks_at:
            raise Broken("the line went dead")
        most = self.piece if self.breaks_at is None else min(self.piece, self.breaks_at - self.offset)
        piece = self.content[self.offset : self.offset + most]
        self.offset += len(piece)
        return piece

    def hang_up(self) -> None:
        self.hung_up = True


def gives(content: bytes, **more: Any) -> Callable[[int], Scripted]:
    """Brings that from whichever offset is asked for."""
    return lambda offset: Scripted(content, offset, **more)


class Nobody:
    """Where nobody brings anything, or OMS is away."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def open(self) -> Head | None:
        if self.error is not None:
            raise self.error
        return None

    def read(self) -> bytes:
        raise AssertionError("nothing was begun")

    def hang_up(self) -> None:
        pass


class Script:
    """One part after another; `asked` are the offsets and marks that were asked for."""

    def __init__(self, *parts: Callable[[int], Scripted | Nobody]) -> None:
        self._parts: Sequence[Callable[[int], Scripted | Nobody]] = parts
        self.asked: list[tuple[int, str]] = []

    def __call__(self, offset: int, mark: str) -> Scripted | Nobody:
        self.asked.append((offset, mark))
        return self._parts[min(len(self.asked), len(self._parts)) - 1](offset)


class Brings:
    """OMS, as a `Bringer`, with somebody who brings what a script says."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def part(self, _job: str, offset: int) -> Scripted | Nobody:
        return self.script(offset, "")
