"""FleetService: what OMS knows of all hosts and guests, put together for whoever looks."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from sqlalchemy import Connection

from oms.contract import fleet as api
from oms.contract.fleet import (
    Capacity,
    FleetGuest,
    FleetHost,
    GuestCounts,
    GuestPage,
    GuestState,
    HostCounts,
    HostPage,
    NeedsAttention,
    Summary,
    WaitingHost,
)
from oms.contract.func import Tag
from oms.contract.internal import Figures, GuestLine
from oms.server.desk import Desk, House, Table
from oms.server.inventory import Lines
from oms.server.rules import fleet as rules
from oms.server.rules.rows import Row
from oms.server.services.func import certificate_end
from oms.server.store import guests, hosts, jobs, now
from oms.server.store.hosts import Host, facts_of
from oms.server.store.moments import moment

handlers = Table()
MOST_NAMED = 100
DAY_SECONDS = 86_400
KIND_AND_STATE = attrgetter("kind", "state")


@handlers.handles(api.ListHosts)
async def list_hosts(op: api.ListHosts, desk: Desk) -> HostPage:
    """From the database, and what the hosts' agents tell."""

    def read(tx: Connection) -> HostPage:
        words = op.search.lower().split()
        found = [
            host
            for host in _hosts(tx, desk.house, op.tag or None)
            if _in_state(host, op.state)
            and (not op.hypervisor or op.hypervisor in host.hypervisors)
            and rules.has_words(words, host.name, host.type, host.distribution, *(tag.tag for tag in host.tags))
        ]
        key, by_name = rules.HOST_ORDER[op.sort], rules.HOST_ORDER["name"]
        found = rules.ordered(found, key, by_name, descending=op.descending)
        return HostPage(list(rules.page(found, op.offset, op.most)), len(found))

    return await desk.house.store.read(read)


@handlers.handles(api.ListGuests)
async def list_guests(op: api.ListGuests, desk: Desk) -> GuestPage:
    """From what the hosts told; their tags from the database. In a thread: there may be tens of thousands."""
    rows, connected = desk.house.inventory.rows(), desk.house.caller.wire.connected_hosts()

    def read(tx: Connection) -> GuestPage:
        signed = rules.Hosts(hosts.names(tx), connected)
        found = rules.chosen(op, rows, signed)
        if op.tag:
            bearing = {guest.id for guest in guests.bearing(tx, op.tag)}
            found = [row for row in found if row.tagged_as in bearing]
        found_so = rules.sorted_as(op, found, signed)
        return GuestPage(_shown(tx, rules.page(found_so, op.offset, op.most), signed), len(found))

    return await desk.house.store.read(read)


@handlers.handles(api.DescribeRequests)
async def describe_requests(op: api.DescribeRequests, desk: Desk) -> list[WaitingHost]:
    """As they asked."""

    def read(tx: Connection) -> list[WaitingHost]:
        waiting = hosts.waiting(tx)
        names = Counter([request.name for request in waiting] + list(hosts.names(tx).values()))
        return [_waiting(request, rival=names[request.name] > 1) for request in waiting]

    return await desk.house.store.read(read)


@handlers.handles(api.Summarize)
async def summarize(op: api.Summarize, desk: Desk) -> Summary:
    """Counted anew at each call."""
    reached = desk.house.caller.wire.connected_hosts()

    def read(tx: Connection) -> Summary:
        every = list(_hosts(tx, desk.house))
        connected = [host for host in every if host.state == "connected"]
        needing = [NeedsAttention(host.name, host.attention) for host in every if host.attention]
        return Summary(
            HostCounts(len(every), len(connected), hosts.count_requests(tx)),
            _counted(desk.house.inventory.all(), rules.Hosts({host.id: host.name for host in every}, reached)),
            _capacity(connected),
            sum(jobs.count_open(tx).values()),
            jobs.count_failed(tx, now() - DAY_SECONDS),
            needing[:MOST_NAMED],
            len(needing),
        )

    return await desk.house.store.read(read)


