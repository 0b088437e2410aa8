"""The ways to hosts: SSH with the key that was made at the host's signing, to a server known by the keys that were
found there then.

Screens share one connection a host: channels to sockets are not counted by an SSH server. Terminals are, ten to a
connection by OpenSSH's default, so each has a connection of its own.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

import asyncssh
import msgspec
import structlog

from oms.server.consoles.carrier import Carrier, without_fillers

log = structlog.get_logger("oms.consoles")
CONNECT_SECONDS = 8.0
CIPHERS = (
    "aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr", "aes128-ctr"
)  # fmt: skip
"""The quickest first; the others for servers that have been told not to. None chains blocks
(see `without_fillers`)."""
USER = "root"


BROKEN = (asyncssh.Error, BrokenPipeError)
"""What is raised where a connection to a host breaks in the midst of it."""


class NoWay(Exception):
    """The host's SSH server is not there, is another, or does not let OMS in; the text is for a person."""


class NoTunnel(Exception):
    """The host was reached; what was wanted there was not. The text is for a person."""


class Way(msgspec.Struct, frozen=True):
    """What leads to a host's SSH server. `keys` are lines of OpenSSH's form, `private` is OMS's own."""

    name: str
    host: str
    port: int
    private: bytes
    keys: tuple[str, ...]


class Ways:
    """The connections."""

    def __init__(self, find: Callable[[str], Awaitable[Way]]) -> None:
        """`find` looks up the way to a host by the host's id; it raises NoWay."""
        self._find = find
        self._shared: dict[str, asyncio.Task[asyncssh.SSHClientConnection]] = {}

    async def own(self, host_id: str) -> asyncssh.SSHClientConnection:
        """A connection for one terminal; whoever asked closes it. Raises NoWay."""
        return await _connected(await self._find(host_id))

    async def shared(self, host_id: str) -> asyncssh.SSHClientConnection:
        """The connection for all screens of a host, made where there is none. Raises NoWay."""
        task = self._shared.get(host_id)
        if task is None or (task.done() and _is_over(task)):
            task = self._shared[host_id] = asyncio.create_task(self.own(host_id))
        await asyncio.wait((task,))
        if task.cancelled():
            raise NoWay("The way to that host was just closed.")
        return task.result()

    def cut(self, host_id: str) -> None:
        """End the connection to a host, and with it all screens."""
        if task := self._shared.pop(host_id, None):
            _end(task)

    async def close(self) -> None:
        """End all."""
        for host_id in list(self._shared):
            self.cut(host_id)


def _is_over(task: "asyncio.Task[asyncssh.SSHClientConnection]") -> bool:
    return task.cancelled() or task.exception() is not None or task.result().is_closed()


def _end(task: "asyncio.Task[asyncssh.SSHClientConnection]") -> None:
    if not task.done():
        task.cancel()
    elif not _is_over(task):
        task.result().abort()


async def _connected(way: Way) -> asyncssh.SSHClientConnection:
    """Raises NoWay."""
    try:
        known = [asyncssh.import_public_key(line) for line in way.keys]
        async with asyncio.timeout(CONNECT_SECONDS):
            made = await asyncssh.connect(
                way.host,
                way.port,
                username=USER,
                client_keys=[asyncssh.import_private_key(way.private)],
                known_hosts=(known, [], []),
                agent_path=None,
                config=None,
                gss_host=None,
                preferred_auth="publickey",
                encryption_algs=CIPHERS,
                compression_algs=None,
                keepalive_interval=15,
                keepalive_count_max=3,
                tunnel=Carrier(),
            )
            return without_fillers(made)
    except (TimeoutError, OSError, asyncssh.Error, asyncssh.KeyImportError) as failure:
        raise NoWay(_why(way, failure)) from failure


def _why(way: Way, failure: Exception) -> str:
    there = f"The SSH server of {way.name} ({way.host}, port {way.port})"
    match failure:
        case asyncssh.HostKeyNotVerifiable():
            return (
                f"{there} is not known by the key that it shows now. Where its key was changed on purpose, an "
                "administrator says so with sshservices.trust_host_keys."
            )
        case asyncssh.PermissionDenied():
            return (
                f"{there} does not let OMS in as {USER}: its agent puts OMS's key into authorized_keys, and "
                "sshd_config must not forbid that (PermitRootLogin prohibit-password)."
            )
        case TimeoutError():
            return f"{there} did not answer in {CONNECT_SECONDS:g} s."
        case OSError():
            return f"{there} cannot be reached ({failure.strerror or 'no connection'}): is sshd running there?"
        case _:
            return f"{there} and OMS did not come together."


@contextlib.contextmanager
def reaching(what: str, host: str) -> Iterator[None]:
    """Turn what SSH says of a channel into words. Raises NoTunnel."""
    try:
        yield
    except (asyncssh.Error, OSError) as failure:
        reason = failure.reason if isinstance(failure, asyncssh.Error) else failure.strerror or ""
        raise NoTunnel(
            f"{what} on {host} cannot be opened ({reason or 'refused'}). Its sshd must not forbid forwarding "
            "(AllowStreamLocalForwarding, AllowTcpForwarding) or terminals (PermitTTY)."
        ) from failure
