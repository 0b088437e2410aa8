"""TagService: tags given, taken, renamed and listed. All of them are OMS's own; a host is asked only who a guest
is that is to bear one."""

from typing import Any

from sqlalchemy import Connection

from oms.contract import tag as api
from oms.contract.errors import FuncManError, HostUnavailable, NotThere
from oms.contract.func import Tag
from oms.contract.registry import BY_WIRE
from oms.contract.tag import Bearer, ReservedTag, TagTaken, TooManyTags, UnknownHostException
from oms.server.desk import Desk, Table
from oms.server.rules import tags as rules
from oms.server.rules.hosttype import DEFAULT_TYPES
from oms.server.rules.tags import Line, Tagged
from oms.server.store import guests, hosts
from oms.server.store.hosts import Host, facts_of

handlers = Table()


@handlers.handles(api.ChangeHostType)
async def change_host_type(op: api.ChangeHostType, desk: Desk) -> int:
    """All of them, or none. The last word on a host counts."""
    wanted = {host.name: host.type for host in op.hosts}
    if unknown := [kind for kind in wanted.values() if kind not in DEFAULT_TYPES]:
        raise UnknownHostException(
            f"Nothing was changed, because there is no host type {', '.join(unknown)[:200]}; there are: "
            f"{', '.join(DEFAULT_TYPES)}",
            unknown=unknown,
        )

    def change(tx: Connection) -> None:
        found = {name: hosts.by_name(tx, name) for name in wanted}
        if unknown := [name for name, host in found.items() if host is None]:
            raise UnknownHostException(
                f"Nothing was changed, because of some hosts there is no signing: {', '.join(unknown)[:200]}",
                unknown=unknown,
            )
        for name, host in found.items():
            assert host is not None
            hosts.change_type(tx, host.id, wanted[name])

    await desk.house.store.write(change)
    return 0


@handlers.handles(api.ListTags)
async def list_tags(op: api.ListTags, desk: Desk) -> list[Tag]:
    """By level, then by name."""
    return await desk.house.store.read(_all_tags)


def _all_tags(tx: Connection) -> list[Tag]:
    found = {level: set(hosts.tags_at(tx, level)) for level in (1, 2, 3)}
    found[3] |= set(guests.names(tx))
    return [Tag(name, level) for level, names in found.items() for name in sorted(names)]


@handlers.handles(api.EditFreeformTagName)
async def edit_freeform_tag_name(op: api.EditFreeformTagName, desk: Desk) -> int:
    """At hosts and guests in one transaction."""
    old, new = op.old_tag_name, op.new_tag_name

    def rename(tx: Connection) -> None:
        if not _is_borne(tx, old):
            _refuse_reserved(tx, old)
            raise NotThere(
                f"There is no freeform tag {old!r}: tagservices.list_tags lists those there are", tag=old
            )
        if old == new:
            return
        _refuse_reserved(tx, new)
        if _is_borne(tx, new):
            raise TagTaken(
                f"There is a tag {new!r} already, and two cannot become one by renaming: choose another name, or "
                f"add_tag {new!r} where {old!r} is and remove_tag that",
                tag=new,
            )
        hosts.rename_tag(tx, old, new)
        guests.rename(tx, old, new)

    await desk.house.store.write(rename)
    return 0


@handlers.handles(api.AddTag)
async def add_tag(op: api.AddTag, desk: Desk) -> int:
    """To a host by its record alone; a guest is looked for on its host, which says by what it is known."""
    tag = op.tag_name
    guest = await _guest(op, desk) if op.vm_name else None

    def add(tx: Connection) -> None:
        host = _host(tx, op.server_hostname)
        _refuse_reserved(tx, tag)
        bears = guests.of(tx, guest.id) if guest else hosts.freeform_of(tx, host.id)
        if tag in bears:
            return
        _refuse_too_many(tx, tag, bears)
        if guest:
            guests.add(tx, guest, tag)
        else:
            hosts.add_tag(tx, host.id, tag)

    await desk.house.store.write(add)
    return 0


