"""Hosts: those that ask to join, those that were let in, and their tags. A host that is not in `hosts` is not
signed: whoever holds its certificate is refused by the bus at the next look, which is the revocation."""

from collections.abc import Iterable, Mapping

import msgspec
from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, insert, select, update

from oms.contract.event.fleet import (
    HostAsked,
    HostChange,
    HostChanged,
    HostKey,
    HostRefused,
    HostRemoved,
    HostSigned,
    SignedAs,
    TagData,
    TagGiven,
    TagNames,
    TagRenamed,
    TagTaken,
)
from oms.contract.event.shape import Event, NoData
from oms.contract.func import Tag
from oms.contract.internal import HostFacts
from oms.server.store import events, now
from oms.server.store.tables import hosts, removed_keys, requests, tags


class Request(msgspec.Struct, frozen=True):
    """A request that waits; `csr` is the PEM that was reviewed, `facts` JSON of the agent's own words."""

    key_sha256: str
    name: str
    csr: str
    csr_sha256: str
    facts: str
    address: str
    created: float


class Host(msgspec.Struct, frozen=True):
    """A signed host, without its private SSH key. Times are seconds since 1970."""

    id: str
    name: str
    type: str
    key_sha256: str
    certificate_sha256: str
    certificate: str
    not_after: float
    signed_at: float
    signed_by: str
    last_seen: float
    facts: str
    ssh_public: str
    ssh_host_keys: str


class Signing(msgspec.Struct, frozen=True):
    """What signing a host yields: the certificate and the SSH key pair, besides what the request said."""

    id: str
    type: str
    certificate: str
    certificate_sha256: str
    not_after: float
    ssh_private: bytes
    ssh_public: str
    signed_by: str


_facts = msgspec.json.Decoder(HostFacts)
_HOST = [hosts.c[field] for field in Host.__struct_fields__]
_TAGS = select(tags.c.host_id, tags.c.tag, tags.c.level).order_by(tags.c.level, tags.c.tag)
_NAMES = select(hosts.c.id, hosts.c.name)


def facts_of(host: Host | Request) -> HostFacts:
    """What a host's agent last said of it."""
    return _facts.decode(host.facts) if host.facts else HostFacts("")


def ask(tx: Connection, request: Request) -> None:
    """Write a request down, in the place of an earlier one with the same key."""
    tx.execute(delete(requests).where(requests.c.key_sha256 == request.key_sha256))
    tx.execute(insert(requests).values(**msgspec.structs.asdict(request)))
    events.tell(tx, HostAsked, HostKey(request.key_sha256), host=request.name)


def waiting(tx: Connection) -> list[Request]:
    """All requests, the oldest first."""
    return [Request(**row._mapping) for row in tx.execute(select(requests).order_by(requests.c.created))]


def request_by_key(tx: Connection, key_sha256: str) -> Request | None:
    """The request with that key, or None."""
    row = tx.execute(select(requests).where(requests.c.key_sha256 == key_sha256)).one_or_none()
    return Request(**row._mapping) if row else None


def requests_named(tx: Connection, name: str) -> list[Request]:
    """The requests for a name: more than one means that two keys want it."""
    return [Request(**row._mapping) for row in tx.execute(select(requests).where(requests.c.name == name))]


def count_requests(tx: Connection) -> int:
    """How many requests wait."""
    return tx.execute(select(func.count()).select_from(requests)).scalar_one()


def drop_requests(tx: Connection, names: Iterable[str]) -> None:
    """Remove all requests for these names."""
    _drop(tx, requests.c.name.in_(list(names)))


def drop_requests_before(tx: Connection, moment: float) -> int:
    """Remove the requests that are older than that; how many there were."""
    return _drop(tx, requests.c.created < moment)


def _drop(tx: Connection, which: ColumnElement[bool]) -> int:
    names = list(tx.execute(delete(requests).where(which).returning(requests.c.name)).scalars())
    for name in dict.fromkeys(names):
        events.tell(tx, HostRefused, NoData(), host=name)
    return len(names)


