"""One connection to one OMS, known by its CA, with one session."""

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, overload

from oms.client import calls
from oms.client.events import Events
from oms.client.jobs import Jobs, Progress
from oms.client.uploads import Sending, Sent
from oms.client.ways import FAULT, UNKNOWN, ClientError, OutOfReach, Response, Ways
from oms.contract import auth
from oms.contract.errors import FuncMethodTimeoutError
from oms.contract.event import ListEvents
from oms.contract.incoming import Upload
from oms.contract.operation import HostOperation, OpenOperation, Operation, ServerOperation, SessionOperation
from oms.contract.task import Task
from oms.contract.types import Secret

R = TypeVar("R")
BEYOND_SECONDS = 15.0
"""The server waits as long as the method says, and then still has to answer."""
FIRST_WORD_SECONDS = 1
"""How long a change may take before somebody who watches its progress is shown the first of it."""


class Client:
    """Calls one OMS; `async with` connects it. Many tasks may call at once.

    `url`: its address, or several that are tried in turn. `ca_sha256` is the fingerprint that OMS prints at its
    start, `ca_file` the CA itself; with neither, the CAs of this machine must know OMS's certificate. `sessid`
    goes on with a session that is there already; `token` is a program's token, which needs no session.

    Reads are asked again where an answer was lost. So are changes of hosts: each has an id of its own, by which
    OMS does it once. Other changes are never sent twice.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        ca_sha256: str = "",
        ca_file: Path | None = None,
        sessid: str = "",
        token: str = "",
    ) -> None:
        """Raises ValueError for an address that is none."""
        self.ways = Ways([url] if isinstance(url, str) else url, ca_sha256, ca_file)
        """How it gets there, for what is no call."""
        self.sessid = token or sessid
        self.jobs = Jobs(self._asked)

    @property
    def url(self) -> str:
        """The address that answered last."""
        return self.ways.urls[0]

    async def __aenter__(self) -> Self:
        """Raises NotOurs, OutOfReach, and OSError for a `ca_file` that cannot be read."""
        await self.ways.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ways.close()

    async def login(self, user: str, password: str) -> None:
        """Begin a session, with which every later call is made. Raises AuthError."""
        self.sessid = await self.call(auth.Authenticate(user, Secret(password)))

    async def logout(self) -> None:
        """End the session. Raises DeathError where there is none."""
        await self.call(auth.Deauthenticate())
        self.sessid = ""

    @overload
    async def call(
        self,
        op: HostOperation[R],
        *,
        host: str,
        cache_timeout: int = 0,
        wait: bool = False,
        progress: Progress | None = None,
        job: str = "",
    ) -> R: ...
    @overload
    async def call(
        self, op: OpenOperation[R] | SessionOperation[R] | ServerOperation[R], *, cache_timeout: int = 0
    ) -> R: ...
    async def call(
        self,
        op: Operation[R],
        *,
        host: str = "",
        cache_timeout: int = 0,
        wait: bool = False,
        progress: Progress | None = None,
        job: str = "",
    ) -> R:
        """The operation's result. Raises its errors, those of the contract, and ClientError.

        `cache_timeout`: seconds, the greatest age of a recorded answer that will do. `wait`: where a change takes
        longer than the call waits (`FuncMethodTimeoutError`), wait for its job, however long that takes.
        `progress` is called with the job's `Task` meanwhile, about once a second, and implies `wait`.
        `job`: the id that the job is to have, 32 hexadecimal digits; a new one where none is given.
        """
        try:
            return await self._asked(op, host, cache_timeout, FIRST_WORD_SECONDS if progress else None, job)
        except FuncMethodTimeoutError as unknown:
            job = unknown.data.get("job", "")
            if not (job and (wait or progress)):
                raise
        return await self.jobs.result(op, job, progress=progress)

    async def begin(self, op: HostOperation[Any], *, host: str) -> str:
        """Begin a change; answers its job's id at once. Raises the errors of a change that is not begun."""
        try:
            await self._asked(op, host, 0, 0)
        except FuncMethodTimeoutError as begun:
            return str(begun.data["job"])
        raise ClientError(f"{op.facts.wire} changes nothing of a host, so it is no job: call it.")

    async def upload(
        self,
        op: HostOperation[Upload],
        file: Path,
        *,
        host: str,
        progress: Callable[[Sent], None] | None = None,
        job: str = "",
    ) -> Task:
        """Bring a file by one of the contract's `upload_...`, whose `size_bytes` must be the file's; its job, once
        that has ended. What breaks off is gone on with where it stopped. Raises the errors of the call and of the
        job, OSError for the file, and ClientError."""
        begun = await self.call(op, host=host, wait=True, job=job)
        await Sending(self.ways, begun, file, lambda: self.sessid, progress).run()
        return await self.jobs.ended(begun.job)

    def events(
        self,
        *,
        after: int | None = None,
        kinds: Sequence[str] = (),
        host: str = "",
        guest: str = "",
        job: str = "",
    ) -> Events:
        """What happens, for `async for`: from now on, or `after` the number of the last event that was seen.

        `kinds`: as `job.ended`, or a noun for all of its kinds; none: all. An OMS that is away is waited for.
        Where events are lost, which takes days, there is a `Gap` among them.
        """
        wanted = ListEvents(after=after, kinds=tuple(kinds), server_hostname=host, guest=guest, job=job)
        return Events(self._asked, wanted)

    async def _asked(
        self, op: Operation[R], host: str, cache_timeout: int, wait: int | None = None, job: str = ""
    ) -> R:
        """`wait`: seconds that a change's outcome is waited for at most; None: as long as the method says."""
        body = calls.call(op, sessid=self.sessid, host=host, cache_timeout=cache_timeout)
        headers = {"Content-Type": "application/json"}
        seconds = op.facts.timeout
        a_job = isinstance(op, HostOperation) and op.facts.changes
        if a_job:
            headers["Idempotency-Key"] = job or secrets.token_hex(16)
            if wait is not None:
                headers["Prefer"] = f"wait={wait}" if wait else "respond-async"
        response = await self.ways.post(
            "/",
            body,
            headers,
            seconds=seconds + BEYOND_SECONDS,
            again=a_job or not op.facts.changes,
            changes=op.facts.changes,
        )
        return self._understood(op, response)

    def _understood(self, op: Operation[R], response: Response) -> R:
        if response.status == 200:
            return calls.read(calls.answered, op, response.body, self.url)
        said = f"{self.url} answers {response.status}: {response.text}"
        if response.status >= FAULT:
            raise OutOfReach(f"{said}{UNKNOWN if op.facts.changes else ''}")
        raise ClientError(said)
