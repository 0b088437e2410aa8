"""How many may wait for events at a time: each session few, and all together so many as the machine carries."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from oms.contract.event import TooManyListeners

OF_A_SESSION = 16


class Places:
    """Those who wait now."""

    def __init__(self, in_all: int) -> None:
        self._in_all = in_all
        self._taken: Counter[str] = Counter()

    @contextmanager
    def place(self, session: str) -> Iterator[None]:
        """A place for somebody, by the digest of his session. Raises TooManyListeners."""
        if self._taken[session] >= OF_A_SESSION:
            raise TooManyListeners(
                f"{OF_A_SESSION} wait for events in this session already: end some, or log in once more."
            )
        if self._taken.total() >= self._in_all:
            raise TooManyListeners(f"{self._in_all} wait for events already, which is the most: try again later.")
        self._taken[session] += 1
        try:
            yield
        finally:
            self._taken[session] -= 1
            if not self._taken[session]:
                del self._taken[session]