def sign(tx: Connection, request: Request, signing: Signing) -> None:
    """Let a host in: its request is gone, its row is there."""
    values = {**msgspec.structs.asdict(signing), "name": request.name, "key_sha256": request.key_sha256}
    tx.execute(insert(hosts).values(**values, facts=request.facts, signed_at=now()))
    tx.execute(delete(requests).where(requests.c.key_sha256 == request.key_sha256))
    events.tell(tx, HostSigned, SignedAs(signing.type), host=request.name)


def renew(
    tx: Connection, host_id: str, *, key_sha256: str, certificate: str, certificate_sha256: str, not_after: float
) -> None:
    """Give a signed host its new key and certificate; the old ones are refused from then on."""
    values = {"certificate": certificate, "certificate_sha256": certificate_sha256, "not_after": not_after}
    tx.execute(update(hosts).where(hosts.c.id == host_id).values(key_sha256=key_sha256, **values))


def remove(tx: Connection, name: str) -> Host | None:
    """Throw a host out, with its tags and SSH keys; the host as it was, or None."""
    host = by_name(tx, name)
    if host:
        tx.execute(delete(tags).where(tags.c.host_id == host.id))
        tx.execute(delete(hosts).where(hosts.c.id == host.id))
        tx.execute(delete(removed_keys).where(removed_keys.c.key_sha256 == host.key_sha256))
        tx.execute(insert(removed_keys).values(key_sha256=host.key_sha256, removed=now()))
        events.tell(tx, HostRemoved, NoData(), host=name)
    return host


def was_removed(tx: Connection, key_sha256: str) -> bool:
    """Whether a host with that key was thrown out: such a key never comes in again."""
    removed = select(removed_keys.c.removed).where(removed_keys.c.key_sha256 == key_sha256)
    return tx.execute(removed).first() is not None


def by_name(tx: Connection, name: str) -> Host | None:
    """The signed host of that name, or None."""
    return _one(tx, hosts.c.name == name)


def by_id(tx: Connection, host_id: str) -> Host | None:
    """The signed host of that id, or None."""
    return _one(tx, hosts.c.id == host_id)


def by_certificate(tx: Connection, sha256: str) -> Host | None:
    """The signed host whose certificate has that fingerprint, or None."""
    return _one(tx, hosts.c.certificate_sha256 == sha256)


def by_key(tx: Connection, sha256: str) -> Host | None:
    """The signed host whose key has that fingerprint, or None."""
    return _one(tx, hosts.c.key_sha256 == sha256)


def signed(tx: Connection, tag: str | None = None) -> list[Host]:
    """The signed hosts by name, all or those with a tag."""
    question = select(*_HOST).order_by(hosts.c.name)
    if tag is not None:
        question = question.where(hosts.c.id.in_(select(tags.c.host_id).where(tags.c.tag == tag)))
    return [Host(*row) for row in tx.execute(question)]  # by place: there may be hundreds


def names(tx: Connection) -> dict[str, str]:
    """The names of the signed hosts by id."""
    return {host_id: name for host_id, name in tx.execute(_NAMES)}  # noqa: C416 - rows are no pairs to mypy


def seen(tx: Connection, moments: Mapping[str, float]) -> None:
    """Remember when hosts were heard of last, by host id."""
    if not moments:
        return
    which = update(hosts).where(hosts.c.id == bindparam("host")).values(last_seen=bindparam("moment"))
    tx.execute(which, [{"host": host_id, "moment": moment} for host_id, moment in moments.items()])


def say(tx: Connection, host_id: str, facts: str) -> None:
    """Remember what a host says of itself."""
    tx.execute(update(hosts).where(hosts.c.id == host_id).values(facts=facts))


def guests_kept(tx: Connection) -> dict[str, str]:
    """The guests that each host told of before it left, as JSON by host id."""
    told = select(hosts.c.id, hosts.c.guests).where(hosts.c.guests != "")
    return {row.id: row.guests for row in tx.execute(told)}


def keep_guests(tx: Connection, host_id: str, text: str) -> None:
    """Remember a host's guests, as JSON."""
    tx.execute(update(hosts).where(hosts.c.id == host_id).values(guests=text))


