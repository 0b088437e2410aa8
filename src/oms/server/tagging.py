"""OMS's tags put into the lists of guests that hosts answer.

A list is recorded as its host gave it, and gets its tags each time that it is handed out: a tag that was given or
taken shows at once, and no host is asked for it. A fresh list tells, the other way round, where guests are now and
what they are called.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from msgspec import Raw

from oms.bus.call import decode, encode
from oms.contract.errors import OmsError
from oms.contract.operation import HostOperation
from oms.server.rules import tags
from oms.server.rules.tags import Line, Tagged
from oms.server.store import Store, guests, now

log = structlog.get_logger("oms.tags")
_lines = msgspec.json.Decoder(list[Line])


class Tagging:
    """What the lists of all hosts get from one database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def dressed(
        self, kind: type[HostOperation[Any]], host_id: str, answer: Raw, wanted: Collection[str], *, fresh: bool
    ) -> Raw:
        """What a host's read answers, with tags where it is a list of guests: of those alone that bear all that
        are wanted. `fresh`: the host gave it just now."""
        if (listed := tags.list_of_guests(kind)) is None:
            return answer
        lines = _lines.decode(answer)
        ids = [line.guest(host_id) for line in lines]
        tagged = await self._store.read(lambda tx: guests.tagged(tx, ids, host_id))
        if fresh and tagged:
            await self._note(kind, host_id, lines, tagged)
        if not wanted and not any(guest in tagged for guest in ids) and not any(line.tags for line in lines):
            return answer
        entries = decode(bytes(answer), listed)
        return Raw(encode(tags.dressed(entries, lines, host_id, tagged, wanted)))

    async def _note(
        self, kind: type[HostOperation[Any]], host_id: str, lines: Sequence[Line], tagged: Mapping[str, Tagged]
    ) -> None:
        """Write down what is new in a list. Where that cannot be, the next list tells it again."""
        news = tags.seen(lines, host_id, tagged, tags.KINDS.get(kind.facts.service.name), now())
        if news:
            try:
                await self._store.write(lambda tx: guests.note(tx, news))
            except OmsError as failure:
                log.warning("guests not noted", id=host_id, failure=failure.message)
