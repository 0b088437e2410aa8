"""One connection to one OMS, known by its CA, with one session."""

import ssl
from pathlib import Path
from typing import Any, Self, TypeVar, overload

import httpx

from oms.bus import pinning
from oms.bus.pinning import NotOurs
from oms.client import calls
from oms.contract import auth, errors, task
from oms.contract.errors import FuncMethodTimeoutError
from oms.contract.operation import HostOperation, OpenOperation, Operation, ServerOperation, SessionOperation
from oms.contract.types import Secret

R = TypeVar("R")
CONNECT_SECONDS = 10.0
BEYOND_SECONDS = 15.0
"""The server waits as long as the method says, and then still has to answer."""
ASK_AGAIN_SECONDS = 60
_UNKNOWN = " Whether it was done is not known: taskservices.list_tasks says it."


class ClientError(Exception):
    """There is no answer that could be understood; the text says why, and what to do."""


class OutOfReach(ClientError):
    """OMS could not be asked, or did not answer."""


class Client:
    """Calls one OMS; `async with` connects it. Many tasks may call at once.

    `ca_sha256` is the fingerprint that OMS prints at its start, `ca_file` the CA itself; with neither, the CAs of
    this machine must know OMS's certificate. `sessid` goes on with a session that is there already.
    """

    def __init__(self, url: str, *, ca_sha256: str = "", ca_file: Path | None = None, sessid: str = "") -> None:
        if not url.startswith("https://"):
            raise ValueError(f"{url!r} is no address of OMS: legal is https://NAME:PORT.")
        self.url = url.rstrip("/")
        self.sessid = sessid
        self._ca_sha256, self._ca_file = pinning.plain(ca_sha256), ca_file
        self._http: httpx.AsyncClient

    async def __aenter__(self) -> Self:
        """Raises NotOurs, OutOfReach, and OSError for a `ca_file` that cannot be read."""
        self._http = _http(await self._trusted())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def login(self, user: str, password: str) -> None:
        """Begin a session, with which every later call is made. Raises AuthError."""
        self.sessid = await self.call(auth.Authenticate(user, Secret(password)))

    async def logout(self) -> None:
        """End the session. Raises DeathError where there is none."""
        await self.call(auth.Deauthenticate())
        self.sessid = ""

    @overload
    async def call(self, op: HostOperation[R], *, host: str, cache_timeout: int = 0, wait: bool = False) -> R: ...
    @overload
    async def call(
        self, op: OpenOperation[R] | SessionOperation[R] | ServerOperation[R], *, cache_timeout: int = 0
    ) -> R: ...
    async def call(self, op: Operation[R], *, host: str = "", cache_timeout: int = 0, wait: bool = False) -> R:
        """The operation's result. Raises its errors, those of the contract, and ClientError.

        `cache_timeout`: seconds, the greatest age of a recorded answer that will do. `wait`: where a change takes
        longer than the call waits (`FuncMethodTimeoutError`), wait for its job, however long that takes.
        """
        try:
            return await self._ask(op, host, cache_timeout)
        except FuncMethodTimeoutError as unknown:
            job = unknown.data.get("job")
            if not (wait and job):
                raise
        return await self._outcome(op, job)

    async def _outcome(self, op: Operation[R], job: str) -> R:
        while True:
            found = await self.call(task.WaitTask(job, ASK_AGAIN_SECONDS))
            if found.error is not None:
                raise errors.shown(found.error.message, {"name": found.error.name, "job": job})
            if found.finished:
                return self._understood(calls.outcome, op, found.result)

    async def _ask(self, op: Operation[R], host: str, cache_timeout: int) -> R:
        body = calls.call(op, sessid=self.sessid, host=host, cache_timeout=cache_timeout)
        timeout = httpx.Timeout(op.facts.timeout + BEYOND_SECONDS, connect=CONNECT_SECONDS)
        try:
            response = await self._http.post(
                self.url, content=body, headers={"Content-Type": "application/json"}, timeout=timeout
            )
        except httpx.HTTPError as failure:
            raise self._failed(failure, changes=op.facts.changes) from failure
        if response.status_code == httpx.codes.OK:
            return self._understood(calls.answered, op, response.content)
        said = f"{self.url} answers {response.status_code}: {response.text[:200]}"
        if response.is_server_error:
            raise OutOfReach(f"{said}{_UNKNOWN if op.facts.changes else ''}")
        raise ClientError(said)

    def _understood(self, read: Any, op: Operation[R], answer: Any) -> R:
        try:
            result: R = read(op, answer)
        except calls.UNREADABLE as bad:
            raise ClientError(
                f"{self.url} answers {op.facts.wire} with what is not known here: see that it is an OMS, of a like"
                f" version ({bad})."
            ) from bad
        return result

    async def _trusted(self) -> ssl.SSLContext:
        if self._ca_file is not None:
            pem, where = self._ca_file.read_text(), str(self._ca_file)
        elif self._ca_sha256:
            pem, where = await self._offered(), self.url
        else:
            return ssl.create_default_context()
        pinning.check(pem, self._ca_sha256, where)
        return ssl.create_default_context(cadata=pem)

    async def _offered(self) -> str:
        """The CA of whoever answers, to be checked."""
        async with _http(pinning.unverified()) as anybody:
            try:
                return (await anybody.get(f"{self.url}/ca.pem", timeout=CONNECT_SECONDS)).text
            except httpx.HTTPError as failure:
                raise self._failed(failure, changes=False) from failure

    def _failed(self, failure: httpx.HTTPError, *, changes: bool) -> Exception:
        cause: BaseException | None = failure
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return NotOurs(f"{self.url} is not verified by the CA that was given: {cause.verify_message}.")
            cause = cause.__cause__ or cause.__context__
        why = str(failure) or type(failure).__name__
        if isinstance(failure, (httpx.ConnectError, httpx.ConnectTimeout)):
            return OutOfReach(f"{self.url} cannot be reached: {why}.")
        return OutOfReach(f"{self.url} did not answer: {why}.{_UNKNOWN if changes else ''}")


def _http(trusted: ssl.SSLContext) -> httpx.AsyncClient:
    """Straight to OMS: what the environment says of proxies and CAs is not for it."""
    return httpx.AsyncClient(verify=trusted, trust_env=False)
