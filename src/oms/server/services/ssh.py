"""sshservices: terminals on hosts, at ports of OMS."""

import base64
import hashlib

from oms.contract import ssh as api
from oms.contract.ssh import SshConnection, SSHRemoteSetUpError
from oms.server.desk import Desk, Table
from oms.server.services.at_ports import AtPorts
from oms.server.store import hosts
from oms.server.store.hosts import facts_of

handlers = Table()
TERMINALS = AtPorts(
    kind="ssh",
    noun="terminal",
    setting="ssh_ports",
    mine=api.SSHAlreadySetUpError,
    anothers=api.SSHAlreadySetUpAnotherSessionError,
    remote=api.SSHRemoteSetUpError,
    pool=api.SSHPoolSpotSetUpError,
    tunnel=api.SSHTunnelSetUpError,
    unchecked=api.SSHConnectionCheckError,
)


@handlers.handles(api.SetUpSshConnection)
async def set_up_ssh_connection(op: api.SetUpSshConnection, desk: Desk) -> str:
    """At a port of its own."""
    what = f"a terminal on {op.server_hostname}"
    with TERMINALS.told(what, what):
        console = await desk.house.consoles.open("ssh", await desk.session(), op.server_hostname, at_port=True)
    return str(console.port)


@handlers.handles(api.RemoveSessionSshConnections)
async def remove_session_ssh_connections(op: api.RemoveSessionSshConnections, desk: Desk) -> int:
    """Also where there are none."""
    return await TERMINALS.remove_all(desk)


@handlers.handles(api.ListSessionSshConnections)
async def list_session_ssh_connections(op: api.ListSessionSshConnections, desk: Desk) -> list[SshConnection]:
    """The oldest first."""
    return [SshConnection(c.host.name, c.port) for c in await TERMINALS.of(desk) if c.port is not None]


@handlers.handles(api.CheckSessionSshConnection)
async def check_session_ssh_connection(op: api.CheckSessionSshConnection, desk: Desk) -> str:
    """A terminal that runs is well; where it has ended, the way to another is tried."""
    return await TERMINALS.check(desk, op.port)


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
