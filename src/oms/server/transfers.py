"""Who may bring bytes to which job, and which host may take them.

A job that takes bytes is one of an upload, to which its owner brings them, or one of a copy, to which another host
does, because OMS asks it to.
"""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from oms.bus import enrolment, transfer
from oms.bus.call import decode
from oms.bus.enrolment import Refusal
from oms.contract import iso
from oms.contract.errors import AuthError, FuncManError, NoSuchTask
from oms.contract.internal import SendFile
from oms.contract.kvm import arrivals, images
from oms.contract.operation import HostOperation, Operation, Permission
from oms.contract.ovz import arrivals as ovz_arrivals
from oms.contract.registry import OF_JOBS
from oms.server.desk import House
from oms.server.meeting import Meetings, Pipe
from oms.server.store import hosts
from oms.server.store.hosts import Host
from oms.server.store.jobs import ENDED, Job
from oms.server.store.sessions import Session

UPLOADS: tuple[type[Operation[Any]], ...] = (
    iso.UploadImage,
    images.UploadFileBasedImage,
    arrivals.UploadTemplate,
    ovz_arrivals.UploadTemplate,
)
"""Whoever may call these brings their bytes."""
COPIES: dict[type[Operation[Any]], Callable[[Any], tuple[str, str, str]]] = {
    iso.CopyImage: lambda op: (op.from_hostname, "iso", op.image_name),
    arrivals.CopyTemplate: lambda op: (op.from_hostname, "template", op.template_name),
    ovz_arrivals.CopyTemplate: lambda op: (op.from_hostname, "rootfs", op.template_name),
}
"""From which host, out of which directory, which file."""
LOOK_SECONDS = 0.25
CALL_AGAIN_SECONDS = 1.0
_ID = re.compile(r"[0-9a-f]{32}")


class Transfers:
    """The way of bulk through one server."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.meetings = Meetings()
        self.call: Callable[[str], None] = lambda _job: None
        """Where there are other servers: lets them hear that the bytes of a job are brought here."""

    # --- who

    async def host(self, header: str, verb: str, target: str) -> Host:
        """The host that signed a request. Raises Refusal."""
        made = transfer.read_claim(header)
        found = await self._house.store.read(lambda tx: hosts.by_certificate(tx, made.certificate_sha256))
        if found is None:
            raise Refusal("This certificate is not one of ours, or not any more.")
        transfer.verify(enrolment.read_certificate(found.certificate), made, verb, target, datetime.now(UTC))
        return found

    async def session(self, sessid: str) -> Session:
        """Whose SESSID that is. Raises AuthError."""
        return await self._house.sessions.check(sessid)

    async def upload(self, job_id: str, session: Session) -> Job:
        """The upload of that id that this user may bring bytes to. Raises NoSuchTask, AuthError, FuncManError."""
        job = await self._open(job_id)
        kind = OF_JOBS[job.method]
        if kind not in UPLOADS:
            raise NoSuchTask(f"Job {job_id} is no upload.")
        if session.role < kind.facts.permission:
            raise AuthError(f"{kind.facts.wire} needs the role {kind.facts.permission.name.lower()}.")
        if session.user != job.owner and session.role < Permission.ADMIN:
            raise AuthError(
                f"This upload is {job.owner}'s: only who began it, or an administrator, goes on with it."
            )
        return job

    def check_size(self, job: Job, size: int) -> None:
        """Whether an upload was begun for so many bytes. Raises FuncManError."""
        if (wanted := getattr(_op(job), "size_bytes", size)) != size:
            raise FuncManError(f"This upload was begun for {wanted} bytes, not for {size}", job=job.id)

    async def taken_by(self, job_id: str, host: Host) -> Job:
        """The job of that id, of that very host, which takes bytes. Raises NoSuchTask, FuncManError."""
        job = await self._open(job_id)
        if job.host_id != host.id or not (OF_JOBS[job.method] in UPLOADS or OF_JOBS[job.method] in COPIES):
            raise NoSuchTask(f"There is no job {job_id} that takes bytes.")
        return job

    async def brought_by(self, job_id: str, host: Host) -> Job:
        """The job of that id to which that host was asked to bring a file. Raises NoSuchTask, FuncManError."""
        job = await self._open(job_id)
        kind = OF_JOBS[job.method]
        if kind not in COPIES or COPIES[kind](_op(job))[0] != host.name:
            raise NoSuchTask(f"There is no job {job_id} that takes a file of {host.name}.")
        return job

    async def _open(self, job_id: str) -> Job:
        if not _ID.fullmatch(job_id):
            raise NoSuchTask("A job's id has 32 hexadecimal digits.")
        job = await self._house.jobs.find(job_id)
        if job.state != "running":
            failure = job.failure()
            why = f": {failure.message}" if failure else ""
            raise FuncManError(f"Job {job_id} takes no bytes, it is {job.state}{why}", job=job_id, state=job.state)
        return job

    # --- how

    async def begin(self, job: Job, offset: int, *, once_removed: bool = False) -> Pipe:
        """The host of a job waits for its bytes from there on. Raises what keeps the other host from sending.

        `once_removed`: it does so at another server, which has asked that host already.
        """
        pipe = await self.meetings.open(job.id, offset)
        if (source := COPIES.get(OF_JOBS[job.method])) and not once_removed:
            name, kind, file = source(_op(job))
            try:
                other = await self._house.fleet.host(name)
                await self._house.caller.ask(other.id, SendFile(job.id, kind, file, offset))
            except BaseException:
                self.meetings.close(job.id, pipe)
                raise
        return pipe

    async def met(self, job_id: str, seconds: float) -> Pipe | None:
        """The pipe of a job whose host waits, here or at another server; None where none does in that time."""
        pipe = await self.meetings.waiting(job_id, 0)
        end = time.monotonic() + seconds
        while pipe is None and (left := end - time.monotonic()) > 0:
            self.call(job_id)
            pipe = await self.meetings.waiting(job_id, min(left, CALL_AGAIN_SECONDS))
        return pipe

    async def standing(self, job_id: str, seconds: float) -> tuple[Job, int | None]:
        """A job, and from where on its host wants bytes: as soon as it does, or has ended; else None."""
        end = time.monotonic() + seconds
        while True:
            pipe = await self.met(job_id, min(LOOK_SECONDS, max(end - time.monotonic(), 0)))
            job = await self._house.jobs.find(job_id)
            if pipe is not None or job.state in ENDED or time.monotonic() >= end:
                return job, pipe.offset if pipe is not None else None


def _op(job: Job) -> HostOperation[Any]:
    op: HostOperation[Any] = decode(job.op, OF_JOBS[job.method])
    return op
