"""The audit log: rows that are only added, each sealed with the one before it; from the old end they are
pruned."""

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, update

from oms.server.rules.chain import Mark, Row, Sealed, Verdict, judged, seal
from oms.server.store.tables import audit, audit_marks, jobs

AT_ONCE = 1000
HEAD, BEGIN = "head", "begin"
_INSERT = insert(audit)
_MARK = select(audit_marks.c.seq, audit_marks.c.sha256).where(audit_marks.c.name == bindparam("mark"))
_MOVE = update(audit_marks).where(audit_marks.c.name == bindparam("mark"))


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to be written; its number is given when it is. `time` is RFC 3339 in UTC, `params` JSON."""

    time: str
    method: str
    user: str = ""
    session: str = ""
    address: str = ""
    host: str = ""
    target: str = ""
    params: str = "{}"
    outcome: str = "ok"
    reason: str = ""
    job: str = ""


class Wanted(msgspec.Struct, frozen=True):
    """Which rows: all whose fields are these; empty ones do not matter. `since` and `until` are RFC 3339."""

    user: str = ""
    method: str = ""
    host: str = ""
    outcome: str = ""
    job: str = ""
    since: str = ""
    until: str = ""


def append(tx: Connection, entry: Entry) -> None:
    """Add a row at the end. Writers take turns (`engines`), or two rows could have one number."""
    last = mark(tx, HEAD)
    row = Row(seq=last.seq + 1, **{name: _text(value) for name, value in msgspec.structs.asdict(entry).items()})
    sha256 = seal(last.sha256, row)
    tx.execute(_INSERT, {**msgspec.structs.asdict(row), "previous": last.sha256, "sha256": sha256})
    _move(tx, HEAD, Mark(row.seq, sha256))


def mark(tx: Connection, name: str) -> Mark:
    """The last row that was written (`head`), or that was pruned (`begin`)."""
    row = tx.execute(_MARK, {"mark": name}).one_or_none()
    return Mark(row.seq, row.sha256) if row else Mark()


def newest(tx: Connection, wanted: Wanted, before: int, most: int) -> list[Sealed]:
    """Rows, the newest first, below that number (0: from the end on)."""
    question = select(audit).order_by(audit.c.seq.desc()).limit(most)
    for name in ("user", "method", "host", "outcome", "job"):
        if value := getattr(wanted, name):
            question = question.where(audit.c[name] == value)
    if before:
        question = question.where(audit.c.seq < before)
    if wanted.since:
        question = question.where(audit.c.time >= wanted.since)
    if wanted.until:
        question = question.where(audit.c.time < wanted.until)
    return [_sealed(row) for row in tx.execute(question).mappings()]


def verify(tx: Connection, remembered: Mark | None = None) -> Verdict:
    """Read all of it, and say whether it is whole."""
    while True:
        begin, head = mark(tx, BEGIN), mark(tx, HEAD)
        verdict = judged(_rows(tx, begin.seq, head.seq), begin, head, remembered)
        if mark(tx, BEGIN) == begin:  # nobody pruned it meanwhile
            return verdict


def _rows(tx: Connection, begin: int, head: int) -> Iterable[Sealed]:
    """All there are, also where the head says that there are none: who put some there forgot the head."""
    question = select(audit).where(audit.c.seq <= head if head else audit.c.seq > 0).order_by(audit.c.seq)
    if begin:
        question = question.where(audit.c.seq > begin)
    for row in tx.execute(question.execution_options(yield_per=AT_ONCE)).mappings():
        yield _sealed(row)


def prune(tx: Connection, before: str, most: int, time: str) -> int:
    """Take out what is older than that moment, and what are more rows than so many; how many. The taking out is
    a row of its own, and what is left is still a whole chain."""
    head, begin = mark(tx, HEAD), mark(tx, BEGIN)
    old = select(audit.c.seq).where(audit.c.time < before).order_by(audit.c.seq.desc()).limit(1)
    upto = max(tx.execute(old).scalar_one_or_none() or 0, head.seq - most)
    sealed = tx.execute(select(audit.c.sha256).where(audit.c.seq == upto)).scalar_one_or_none()
    if sealed is None or upto <= begin.seq:
        return 0
    tx.execute(delete(audit).where(audit.c.seq <= upto))
    _move(tx, BEGIN, Mark(upto, sealed))
    told = msgspec.json.encode({"rows_up_to": upto, "sha256": sealed}).decode()
    append(tx, Entry(time, "audit.prune", user="(oms)", params=told))
    return upto - begin.seq


def unwritten(tx: Connection, since: float, server: str) -> list[tuple[str, str, str, str, str]]:
    """Jobs of a server that were begun since that moment and stand in no row, because it was killed before that:
    id, method, owner, host, target."""
    question = (
        select(jobs.c.id, jobs.c.method, jobs.c.owner, jobs.c.host, jobs.c.target)
        .join(audit, audit.c.job == jobs.c.id, isouter=True)
        .where(jobs.c.created >= since, jobs.c.server.in_((server, "")), audit.c.seq.is_(None))
        .order_by(jobs.c.created)
    )
    return [(row.id, row.method, row.owner, row.host, row.target) for row in tx.execute(question)]


def _move(tx: Connection, name: str, to: Mark) -> None:
    tx.execute(_MOVE, {"mark": name, "seq": to.seq, "sha256": to.sha256})


def _text(value: Any) -> Any:
    """PostgreSQL keeps no NUL in a text."""
    return value.replace("\0", "\\0")


def _sealed(row: RowMapping) -> Sealed:
    return Sealed(Row(*(row[name] for name in Row.__struct_fields__)), row["previous"], row["sha256"])
