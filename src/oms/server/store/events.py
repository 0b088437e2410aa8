"""The log of events: told within the transaction of the change that they tell of, numbered at its end.

Whoever writes tells (`tell`), which costs nothing but memory. Just before the commit all that was told in the
transaction gets its numbers and is written at once: writers take turns (`engines`), so the numbers stand in the
order of commits; those that share a commit share this too.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from oms.contract.event.kinds import kind_of
from oms.contract.event.shape import Event, EventGuest
from oms.server.rules.events import Kept
from oms.server.store.moments import moment, now
from oms.server.store.tables import event_marks, events

HEAD, BEGIN = "head", "begin"
LONGEST_ID, LONGEST_NAME = 300, 253
_TOLD = "oms.events"
_encode = msgspec.json.Encoder().encode
_INSERT = insert(events)
_MARK = select(event_marks.c.seq).where(event_marks.c.name == bindparam("mark"))
_MOVE = update(event_marks).where(event_marks.c.name == bindparam("mark"))
_RISE = _MOVE.values(seq=event_marks.c.seq + bindparam("by")).returning(event_marks.c.seq)


def tell(
    tx: Connection,
    kind: type[Event],
    data: msgspec.Struct,
    *,
    host: str = "",
    guest: EventGuest | None = None,
    job: str = "",
    user: str = "",
) -> None:
    """Something happens, with this transaction or not at all. `tx` must be one that writes."""
    made = kind(sequence=0, time="", host=host, guest=guest, job=job, user=user, data=data)  # type: ignore[call-arg]
    told(tx).append(made)


class Told(list[Event]):
    """What was told in a transaction and is not written yet. Cut back, it was not told."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Kept] = []
        """What was written."""


def told(tx: Connection) -> Told:
    """What was told so far."""
    found: Told = tx.info[_TOLD]
    return found


@contextmanager
def telling(tx: Connection) -> Iterator[Told]:
    """Hear what is told in a transaction."""
    info = tx.info  # asked again, a connection that was lost meanwhile would raise an error of its own
    info[_TOLD] = Told()
    try:
        yield info[_TOLD]
    finally:
        del info[_TOLD]


def write(tx: Connection) -> None:
    """Number what was told, and write it: all at once, so that it costs the same for one and for many."""
    pending = told(tx)
    if not pending:
        return
    head: int = tx.execute(_RISE, {"mark": HEAD, "by": len(pending)}).scalar_one()
    at = now()
    rows = [_row(number, at, event) for number, event in enumerate(pending, head - len(pending) + 1)]
    tx.execute(_INSERT, [msgspec.structs.asdict(row) for row in rows])
    pending.kept += rows
    pending.clear()


def ends(tx: Connection) -> tuple[int, int]:
    """The number of the last event that was taken out, and of the newest; 0 where there is none."""
    return _mark(tx, BEGIN), _mark(tx, HEAD)


def after(tx: Connection, seq: int, most: int) -> list[Kept]:
    """The events that follow a number, the oldest first."""
    question = select(events).where(events.c.seq > seq).order_by(events.c.seq).limit(most)
    return [Kept(*row) for row in tx.execute(question)]


def trim(tx: Connection, before: float, most: int) -> int:
    """Take out what is older than that moment, and what are more than so many; the number of the last one taken
    out."""
    begin, head = ends(tx)
    old = tx.execute(select(func.max(events.c.seq)).where(events.c.time < before)).scalar_one() or 0
    upto = max(old, head - most)
    if upto <= begin:
        return begin
    tx.execute(delete(events).where(events.c.seq <= upto))
    _move(tx, BEGIN, upto)
    return upto


def _row(number: int, at: float, pending: Event) -> Kept:
    event = msgspec.structs.replace(pending, sequence=number, time=moment(at))
    guest = event.guest
    return Kept(
        seq=number,
        time=at,
        kind=kind_of(type(event)),
        host=event.host,
        guest_id=guest.id[:LONGEST_ID] if guest else "",
        guest_name=guest.name[:LONGEST_NAME] if guest else "",
        job=event.job,
        user=event.user,
        body=_encode(event).decode(),
    )


def _mark(tx: Connection, name: str) -> int:
    seq: int = tx.execute(_MARK, {"mark": name}).scalar_one()
    return seq


def _move(tx: Connection, name: str, seq: int) -> None:
    tx.execute(_MOVE, {"mark": name, "seq": seq})
