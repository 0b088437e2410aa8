"""Whose files are whose: a container's own numbers of its users and groups, and those they have here. Pure."""

from typing import Final

from oms.agent.guests.containers import IdMap, IdRange

ALL: Final = 2**32 - 1
"""Numbers that there are; the last means nobody at all."""


class Owners:
    """The map of one container; an empty one means that the numbers are the same."""

    def __init__(self, ids: IdMap = ()) -> None:
        ranges = ids or (IdRange("user", 0, 0, ALL), IdRange("group", 0, 0, ALL))
        self._users = [part for part in ranges if part.kind == "user"]
        self._groups = [part for part in ranges if part.kind == "group"]
        self.same = not ids

    def user(self, number: int) -> int | None:
        """The number here of a user of the container; None for one whom it does not have."""
        return _moved(number, self._users, outward=True)

    def group(self, number: int) -> int | None:
        """The same of a group."""
        return _moved(number, self._groups, outward=True)

    def user_inside(self, number: int) -> int | None:
        """The other way: the container's number of a user here."""
        return _moved(number, self._users, outward=False)

    def group_inside(self, number: int) -> int | None:
        """The same of a group."""
        return _moved(number, self._groups, outward=False)


def _moved(number: int, ranges: list[IdRange], *, outward: bool) -> int | None:
    for part in ranges:
        first, to = (part.inside, part.outside) if outward else (part.outside, part.inside)
        if first <= number < first + part.count:
            return to + number - first
    return None
