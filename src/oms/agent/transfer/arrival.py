"""What uploads, fetches and copies of all kinds of files have in common: a name, a place to build, and the way.

The job stands aside while bytes come, for that may take hours; the name is taken at the end, where nobody else has
taken it since.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec

from oms.agent import placing, shelf
from oms.agent.context import Host, Job
from oms.agent.transfer import incoming
from oms.agent.transfer.incoming import Wanted
from oms.agent.transfer.part import Part
from oms.agent.transfer.web import WebPart
from oms.contract.errors import HostBusy, InUse, NotFetched, NotSupported
from oms.contract.incoming import Received, Upload

MOST = 16
"""Files on their way to one host: each has a thread and a connection."""
UPLOAD_IDLE_SECONDS = 3600.0
IDLE_SECONDS, AT_FIRST_SECONDS = 300.0, 20.0
"""Of a fetch or copy that has begun, and of one that has brought nothing yet."""
PartAt = Callable[[int, str], Part]


class Kind(msgspec.Struct, frozen=True):
    """One kind of files. `noun` as in "ISO image", `lease` as in "iso"; `check` looks at a file that has come
    whole, and `place` gives it its name. Callers leave the `ending` of its name out; `refuse_taken` sees early
    that the name is free."""

    directory: Path
    noun: str
    lease: str
    check: Callable[[Path], Awaitable[None]]
    place: Callable[[Job, Path, Path], Awaitable[None]]
    ending: str = ""
    refuse_taken: Callable[[Job, Path], None] = placing.refuse_taken


async def upload(host: Host, kind: Kind, name: str, size_bytes: int, sha256: str) -> Upload:
    """Have a caller bring a file; answered as soon as he can."""
    answer = Upload(host.job.id, f"/transfers/{host.job.id}")
    wanted = Wanted(
        _shown(kind, name), UPLOAD_IDLE_SECONDS, UPLOAD_IDLE_SECONDS, size_bytes=size_bytes, sha256=sha256
    )
    await _arrive(host, kind, name, wanted, _relayed(host), begun=partial(host.job.answer, answer))
    return answer


async def fetch(host: Host, kind: Kind, name: str, url: str, sha256: str) -> Received:
    """Get a file from the web."""
    if url.startswith("http:") and not sha256:
        raise NotFetched("Nobody vouches for what comes by http: give its checksum, or an address with https")
    wanted = Wanted(
        _shown(kind, name),
        IDLE_SECONDS,
        AT_FIRST_SECONDS,
        sha256=sha256,
        largest_bytes=host.fetching.largest_bytes,
    )
    return await _arrive(host, kind, name, wanted, partial(WebPart, url, host.fetching))


async def copy(host: Host, kind: Kind, name: str) -> Received:
    """Take a file that another host brings."""
    wanted = Wanted(_shown(kind, name), IDLE_SECONDS, AT_FIRST_SECONDS, digest_follows=True)
    return await _arrive(host, kind, name, wanted, _relayed(host))


async def _arrive(
    host: Host,
    kind: Kind,
    name: str,
    wanted: Wanted,
    part_at: PartAt,
    *,
    begun: Callable[[], Awaitable[None]] | None = None,
) -> Received:
    job, path = host.job, shelf.path_of(kind.directory, f"{name}{kind.ending}")
    coming = f"incoming/{kind.lease}/{name}"
    _admit(host, coming, wanted)
    async with host.leases.hold(job, alone=(coming,)):
        kind.refuse_taken(job, path)
        async with placing.building(kind.directory, job, anew=False) as staging:
            if not placing.is_placed(job, path):
                if not job.resumed:
                    incoming.check_room(staging, wanted)
                if begun is not None:
                    await begun()
                async with job.aside(), job.cancellable():
                    received = await incoming.receive(job, staging / path.name, wanted, part_at)
                    await kind.check(staging / path.name)
                await job.record("whole", msgspec.to_builtins(received))
                async with host.leases.hold(job, alone=(f"{kind.lease}/{name}",)):
                    await kind.place(job, staging / path.name, path)
    received = msgspec.convert(job.recall("whole"), Received)
    job.note("sha256", received.sha256)
    return received


def _admit(host: Host, coming: str, wanted: Wanted) -> None:
    """Refuse what would only wait, or fail at its end."""
    if host.job.resumed:
        return
    if holder := host.leases.holder(coming):
        raise InUse(f"{wanted.what} is on its way here already, by job {holder}", job=holder)
    if host.leases.held("incoming/") >= MOST:
        raise HostBusy(f"{MOST} files are on their way to this host already: try again when one has come.")


def _relayed(host: Host) -> PartAt:
    if host.relay is None:
        raise NotSupported("This host's agent has no way for bulk.")
    relay, job = host.relay, host.job.id
    return lambda offset, _mark: relay.part(job, offset)


def _shown(kind: Kind, name: str) -> str:
    return f"{kind.noun[0].upper()}{kind.noun[1:]} {name!r}"
