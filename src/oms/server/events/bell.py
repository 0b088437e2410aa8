"""How servers over one database tell each other that there are new events: the events themselves are there.

One server has nobody to tell. For several, a subject of the bus that all of them publish and hear is enough: what
it carries is a number, and losing one only makes the others later, by the seconds after which they look anyway.
"""

from collections.abc import Callable
from typing import Protocol


class Bell(Protocol):
    """The door to the other servers."""

    def ring(self, head: int) -> None:
        """There are events up to that number. Called in the event loop; neither waits nor raises."""

    def on_ring(self, callback: Callable[[int], None]) -> None:
        """Call back in the event loop when another server has rung."""


class Alone:
    """There are no others."""

    def ring(self, head: int) -> None:
        """Nobody hears it."""

    def on_ring(self, callback: Callable[[int], None]) -> None:
        """It is never called."""