def _hosts(tx: Connection, house: House, tag: str | None = None) -> Iterator[FleetHost]:
    tags, unfinished = hosts.tags_of(tx), jobs.count_by_host(tx)
    connected, figures, busy = house.caller.wire.connected_hosts(), house.figures.fresh(), house.figures.busy()
    lines = dict(house.inventory.all())
    for host in hosts.signed(tx, tag):
        there = host.id in connected
        yield _host(
            host,
            figures=figures.get(host.id) if there else None,
            busy=busy.get(host.id) if there else None,
            connected=there,
            tags=tags.get(host.id, []),
            lines=list(lines.get(host.id, {}).values()),
            unfinished=unfinished.get(host.id, 0),
        )


def _host(
    host: Host,
    *,
    figures: Figures | None,
    busy: float | None,
    connected: bool,
    tags: list[Tag],
    lines: list[GuestLine],
    unfinished: int,
) -> FleetHost:
    facts = facts_of(host)
    disk = rules.disk_mb(figures) if figures else None
    return FleetHost(
        name=host.name,
        id=host.id,
        state="connected" if connected else "away",
        type=host.type,
        tags=tags,
        attention=rules.attention(connected=connected, not_after=host.not_after, figures=figures, now=now()),
        agent_version=facts.version,
        architecture=facts.architecture,
        distribution=facts.distribution,
        kernel=facts.kernel,
        hypervisors=list(facts.hypervisors),
        cpus=facts.cpus,
        memory_mb=facts.memory_mb,
        load=figures.load if figures else None,
        cpu_percent=None if busy is None else round(busy, 2),
        memory_used_mb=(figures.memory_kb - figures.memory_available_kb) // rules.KB_IN_MB if figures else None,
        disk_mb=disk[0] if disk else None,
        disk_used_mb=disk[1] if disk else None,
        uptime_seconds=int(figures.uptime_seconds) if figures else None,
        guests=len(lines),
        guests_running=sum(line.state == "running" for line in lines) if connected else 0,
        unfinished_jobs=unfinished,
        certificate_not_after=certificate_end(host),
        last_seen=moment(host.last_seen),
    )


def _in_state(host: FleetHost, wanted: str) -> bool:
    return bool(host.attention) if wanted == "attention" else wanted in ("", host.state)


def _shown(tx: Connection, rows: Sequence[Row], signed: rules.Hosts) -> list[FleetGuest]:
    keys = [row.tagged_as for row in rows]
    tags = guests.tagged(tx, keys, "")
    return [
        FleetGuest(
            row.line.kind,
            row.line.id,
            row.line.name,
            signed.names[row.host_id],
            signed.state(row),
            row.line.vcpus,
            row.line.memory_mb,
            tags[key].tags if key in tags else [],
        )
        for key, row in zip(keys, rows, strict=True)
    ]


def _waiting(request: hosts.Request, *, rival: bool) -> WaitingHost:
    facts = facts_of(request)
    return WaitingHost(
        name=request.name,
        key_sha256=request.key_sha256,
        address=request.address,
        asked=moment(request.created),
        agent_version=facts.version,
        architecture=facts.architecture,
        distribution=facts.distribution,
        kernel=facts.kernel,
        hypervisors=list(facts.hypervisors),
        cpus=facts.cpus,
        memory_mb=facts.memory_mb,
        rival=rival,
    )


def _counted(told: Iterable[tuple[str, Lines]], signed: rules.Hosts) -> GuestCounts:
    kinds: Counter[str] = Counter()
    states: Counter[GuestState] = Counter()
    for host_id, lines in told:
        if host_id not in signed.names:
            continue
        for (kind, state), many in Counter(map(KIND_AND_STATE, lines.values())).items():
            kinds[kind] += many
            states[state if host_id in signed.connected else "unknown"] += many
    return GuestCounts(kinds["kvm"], kinds["openvz"], dict(states))


def _capacity(connected: list[FleetHost]) -> Capacity:
    measured = [host for host in connected if host.cpu_percent is not None]
    cpus = sum(host.cpus for host in measured)
    busy = sum(host.cpus * (host.cpu_percent or 0) for host in measured)
    return Capacity(
        cpus=sum(host.cpus for host in connected),
        cpu_percent=round(busy / cpus, 2) if cpus else 0.0,
        memory_mb=sum(host.memory_mb for host in connected),
        memory_used_mb=sum(host.memory_used_mb or 0 for host in connected),
        disk_mb=sum(host.disk_mb or 0 for host in connected),
        disk_used_mb=sum(host.disk_used_mb or 0 for host in connected),
    )