def ssh_public_key(tx: Connection, host_id: str) -> str:
    """OMS's public SSH key for a host, one line; empty where the host is not signed."""
    return tx.execute(select(hosts.c.ssh_public).where(hosts.c.id == host_id)).scalar_one_or_none() or ""


def ssh_private_key(tx: Connection, host_id: str) -> bytes | None:
    """OMS's private SSH key for a host, in OpenSSH's form; None where the host is not signed."""
    return tx.execute(select(hosts.c.ssh_private).where(hosts.c.id == host_id)).scalar_one_or_none()


def pin_ssh(tx: Connection, host_id: str, keys: Iterable[str], *, anew: bool = False) -> None:
    """Know the host's SSH server by these keys from now on. What is known already stays, but `anew`."""
    row = update(hosts).where(hosts.c.id == host_id)
    tx.execute((row if anew else row.where(hosts.c.ssh_host_keys == "")).values(ssh_host_keys="\n".join(keys)))


def tags_of(tx: Connection) -> dict[str, list[Tag]]:
    """The tags of each host that has any, by host id; by level, then by name."""
    found: dict[str, list[Tag]] = {}
    for host_id, tag, level in tx.execute(_TAGS):  # by place: there may be thousands
        found.setdefault(host_id, []).append(Tag(tag, level))
    return found


def put_tags(tx: Connection, host_id: str, level: int, names: Iterable[str]) -> None:
    """Make these the host's tags of a level. A tag that it has at another level stays there."""
    tx.execute(delete(tags).where(tags.c.host_id == host_id, tags.c.level == level))
    present = set(tx.execute(select(tags.c.tag).where(tags.c.host_id == host_id)).scalars())
    for name in dict.fromkeys(names):
        if name not in present:
            tx.execute(insert(tags).values(host_id=host_id, tag=name, level=level))


def tags_at(tx: Connection, *levels: int) -> list[str]:
    """Every tag that any host bears at one of the levels, once."""
    return list(tx.execute(select(tags.c.tag).where(tags.c.level.in_(levels)).distinct()).scalars())


def freeform_of(tx: Connection, host_id: str) -> list[str]:
    """The tags of level 3 of a host."""
    return list(tx.execute(select(tags.c.tag).where(tags.c.host_id == host_id, tags.c.level == 3)).scalars())


def add_tag(tx: Connection, host_id: str, tag: str) -> None:
    """Give a host a tag of level 3, which it does not bear."""
    tx.execute(insert(tags).values(host_id=host_id, tag=tag, level=3))
    _tell(tx, host_id, TagGiven, TagData(tag))


def take_tag(tx: Connection, host_id: str, tag: str) -> bool:
    """Take a tag of level 3 from a host; False where it does not bear it."""
    which = (tags.c.host_id == host_id) & (tags.c.tag == tag) & (tags.c.level == 3)
    taken = bool(tx.execute(delete(tags).where(which)).rowcount)
    if taken:
        _tell(tx, host_id, TagTaken, TagData(tag))
    return taken


def rename_tag(tx: Connection, old: str, new: str) -> None:
    """Call a tag of level 3 otherwise, at all hosts; guests have theirs elsewhere."""
    tx.execute(update(tags).where(tags.c.tag == old, tags.c.level == 3).values(tag=new))
    events.tell(tx, TagRenamed, TagNames(old, new))


def change_type(tx: Connection, host_id: str, kind: str) -> None:
    """Make a host one of that type."""
    tx.execute(update(hosts).where(hosts.c.id == host_id).values(type=kind))
    put_tags(tx, host_id, 1, (kind,))
    _tell(tx, host_id, HostChanged, HostChange(["type"]))


def _tell(tx: Connection, host_id: str, kind: type[Event], data: msgspec.Struct) -> None:
    host = by_id(tx, host_id)
    events.tell(tx, kind, data, host=host.name if host else "")


def _one(tx: Connection, which: object) -> Host | None:
    row = tx.execute(select(*_HOST).where(which)).one_or_none()  # type: ignore[arg-type]
    return Host(**row._mapping) if row else None
