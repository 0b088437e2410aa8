"""Every guest of every host in the order of their names. Pure. There may be tens of thousands, and of some of them
hosts tell something new all the time."""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Mapping
from operator import itemgetter
from typing import Final, NamedTuple

from oms.contract.internal import GuestLine

FEW: Final = 16
"""Of so many hosts the guests are put in their places one by one; of more, all are sorted."""


class Row(NamedTuple):
    """A guest as its host tells of it. `text`: its name and id in small letters, to be sorted and searched by."""

    text: str
    host_id: str
    line: GuestLine

    @property
    def tagged_as(self) -> str:
        """The id under which its tags are kept."""
        return self.line.id.lower() if self.line.kind == "kvm" else f"{self.host_id}/{self.line.id}"


BY_NAME: Final = itemgetter(0, 1)
"""The order of rows: by name, without regard to capitals, and always the same where names are."""


class Rows(NamedTuple):
    """Never changed, always replaced. `of` has the same rows by host id."""

    every: list[Row] = []  # noqa: RUF012 - never changed
    of: Mapping[str, list[Row]] = {}

    def anew(self, hosts: Collection[str], lines: Mapping[str, Iterable[GuestLine]]) -> "Rows":
        """With other guests of these hosts; of one that has no lines, with none."""
        now = {host_id: rows_of(host_id, guests) for host_id, guests in lines.items()}
        of = {host_id: rows for host_id, rows in self.of.items() if host_id not in hosts} | now
        if len(hosts) > FEW:
            return Rows(sorted((row for rows in of.values() for row in rows), key=BY_NAME), of)
        every = self.every.copy()
        for host_id in hosts:
            for row in self.of.get(host_id, ()):
                del every[bisect_left(every, BY_NAME(row), key=BY_NAME)]
            for row in now.get(host_id, ()):
                insort(every, row, key=BY_NAME)
        return Rows(every, of)


def rows_of(host_id: str, lines: Iterable[GuestLine]) -> list[Row]:
    """A host's guests, in no order."""
    return [Row(f"{line.name}\n{line.id}".lower(), host_id, line) for line in lines]
