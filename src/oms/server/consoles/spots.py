"""Ports that are lent."""


class Spots:
    """A row of ports, lent the lowest first."""

    def __init__(self, first: int, last: int) -> None:
        self._all = range(first, last + 1)
        self._lent: set[int] = set()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._all)

    def __contains__(self, port: object) -> bool:
        """Whether a port is one of them."""
        return port in self._all

    def free(self) -> list[int]:
        """Those that are not lent, in order."""
        return [port for port in self._all if port not in self._lent]

    def lend(self, port: int) -> None:
        """Take one."""
        self._lent.add(port)

    def give_back(self, port: int) -> None:
        """It is free again."""
        self._lent.discard(port)
