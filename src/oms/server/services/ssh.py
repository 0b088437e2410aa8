"""sshservices: terminals on hosts, at ports of OMS."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from oms.contract import ssh as api
from oms.contract.errors import OmsError
from oms.contract.ssh import (
    SSHAlreadySetUpAnotherSessionError,
    SSHAlreadySetUpError,
    SshConnection,
    SSHConnectionCheckError,
    SSHPoolSpotSetUpError,
    SSHRemoteSetUpError,
    SSHTunnelSetUpError,
)
from oms.server.consoles.console import Console
from oms.server.consoles.desk import AlreadyMine, Anothers, NoSpot
from oms.server.consoles.ways import NoTunnel, NoWay
from oms.server.desk import Desk, Table
from oms.server.services.func import facts_of
from oms.server.store import hosts

handlers = Table()


@handlers.handles(api.SetUpSshConnection)
async def set_up_ssh_connection(op: api.SetUpSshConnection, desk: Desk) -> str:
    """At a port of its own."""
    with _told(op.server_hostname):
        console = await desk.house.consoles.open("ssh", await desk.session(), op.server_hostname, at_port=True)
    return str(console.port)


@handlers.handles(api.RemoveSessionSshConnections)
async def remove_session_ssh_connections(op: api.RemoveSessionSshConnections, desk: Desk) -> int:
    """Also where there are none."""
    for console in await _mine(desk):
        await desk.house.consoles.remove(console)
    return 0


@handlers.handles(api.ListSessionSshConnections)
async def list_session_ssh_connections(op: api.ListSessionSshConnections, desk: Desk) -> list[SshConnection]:
    """The oldest first."""
    return [SshConnection(c.host.name, c.port) for c in await _mine(desk) if c.port is not None]


@handlers.handles(api.CheckSessionSshConnection)
async def check_session_ssh_connection(op: api.CheckSessionSshConnection, desk: Desk) -> str:
    """A terminal that runs is well; where it has ended, the way to another is tried."""
    for console in await _mine(desk):
        if console.port == op.port:
            try:
                await desk.house.consoles.check(console)
            except (NoWay, NoTunnel) as why:
                raise SSHConnectionCheckError(str(why), port=op.port) from why
            return "0"
    raise SSHConnectionCheckError(
        f"This session has no terminal at port {op.port}: list_session_ssh_connections lists those that it has.",
        port=op.port,
    )


@handlers.handles(api.TrustHostKeys)
async def trust_host_keys(op: api.TrustHostKeys, desk: Desk) -> list[str]:
    """From what the agent said over the bus, where it has shown that it is this host's."""
    host = await desk.house.fleet.host(op.server_hostname)
    kept = await desk.house.store.read(lambda tx: hosts.by_id(tx, host.id))
    keys = facts_of(kept).ssh_host_keys if kept else ()
    if not keys:
        raise SSHRemoteSetUpError(
            f"The agent of {host.name} has found no SSH server there: install openssh-server."
        )
    await desk.house.store.write(lambda tx: hosts.pin_ssh(tx, host.id, keys, anew=True))
    return [_fingerprint(key) for key in keys]


def _fingerprint(key: str) -> str:
    """As `ssh-keygen -l` shows it."""
    kind, _, body = key.partition(" ")
    digest = base64.b64encode(hashlib.sha256(base64.b64decode(body)).digest()).decode().rstrip("=")
    return f"SHA256:{digest} {kind}"


async def _mine(desk: Desk) -> list[Console]:
    return desk.house.consoles.of(await desk.session(), "ssh")


@contextmanager
def _told(host: str) -> Iterator[None]:
    """Every reason why a terminal is not set up, under the name that the document has for it."""
    try:
        yield
    except AlreadyMine as why:
        port = why.console.port
        raise SSHAlreadySetUpError(
            f"This session has a terminal on {host} at port {port} already.", port=port
        ) from why
    except Anothers as why:
        raise SSHAlreadySetUpAnotherSessionError(
            f"{why.console.session.user} has a terminal on {host} in another session: "
            "it is free once that is closed."
        ) from why
    except NoSpot as why:
        raise SSHPoolSpotSetUpError(
            "All ports for terminals are taken: close some, or give OMS more (its setting ssh_ports)."
        ) from why
    except NoTunnel as why:
        raise SSHTunnelSetUpError(str(why)) from why
    except NoWay as why:
        raise SSHRemoteSetUpError(str(why)) from why
    except OmsError as why:
        raise SSHRemoteSetUpError(why.message, **why.details()) from why
