"""The same client for programs that do not use asyncio: its calls return when they are done.

from oms.client.sync import Client

with Client("https://oms:8000", ca_sha256="9b1d...") as oms:
    oms.login("anna", password)
    machines = oms.call(kvm.ListVms(("cpu",)), host="node1")

It is the one of asyncio, which runs in a thread of its own; any number of threads may call it.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, overload

from anyio.from_thread import BlockingPortal, start_blocking_portal

from oms.client import client as one
from oms.client.events import Gap
from oms.client.jobs import Progress, Which
from oms.client.uploads import Sent
from oms.contract.event.kinds import AnyEvent
from oms.contract.incoming import Upload
from oms.contract.operation import HostOperation, OpenOperation, ServerOperation, SessionOperation
from oms.contract.task import Task

R = TypeVar("R")


class Client:
    """Calls one OMS; `with` connects it. What it takes and raises is said at `oms.client.Client`.

    Where a callback is taken, it is called in the client's own thread.
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
        self._client = one.Client(url, ca_sha256=ca_sha256, ca_file=ca_file, sessid=sessid, token=token)
        self._closing = contextlib.ExitStack()
        self._portal: BlockingPortal
        self.jobs = Jobs(self)

    @property
    def sessid(self) -> str:
        """The session, with which another client can go on."""
        return self._client.sessid

    @property
    def url(self) -> str:
        """The address that answered last."""
        return self._client.url

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opening:
            self._portal = opening.enter_context(start_blocking_portal())
            opening.enter_context(self._portal.wrap_async_context_manager(self._client))
            self._closing = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def wait_for(self, method: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """What a method of the one of asyncio answers."""
        return self._portal.call(functools.partial(method, *given, **named))

    def login(self, user: str, password: str) -> None:
        """Begin a session, with which every later call is made. Raises AuthError."""
        self.wait_for(self._client.login, user, password)

    def logout(self) -> None:
        """End the session. Raises DeathError where there is none."""
        self.wait_for(self._client.logout)

    @overload
    def call(
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
    def call(
        self, op: OpenOperation[R] | SessionOperation[R] | ServerOperation[R], *, cache_timeout: int = 0
    ) -> R: ...
    def call(self, op: Any, **how: Any) -> Any:
        """The operation's result."""
        return self.wait_for(self._client.call, op, **how)

    def begin(self, op: HostOperation[Any], *, host: str) -> str:
        """Begin a change; answers its job's id at once."""
        begun: str = self.wait_for(self._client.begin, op, host=host)
        return begun

    def upload(
        self,
        op: HostOperation[Upload],
        file: Path,
        *,
        host: str,
        progress: Callable[[Sent], None] | None = None,
        job: str = "",
    ) -> Task:
        """Bring a file; its job, once that has ended."""
        brought: Task = self.wait_for(self._client.upload, op, file, host=host, progress=progress, job=job)
        return brought

    def events(self, **wanted: Any) -> Iterator[AnyEvent | Gap]:
        """What happens, one after the other, for ever; takes what the one of asyncio takes."""
        told = aiter(self._client.events(**wanted))
        while True:
            yield self.wait_for(told.__anext__)


class Jobs:
    """`client.jobs`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._jobs = client._client.jobs

    def find(self, job: str) -> Task:
        """A job as it is now. Raises NoSuchTask."""
        found: Task = self._client.wait_for(self._jobs.find, job)
        return found

    def list(self, state: Which = "", host: str = "") -> list[Task]:
        """Jobs, the newest first: all, or those in a state, or of a host."""
        found: list[Task] = self._client.wait_for(self._jobs.list, state, host)
        return found

    def cancel(self, job: str) -> Task:
        """Take back what has not begun, and have what runs undone; the job as it is after that."""
        found: Task = self._client.wait_for(self._jobs.cancel, job)
        return found

    def wait(self, job: str, *, progress: Progress | None = None) -> Task:
        """A job once it has ended, however it ended."""
        found: Task = self._client.wait_for(self._jobs.wait, job, progress=progress)
        return found

    def ended(self, job: str, *, progress: Progress | None = None) -> Task:
        """A job once it has done what it was for. Raises the error that it ended with."""
        found: Task = self._client.wait_for(self._jobs.ended, job, progress=progress)
        return found
