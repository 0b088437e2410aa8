"""auditservices: the audit log as administrators read it."""

import msgspec
from sqlalchemy import Connection

from oms.contract import audit as api
from oms.contract.audit import AuditEvent, AuditHead, AuditPage
from oms.server.desk import Desk, Table
from oms.server.rules.chain import Sealed
from oms.server.store import audit, jobs
from oms.server.store.audit import Wanted

handlers = Table()


@handlers.handles(api.ListEvents)
async def list_events(op: api.ListEvents, desk: Desk) -> AuditPage:
    """A page; one row more is looked for, to know whether another page follows."""
    wanted = Wanted(op.user_name.lower(), op.method, op.host, op.outcome, op.job, op.since, op.until)

    def looked_up(tx: Connection) -> tuple[list[Sealed], dict[str, str]]:
        rows = audit.newest(tx, wanted, op.before, op.most + 1)
        return rows, jobs.names(tx, {sealed.row.job for sealed in rows if sealed.row.job})

    rows, names = await desk.house.store.read(looked_up)
    page = rows[: op.most]
    events = [_shown(sealed, names.get(sealed.row.job, "")) for sealed in page]
    return AuditPage(events, page[-1].row.seq if len(rows) > op.most else 0)


@handlers.handles(api.DescribeHead)
async def describe_head(op: api.DescribeHead, desk: Desk) -> AuditHead:
    """Both ends."""
    head, begin = await desk.house.store.read(lambda tx: (audit.mark(tx, audit.HEAD), audit.mark(tx, audit.BEGIN)))
    return AuditHead(head.seq, head.sha256, begin.seq)


def _shown(sealed: Sealed, name: str) -> AuditEvent:
    row = sealed.row
    return AuditEvent(
        number=row.seq,
        time=row.time,
        user=row.user,
        session=row.session,
        address=row.address,
        method=row.method,
        host=row.host,
        target=row.target,
        params=msgspec.json.decode(row.params, type=dict[str, object]),
        outcome=row.outcome,
        reason=row.reason,
        job=row.job,
        sha256=sealed.sha256,
        name=name,
    )
