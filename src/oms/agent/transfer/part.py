"""One stretch of a file as it comes over one connection: what `incoming` asks of whoever brings it."""

from typing import Protocol

import msgspec

READ_BYTES = 256 * 1024


class Broken(Exception):
    """It did not come, or broke off: trying again may help. The text says why, for a person."""


class Head(msgspec.Struct, frozen=True):
    """What is about to come: from where on, of how many bytes in all (None: nobody says), and by which mark it can
    be told that it is still the same file."""

    offset: int
    size: int | None
    mark: str = ""


class Part(Protocol):
    """All methods but `hang_up` block, and are called in a thread. They raise Broken, and FuncManError where
    trying again is of no use."""

    def open(self) -> Head | None:
        """Begin; None where nobody brings anything just now."""

    def read(self) -> bytes:
        """What has come next, b"" at the end."""

    def hang_up(self) -> None:
        """End it, from whichever thread; who reads is told Broken."""


class Bringer(Protocol):
    """OMS, as far as bytes for jobs of this host go."""

    def part(self, job: str, offset: int) -> Part:
        """What somebody brings to a job, from there on."""
