"""Who hears of which events: what his role lets him see, of what he asks for."""

from collections.abc import Iterable

import msgspec

from oms.contract.event.kinds import KINDS
from oms.contract.operation import Permission


class Kept(msgspec.Struct, frozen=True):
    """An event as it is kept: what it is looked for by, and `body`, its JSON as everybody gets it."""

    seq: int
    time: float
    kind: str
    host: str
    guest_id: str
    guest_name: str
    job: str
    user: str
    body: str


class View(msgspec.Struct, frozen=True):
    """Somebody's sight of the events. Empty fields ask for all; `kinds` are whole kinds."""

    role: Permission
    user: str
    kinds: frozenset[str] = frozenset()
    host: str = ""
    guest: str = ""
    job: str = ""

    def sees(self, event: Kept) -> bool:
        """Whether that event is to be told."""
        return self._may(event) and self._wants(event)

    def _may(self, event: Kept) -> bool:
        return event.kind in _SEEN_BY[self.role] or (event.user == self.user and event.kind in _ONES_OWN)

    def _wants(self, event: Kept) -> bool:
        return (
            (not self.kinds or event.kind in self.kinds)
            and (not self.host or event.host == self.host)
            and (not self.job or event.job == self.job)
            and (not self.guest or self.guest in (event.guest_id, event.guest_name))
        )


def whole(names: Iterable[str]) -> frozenset[str]:
    """The kinds that are meant by kinds and nouns."""
    wanted = set(names)
    return frozenset(kind for kind in KINDS if kind in wanted or kind.partition(".")[0] in wanted)


_SEEN_BY = {role: frozenset(kind for kind, event in KINDS.items() if role >= event.seen_by) for role in Permission}
_ONES_OWN = frozenset(kind for kind, event in KINDS.items() if event.ones_own)
