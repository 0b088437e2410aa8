"""Whoever wants to hear of changes."""

import contextlib
from collections.abc import Callable

from oms.agent.guests import Change


class Listeners:
    """Told in the order in which they came."""

    def __init__(self) -> None:
        self._all: list[Callable[[Change], None]] = []

    def add(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call back at each change. Answers the function that ends it."""
        self._all.append(callback)

        def end() -> None:
            with contextlib.suppress(ValueError):
                self._all.remove(callback)

        return end

    def tell(self, change: Change) -> None:
        """Something has changed."""
        for listener in list(self._all):
            listener(change)
