"""Guests that bear tags: where each was last seen, and what it bears. Those without tags are not kept."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, insert, select, update

from oms.contract.event.fleet import GuestMove, GuestMoved, TagData, TagGiven, TagTaken
from oms.contract.event.shape import Event, EventGuest
from oms.server.rules import consequences
from oms.server.rules.tags import KINDS, LONGEST_NAME, Tagged
from oms.server.store import events
from oms.server.store import hosts as signed
from oms.server.store.jobs import Job
from oms.server.store.tables import guest_tags, guests

DELETES: Final = frozenset({"kvmservices.delete_vm", "ovzservices.delete_vm"})
MAKES: Final = frozenset({"ovzservices.deploy_template_for_vm"})
"""What it makes may have the id of one that is gone."""
MOVES: Final = frozenset({"kvmservices.migrate_vm", "ovzservices.migrate_vm"})
MOST_AT_ONCE: Final = 10_000


def tagged(tx: Connection, ids: Sequence[str], host_id: str) -> dict[str, Tagged]:
    """Those of the guests that bear tags, and all that were last seen on that host, by id."""
    found: dict[str, Tagged] = {}
    if tx.execute(_any).first() is None:
        return found
    for first in range(0, max(len(ids), 1), MOST_AT_ONCE):
        which = guests.c.id.in_(ids[first : first + MOST_AT_ONCE])
        _gather(tx, found, _all.where(which if first else which | (guests.c.host_id == host_id)))
    return found


def named(tx: Connection, host_id: str, kind: str, name: str) -> Tagged | None:
    """The guest of a host that is called so, by its id or by the name that it was last seen with, if it bears
    tags. `kind` "" is any."""
    found: dict[str, Tagged] = {}
    ids = (name.lower(), f"{host_id}/{name}")
    which = _all.where(guests.c.host_id == host_id, guests.c.id.in_(ids) | (guests.c.name == name))
    _gather(tx, found, which.where(guests.c.kind == kind) if kind else which)
    return next(iter(found.values())) if len(found) == 1 else None


def add(tx: Connection, guest: Tagged, tag: str) -> None:
    """Give a tag to a guest, which may be new here. One that another host has too stays that host's."""
    where = {"host_id": guest.host_id, "name": guest.name[:LONGEST_NAME], "missing": 0.0}
    moved = (guests.c.host_id == guest.host_id) | (guests.c.missing > 0)
    tx.execute(update(guests).where((guests.c.id == guest.id) & moved).values(**where))
    if tx.execute(select(guests.c.id).where(guests.c.id == guest.id)).first() is None:
        tx.execute(insert(guests).values(id=guest.id, kind=guest.kind, **where))
    if tag not in of(tx, guest.id):
        tx.execute(insert(guest_tags).values(guest=guest.id, tag=tag))
        _tell(tx, guest, TagGiven, tag)


def of(tx: Connection, guest: str) -> list[str]:
    """The tags of a guest."""
    return list(tx.execute(select(guest_tags.c.tag).where(guest_tags.c.guest == guest)).scalars())


def take(tx: Connection, guest: Tagged, tag: str) -> bool:
    """Take a tag from a guest; False where it does not bear it. One that bears none is forgotten."""
    which = (guest_tags.c.guest == guest.id) & (guest_tags.c.tag == tag)
    if taken := tx.execute(delete(guest_tags).where(which)).rowcount:
        _tell(tx, guest, TagTaken, tag)
    if not of(tx, guest.id):
        tx.execute(delete(guests).where(guests.c.id == guest.id))
    return bool(taken)


def _tell(tx: Connection, guest: Tagged, kind: type[Event], tag: str) -> None:
    host, name = signed.by_id(tx, guest.host_id), guest.id.rpartition("/")[2]
    about = EventGuest("kvm" if guest.kind == "kvm" else "openvz", name, guest.name)
    events.tell(tx, kind, TagData(tag), host=host.name if host else "", guest=about)


def bearing(tx: Connection, tag: str) -> list[Tagged]:
    """The guests that bear a tag and are there, as far as is known; of their tags, that one alone."""
    found: dict[str, Tagged] = {}
    _gather(tx, found, _all.where(guest_tags.c.tag == tag, guests.c.missing == 0).order_by(guests.c.name))
    return list(found.values())