@handlers.handles(api.RemoveTag)
async def remove_tag(op: api.RemoveTag, desk: Desk) -> int:
    """From a guest by OMS's records, where that is known by that name; its host may be away."""

    def known(tx: Connection) -> Tagged | None:
        return guests.named(tx, _host(tx, op.server_hostname).id, op.vm_type, op.vm_name)

    guest = None
    if op.vm_name:
        guest = await desk.house.store.read(known) or await _guest(op, desk)

    def take(tx: Connection) -> None:
        host = _host(tx, op.server_hostname)
        taken = guests.take(tx, guest, op.tag_name) if guest else hosts.take_tag(tx, host.id, op.tag_name)
        if not taken:
            _refuse_reserved(tx, op.tag_name)
            who = f"{op.vm_name} on {host.name}" if guest else host.name
            raise NotThere(f"{who} does not bear the tag {op.tag_name!r}", tag=op.tag_name)

    await desk.house.store.write(take)
    return 0


@handlers.handles(api.ListTagged)
async def list_tagged(op: api.ListTagged, desk: Desk) -> list[Bearer]:
    """Hosts first, then guests, each by name."""

    def look(tx: Connection) -> list[Bearer]:
        names = {host.id: host.name for host in hosts.signed(tx)}
        found = [Bearer("host", host.name, host.name, host.id) for host in hosts.signed(tx, op.tag_name)]
        return found + [_bearer(guest, names[guest.host_id]) for guest in guests.bearing(tx, op.tag_name)]

    return await desk.house.store.read(look)


def _bearer(guest: Tagged, host: str) -> Bearer:
    if guest.kind == "kvm":
        return Bearer("kvm", host, guest.name, guest.id)
    return Bearer("openvz", host, guest.name, guest.id.partition("/")[2])


def _host(tx: Connection, name: str) -> Host:
    if (host := hosts.by_name(tx, name)) is None:
        raise HostUnavailable(f"No host {name} is signed here: list_signed lists those that are.", host=name)
    return host


def _is_borne(tx: Connection, tag: str) -> bool:
    return tag in hosts.tags_at(tx, 3) or guests.is_borne(tx, tag)


def _refuse_reserved(tx: Connection, tag: str) -> None:
    if why := rules.why_reserved(tag, hosts.tags_at(tx, 1, 2)):
        raise ReservedTag(f"Tag {why}. Nothing was changed.", tag=tag)


def _refuse_too_many(tx: Connection, tag: str, bears: list[str]) -> None:
    if len(bears) >= rules.MOST_OF_ONE:
        raise TooManyTags(f"It bears {rules.MOST_OF_ONE} tags already, which is the most: remove one first.")
    if _is_borne(tx, tag):
        return
    if len({*hosts.tags_at(tx, 3), *guests.names(tx)}) >= rules.MOST_IN_ALL:
        raise TooManyTags(f"There are {rules.MOST_IN_ALL} different tags already, which is the most.")


async def _guest(op: api.AddTag | api.RemoveTag, desk: Desk) -> Tagged:
    """The guest that is meant, as its host knows it. Raises NotThere, FuncManError, and what its host says."""
    host = await desk.house.fleet.host(op.server_hostname)
    now = await desk.house.store.read(lambda tx: _host(tx, op.server_hostname))
    kinds = (op.vm_type,) if op.vm_type else facts_of(now).hypervisors
    found = [
        guest for kind in rules.KINDS.values() if kind in kinds for guest in await _called(op, kind, host, desk)
    ]
    if not found:
        raise NotThere(f"There is no guest {op.vm_name!r} on {host.name}", guest=op.vm_name)
    if len(found) > 1:
        raise FuncManError(
            f"Several guests on {host.name} are called {op.vm_name!r}: say the id (a machine's UUID, a "
            "container's number), and of what type it is",
            guest=op.vm_name,
        )
    return found[0]


async def _called(op: api.AddTag | api.RemoveTag, kind: str, host: Host, desk: Desk) -> list[Tagged]:
    """The guests of a kind that are called so; by its id it is one, whatever others are named."""
    service = next(service for service, of in rules.KINDS.items() if of == kind)
    question: Any = BY_WIRE[f"{service}.list_vms"]()
    found = []
    for entry in await desk.house.caller.ask(host.id, question):
        line = Line(name=entry.name, id=entry.id, uuid=getattr(entry, "uuid", "") or "", type=kind)
        guest = line.guest(host.id)
        if guest in (op.vm_name.lower(), f"{host.id}/{op.vm_name}"):
            return [Tagged(guest, kind, host.id, line.name, 0, [])]
        if guest and op.vm_name == line.name:
            found.append(Tagged(guest, kind, host.id, line.name, 0, []))
    return found
