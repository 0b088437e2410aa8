"""FuncService: letting hosts in and throwing them out."""

import msgspec
from sqlalchemy import Connection

from oms.contract import func as api
from oms.contract.errors import FuncManError, OmsError
from oms.contract.func import (
    CaFingerprint,
    HostDescription,
    HostName,
    HostType,
    Removal,
    RequestRefused,
    SignedHost,
    UnknownRemoveRequestError,
    UnknownRemoveSignedError,
    UnknownSignRequestsError,
)
from oms.server.desk import Desk, Table
from oms.server.enrol import Signer
from oms.server.store import hosts
from oms.server.store.hosts import Host, Request, facts_of
from oms.server.store.moments import moment, second

handlers = Table()


@handlers.handles(api.ListRequests)
async def list_requests(op: api.ListRequests, desk: Desk) -> list[HostName]:
    """The waiting hosts, each name once."""
    waiting = await desk.house.store.read(hosts.waiting)
    return [HostName(name) for name in dict.fromkeys(request.name for request in waiting)]


@handlers.handles(api.SignRequests)
async def sign_requests(op: api.SignRequests, desk: Desk) -> list[HostName]:
    """Sign all of them, or refuse before anything was signed."""
    names = tuple(dict.fromkeys(op.hostname_list))
    requests = await desk.house.store.read(lambda tx: _to_sign(tx, names))
    signer = Signer(desk.house.store, desk.house.signer, desk.house.certificate_days)
    types = await signer.sign_all(requests, desk.user)
    return [HostName(name) for name, kind in zip(names, types, strict=True) if kind == "physical"]


@handlers.handles(api.SignKey)
async def sign_key(op: api.SignKey, desk: Desk) -> HostType:
    """Sign the bytes that were compared, or nothing."""
    (request,) = await desk.house.store.read(lambda tx: _to_sign(tx, (op.server_hostname,)))
    if request.key_sha256 != op.key_sha256.lower():
        raise RequestRefused(
            f"{request.name} does not ask with the key that was compared: its fingerprint is {request.key_sha256} "
            "now. Nothing was signed.",
            host=request.name,
        )
    signer = Signer(desk.house.store, desk.house.signer, desk.house.certificate_days)
    (kind,) = await signer.sign_all([request], desk.user)
    return HostType(kind)


def _to_sign(tx: Connection, names: tuple[str, ...]) -> list[Request]:
    found = {name: hosts.requests_named(tx, name) for name in names}
    _refuse_unknown([name for name in names if not found[name]], UnknownSignRequestsError, "no request waiting")
    for name in names:
        if len(found[name]) > 1:
            raise RequestRefused(
                f"{len(found[name])} different keys ask for the name {name}: find out which one is the host's, "
                "remove the requests, and let it ask again. Nothing was signed.",
                host=name,
            )
        if hosts.by_name(tx, name):
            raise RequestRefused(
                f"{name} is signed already, with another key: remove_signed it first. Nothing was signed.",
                host=name,
            )
    return [found[name][0] for name in names]


def _refuse_unknown(unknown: list[str], kind: type[OmsError], what: str) -> None:
    if unknown:
        shown = ", ".join(name[:80] for name in unknown)
        raise kind(f"Nothing was done, because of some hosts there is {what}: {shown}", unknown=unknown)


@handlers.handles(api.RemoveRequests)
async def remove_requests(op: api.RemoveRequests, desk: Desk) -> int:
    """Drop all of them, or none."""

    def drop(tx: Connection) -> None:
        unknown = [name for name in op.hostname_list if not hosts.requests_named(tx, name)]
        _refuse_unknown(unknown, UnknownRemoveRequestError, "no request waiting")
        hosts.drop_requests(tx, op.hostname_list)

    await desk.house.store.write(drop)
    return 0


@handlers.handles(api.ListSigned)
async def list_signed(op: api.ListSigned, desk: Desk) -> list[SignedHost]:
    """The signed hosts, who is connected, and what they bear."""
    rows, tags = await desk.house.store.read(
        lambda tx: (hosts.signed(tx, op.optional_tag_name), hosts.tags_of(tx))
    )
    connected = desk.house.caller.wire.connected_hosts()
    return [
        SignedHost(row.name, int(row.id in connected), facts_of(row).vmcount, tags.get(row.id, [])) for row in rows
    ]


@handlers.handles(api.RemoveSigned)
async def remove_signed(op: api.RemoveSigned, desk: Desk) -> Removal:
    """Revoke all of them, or none; then cut each one's connection."""

    def remove(tx: Connection) -> list[Host]:
        removed = {name: hosts.remove(tx, name) for name in dict.fromkeys(op.hostname_list)}
        _refuse_unknown([n for n, host in removed.items() if host is None], UnknownRemoveSignedError, "no signing")
        return [host for host in removed.values() if host is not None]

    gone = await desk.house.store.write(remove)
    for host in gone:
        desk.house.fleet.forget(host)
    # First of all the connections: whatever fails after this, none of them is there any more.
    failed = [host.name for host in gone if not await desk.house.caller.wire.cut_off(host.id)]
    for host in gone:
        await desk.house.consoles.forget(host)
        await desk.house.jobs.abandoned(host.id)
    return Removal(failed)


@handlers.handles(api.DescribeHost)
async def describe_host(op: api.DescribeHost, desk: Desk) -> HostDescription:
    """All that is kept of a host."""
    name = op.server_hostname
    host, tags = await desk.house.store.read(lambda tx: (hosts.by_name(tx, name), hosts.tags_of(tx)))
    if host is None:
        raise FuncManError(f"No host {name} is signed here: list_signed lists those that are.", host=name)
    facts = facts_of(host)
    return HostDescription(
        name=host.name,
        id=host.id,
        status=int(host.id in desk.house.caller.wire.connected_hosts()),
        type=host.type,
        agent_version=facts.version,
        key_sha256=host.key_sha256,
        certificate_sha256=host.certificate_sha256,
        certificate_not_after=certificate_end(host),
        signed_at=moment(host.signed_at),
        last_seen=moment(host.last_seen),
        facts={key: value for key, value in msgspec.to_builtins(facts).items() if key != "version"},
        tags=tags.get(host.id, []),
    )


@handlers.handles(api.CaSha256)
async def ca_sha256(op: api.CaSha256, desk: Desk) -> CaFingerprint:
    """The fingerprint for new agents."""
    return CaFingerprint(desk.house.ca_sha256)


def certificate_end(host: Host) -> str:
    """When a host's certificate ends, in whole seconds: RFC 3339 in UTC."""
    return second(host.not_after)