def names(tx: Connection) -> list[str]:
    """Every tag that a guest bears, once."""
    there = select(guest_tags.c.tag).join(guests).where(guests.c.missing == 0).distinct()
    return list(tx.execute(there).scalars())


def is_borne(tx: Connection, tag: str) -> bool:
    """Whether any guest bears it."""
    return tx.execute(select(guest_tags.c.tag).where(guest_tags.c.tag == tag).limit(1)).first() is not None


def rename(tx: Connection, old: str, new: str) -> None:
    """Call a tag otherwise, at all guests."""
    tx.execute(update(guest_tags).where(guest_tags.c.tag == old).values(tag=new))


def note(tx: Connection, news: Mapping[str, Mapping[str, Any]]) -> None:
    """Write down what was seen of guests: columns by id."""
    for guest, values in news.items():
        tx.execute(update(guests).where(guests.c.id == guest).values(**values))


def forget_missing(tx: Connection, before: float) -> int:
    """Forget those that their hosts have not listed since that moment; how many there were."""
    return _forget(tx, (guests.c.missing > 0) & (guests.c.missing < before))


def follow(tx: Connection, job: Job, notes: Mapping[str, str]) -> None:
    """What a job that is done means for tags: those of a guest that is gone are too, and others move with theirs.

    `notes`: what its host says of it, as the UUID of a machine (its name may be another's by now), or the id of a
    container that was made.
    """
    if job.method not in DELETES | MAKES | MOVES:
        return
    kind = KINDS[job.method.partition(".")[0]]
    if kind == "openvz":
        ctid = notes.get("vm_id", "") if job.method in MAKES else job.target
        which = guests.c.id == f"{job.host_id}/{ctid}"
    elif "uuid" in notes:
        which = guests.c.id == notes["uuid"].lower()
    else:
        which = (guests.c.id == job.target.lower()) | (guests.c.name == job.target)
    which &= (guests.c.host_id == job.host_id) & (guests.c.kind == kind)
    if job.method in MOVES:
        _move(tx, which, job, notes)
    else:
        _forget(tx, which)


_any: Final = select(guests.c.id).limit(1)
_all: Final[Select[Any]] = select(
    guests.c.id, guest_tags.c.tag, guests.c.kind, guests.c.host_id, guests.c.name, guests.c.missing
).join(guest_tags)


def _gather(tx: Connection, found: dict[str, Tagged], question: Select[Any]) -> None:
    """Tens of thousands of rows may come: by place is twice as quick as by name."""
    for guest, tag, kind, host_id, name, missing in tx.execute(question):
        if known := found.get(guest):
            known.tags.append(tag)
        else:
            found[guest] = Tagged(guest, kind, host_id, name, missing, [tag])


def _forget(tx: Connection, which: Any) -> int:
    doomed = select(guests.c.id).where(which)
    tx.execute(delete(guest_tags).where(guest_tags.c.guest.in_(doomed)))
    return tx.execute(delete(guests).where(which)).rowcount


def _move(tx: Connection, which: Any, job: Job, notes: Mapping[str, str]) -> None:
    """To the host that the job names; a container has another id there."""
    asked = json.loads(job.op) if job.op else {}
    name = next((str(value) for key, value in asked.items() if key.endswith("hostname")), "")
    if (to := signed.by_name(tx, name)) is None:
        return
    about = consequences.guest(job.method, job.target, notes)
    events.tell(tx, GuestMoved, GuestMove(name), host=job.host, guest=about, job=job.id, user=job.owner)
    for row in tx.execute(select(guests).where(which)).all():
        if row.kind == "kvm":
            tx.execute(update(guests).where(guests.c.id == row.id).values(host_id=to.id, missing=0.0))
            continue
        moved = f"{to.id}/{row.id.partition('/')[2]}"
        _forget(tx, guests.c.id == moved)
        tx.execute(insert(guests).values(**{**row._mapping, "id": moved, "host_id": to.id, "missing": 0.0}))
        tx.execute(update(guest_tags).where(guest_tags.c.guest == row.id).values(guest=moved))
        tx.execute(delete(guests).where(guests.c.id == row.id))
