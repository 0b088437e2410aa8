"""The servers over one database: which there are, and which are alive. One that says nothing for longer than its
lease is taken for dead, and what it watched over is another's."""

import secrets

import msgspec
from sqlalchemy import Connection, insert, select, update

from oms.server.store import clock, meta
from oms.server.store.jobs import UNFINISHED, Job, unfinished
from oms.server.store.tables import jobs, servers

LEASE_SECONDS = 6.0
ID_DIGITS = 16
LEFT = 1.0
"""In the place of when it was heard of last: it has ended, and what it left is to be taken up."""
EMPTY = 0.0
"""It has ended, and left nothing."""


class Server(msgspec.Struct, frozen=True):
    """A server. `name`: host and address; `address`: host:port at which others reach it, empty where it is older
    than this; `epoch`: the number of its start; `seen`: seconds since 1970 by the database's clock, or LEFT, or
    EMPTY."""

    id: str
    name: str
    address: str
    epoch: int
    started: float
    seen: float


def begin(tx: Connection, known: str, name: str, address: str = "") -> tuple[str, int]:
    """A server starts: its id, `known` if it has one, and the number of this start."""
    rows = {server.id: server for server in every(tx)}
    before = meta.get(tx, "server") or ""  # of the times when a database had one server
    server = known or (before if before not in rows else "") or secrets.token_hex(ID_DIGITS // 2)
    epoch = 1 + (rows[server].epoch if server in rows else 0)
    if server == before:
        epoch = max(epoch, int(meta.get(tx, "epoch") or "0") + 1)
    moment = clock(tx)
    values = {"name": name, "address": address, "epoch": epoch, "started": moment, "seen": moment}
    if server in rows:
        tx.execute(update(servers).where(servers.c.id == server).values(**values))
    else:
        tx.execute(insert(servers).values(id=server, **values))
    nobodys = (jobs.c.server == "") & jobs.c.state.in_(UNFINISHED)
    tx.execute(update(jobs).where(nobodys).values(server=server))
    return server, epoch


def beat(tx: Connection, server: str, epoch: int) -> bool:
    """That start is alive; False where a later one of the same server is."""
    mine = (servers.c.id == server) & (servers.c.epoch == epoch)
    return bool(tx.execute(update(servers).where(mine).values(seen=clock(tx))).rowcount)


def leave(tx: Connection, server: str, epoch: int) -> None:
    """That start ends in order."""
    mine = (servers.c.id == server) & (servers.c.epoch == epoch)
    tx.execute(update(servers).where(mine).values(seen=LEFT))


def every(tx: Connection) -> list[Server]:
    """All there ever were, by name."""
    return [Server(**row._mapping) for row in tx.execute(select(servers).order_by(servers.c.name))]


def alive(tx: Connection) -> list[Server]:
    """Those that were heard of within their lease."""
    moment = clock(tx)
    return [server for server in every(tx) if moment - server.seen <= LEASE_SECONDS]


def address_of(tx: Connection, server: str) -> str:
    """Where other servers reach that one; empty where there is none such, or none that is alive."""
    return next((one.address for one in alive(tx) if one.id == server), "")


def gone(tx: Connection) -> list[str]:
    """The ids of those that are not alive and may have left something."""
    moment = clock(tx)
    return [server.id for server in every(tx) if server.seen and moment - server.seen > LEASE_SECONDS]


def take_up(tx: Connection, left: str, by: str) -> list[Job]:
    """The open jobs of a server that is gone are another's from now on; these."""
    tx.execute(update(servers).where(servers.c.id == left).values(seen=EMPTY))
    taken = unfinished(tx, server=left)
    tx.execute(update(jobs).where(jobs.c.server == left, jobs.c.state.in_(UNFINISHED)).values(server=by))
    return [msgspec.structs.replace(job, server=by) for job in taken]
