"""How the host of one job is told where another host takes what it is to bring there: over HTTPS, by OMS.

    POST /passages/JOB      the host of that job says what the other host is to do; answered with its address
    DELETE /passages/JOB    it calls that off
    GET /passages/JOB       the host of the other job asks how the first one stands

The requests are signed as those for bulk are (`transfer`). The job on the other host follows from the first one by
its id, so that asking again, after whatever was lost, never makes a second one.
"""

import hashlib

import msgspec

from oms.contract.errors import WireError
from oms.contract.internal import Gate

PATH = "/passages/"
LONGEST_BYTES = 2 * 1024 * 1024
"""Of what the other host is to do."""


class Introduced(msgspec.Struct, frozen=True, omit_defaults=True):
    """The other host's job, and how it stands: `gate` while it listens; `error` where it has ended without having
    done it."""

    job: str
    state: str
    gate: Gate | None = None
    error: WireError | None = None


def job_there(job: str) -> str:
    """The id of the job on the other host."""
    return hashlib.sha256(b"the other side of " + job.encode("ascii")).hexdigest()[:32]


class CalledOff(msgspec.Struct, frozen=True):
    """What has become of a move that was given up. `over`: the other side has ended, or was never begun."""

    over: bool = False
