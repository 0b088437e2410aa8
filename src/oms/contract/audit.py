"""auditservices: who changed what, and that nobody has changed the record of it."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from oms.contract.operation import Permission, ServerOperation, Service, operation
from oms.contract.types import AnyHost, text
from oms.contract.user import AnyUser

SERVICE = Service(
    "auditservices",
    "AuditService",
    "Every call that changes something, every login, and what a role refused is a row that lasts, sealed with the "
    "row before it: `oms audit verify` tells whether any was changed or taken out.",
)

RowNumber = Annotated[int, Meta(ge=0, le=2**31 - 1, description="a row's number, or 0", examples=[0])]
MostRows = Annotated[int, Meta(ge=1, le=500, description="how many at most, 1 to 500", examples=[100])]
AnyMethod = Annotated[
    str,
    text(
        r"(?:[a-z]+\.[a-z0-9_]+)?",
        "a method as service.method, or nothing",
        128,
        "kvmservices.start_vm",
        shortest=0,
    ),
]
AnyOutcome = Annotated[
    str,
    text(r"(?:[A-Za-z]+(?: [a-z]+)?)?", "`ok`, or an error's name, or nothing", 64, "AuthError", shortest=0),
]
AnyMoment = Annotated[
    str,
    text(
        r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,3})?Z)?",
        "a time in UTC as in 2026-01-01T12:00:00Z, or nothing",
        24,
        "2026-01-01T12:00:00Z",
        shortest=0,
    ),
]
AnyJob = Annotated[
    str,
    text(
        r"(?:[0-9a-f]{32})?",
        "a job's id, 32 hexadecimal digits, or nothing",
        32,
        "0123456789abcdef0123456789abcdef",
        shortest=0,
    ),
]


class AuditEvent(msgspec.Struct, frozen=True):
    """A row. `user` in parentheses is no account: who stood at the server's machine, or OMS itself.

    `session` is the beginning of a session's id, or a token's id; `params` is what was asked, with secrets as
    dots; `outcome` is `ok`, an error's name, `defect` or `broken off`; `sha256` seals the row and all before it.
    `name` is no part of the row: it is what the guest was called, as far as the job is remembered.
    """

    number: int
    time: str
    user: str
    session: str
    address: str
    method: str
    host: str
    target: str
    params: dict[str, Any]
    outcome: str
    reason: str
    job: str
    sha256: str
    name: str = ""


class AuditPage(msgspec.Struct, frozen=True):
    """Rows, the newest first. `before` asks for the page that follows; 0 where there is none."""

    events: list[AuditEvent]
    before: int


class AuditHead(msgspec.Struct, frozen=True):
    """The newest row's number and seal: whoever remembers them elsewhere sees later that nothing is missing.
    `pruned` is the number of the last row that was taken out because of its age."""

    number: int
    sha256: str
    pruned: int


@operation(SERVICE, Permission.ADMIN)
class ListEvents(ServerOperation[AuditPage], frozen=True):
    """List rows of the audit log, the newest first: all, or those of a user, method, host, outcome, job or time.

    The first page is asked for with `before` 0, each following one with what the page before it says.
    """

    before: RowNumber = 0
    most: MostRows = 100
    user_name: AnyUser = ""
    method: AnyMethod = ""
    host: AnyHost = ""
    outcome: AnyOutcome = ""
    job: AnyJob = ""
    since: AnyMoment = ""
    until: AnyMoment = ""


@operation(SERVICE, Permission.ADMIN)
class DescribeHead(ServerOperation[AuditHead], frozen=True):
    """Tell the newest row's number and seal, to be remembered outside of OMS (`oms audit verify --head`)."""
