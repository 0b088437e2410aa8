"""The chain of the audit log: each row is sealed with the SHA-256 of itself and of the seal before it, so that
none can be changed, taken out or put in without all that follow being sealed anew."""

import hashlib
from collections.abc import Iterable

import msgspec

NOTHING_BEFORE = "0" * 64
"""The seal before the first row."""


class Row(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed of a row: number, time (RFC 3339), who, from where, what, on what, how it ended. `params` is
    JSON."""

    seq: int
    time: str
    user: str
    session: str
    address: str
    method: str
    host: str
    target: str
    params: str
    outcome: str
    reason: str
    job: str


class Sealed(msgspec.Struct, frozen=True):
    """A row as it is kept, with the seal before it and its own."""

    row: Row
    previous: str
    sha256: str


class Mark(msgspec.Struct, frozen=True):
    """A place in the chain: the number of a row, and its seal."""

    seq: int = 0
    sha256: str = NOTHING_BEFORE


class Verdict(msgspec.Struct, frozen=True):
    """What is true of a chain: how many rows it has, its head, and the number of the first one that is broken,
    with the reason; 0 where it is whole."""

    rows: int
    head: Mark
    broken: int = 0
    why: str = ""


def seal(previous: str, row: Row) -> str:
    """The seal of a row, in hexadecimal."""
    return hashlib.sha256(previous.encode() + msgspec.json.encode(row)).hexdigest()


def judged(rows: Iterable[Sealed], begin: Mark, head: Mark, remembered: Mark | None = None) -> Verdict:
    """Whether rows are a whole chain from one mark to another, and hold what somebody remembers of it.

    `begin`: the last row that was taken out because of its age; `head`: the last one that was written.
    """
    last, count = begin, 0
    if remembered is not None and remembered.seq < begin.seq:
        return Verdict(
            0, head, remembered.seq, f"it is older than what is kept: rows up to {begin.seq} were pruned"
        )
    for sealed in rows:
        count += 1
        row = sealed.row
        if row.seq != last.seq + 1:
            return Verdict(count, head, last.seq + 1, "it is missing")
        if sealed.previous != last.sha256:
            return Verdict(count, head, row.seq, "it does not follow the row before it")
        if sealed.sha256 != seal(last.sha256, row):
            return Verdict(count, head, row.seq, "it was changed")
        last = Mark(row.seq, sealed.sha256)
        if remembered is not None and remembered.seq == last.seq and remembered != last:
            return Verdict(count, head, row.seq, "it is another one than the one that was remembered")
    if last != head:
        return Verdict(count, head, last.seq + 1, f"rows up to {head.seq} were written and are missing")
    if remembered is not None and (
        remembered.seq > last.seq or (remembered.seq == begin.seq and remembered != begin)
    ):
        return Verdict(count, head, last.seq + 1, f"row {remembered.seq} was remembered and is not there")
    return Verdict(count, head)
