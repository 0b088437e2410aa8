"""SSHService: terminals on the hosts themselves, in a browser."""

from typing import Annotated

import msgspec
from msgspec import Meta

from oms.contract.errors import ApplicationError
from oms.contract.operation import Permission, ServerOperation, Service, operation
from oms.contract.types import Hostname

SERVICE = Service("sshservices", "SSHService", "Terminals on hosts, in a browser.")

SshPort = Annotated[
    int,
    Meta(ge=1, le=65535, description="a port that set_up_ssh_connection answered, as a number", examples=[6900]),
]


class SshConnection(msgspec.Struct, frozen=True):
    """A terminal that this session has set up."""

    host: str
    port: int


class SSHAlreadySetUpError(ApplicationError):
    """This session has set up a terminal on that host already; `data.port` says where."""

    code = 1087


class SSHAlreadySetUpAnotherSessionError(ApplicationError):
    """Another session has set up a terminal on that host."""

    code = 1088


class SSHRemoteSetUpError(ApplicationError):
    """The host's SSH server is not there, is another than was known at the signing, or does not let OMS in."""

    code = 1089


class SSHPoolSpotSetUpError(ApplicationError):
    """All ports for terminals are taken."""

    code = 1090


class SSHTunnelSetUpError(ApplicationError):
    """The host was reached, but gives no terminal; or the port here cannot be listened on."""

    code = 1091


class SSHRemoveError(ApplicationError):
    """A terminal of this session could not be removed."""

    code = 1092


class SSHConnectionCheckError(ApplicationError):
    """This session has no terminal at that port, or its host is not to be reached any more."""

    code = 1093


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=30,
    changes=True,
    raises=(
        SSHAlreadySetUpError,
        SSHAlreadySetUpAnotherSessionError,
        SSHRemoteSetUpError,
        SSHPoolSpotSetUpError,
        SSHTunnelSetUpError,
    ),
)
class SetUpSshConnection(ServerOperation[str], frozen=True):
    """Set up a terminal on a host for this session; answers the port at OMS where it is, as a text.

    A browser then opens `/?SESSID=SESSID` at that port, and is the host's root. What nobody opens within a minute
    is removed again, as is everything of a session that ends.
    """

    server_hostname: Hostname


@operation(SERVICE, Permission.ADMIN, changes=True, raises=(SSHRemoveError,))
class RemoveSessionSshConnections(ServerOperation[int], frozen=True):
    """Remove all terminals of this session; answers 0."""


@operation(SERVICE, Permission.ADMIN)
class ListSessionSshConnections(ServerOperation[list[SshConnection]], frozen=True):
    """The terminals of this session."""


@operation(SERVICE, Permission.ADMIN, timeout=20, raises=(SSHConnectionCheckError,))
class CheckSessionSshConnection(ServerOperation[str], frozen=True):
    """See that this session's terminal at a port can be opened: OMS gets into the host; answers "0"."""

    port: SshPort


@operation(SERVICE, Permission.ADMIN, changes=True, raises=(SSHRemoteSetUpError,))
class TrustHostKeys(ServerOperation[list[str]], frozen=True):
    """Know a host's SSH server by the keys that its agent tells of now; answers their fingerprints.

    They are kept from the signing on, and a server that shows others is not gone to: this is for an administrator
    who has given the host new keys.
    """

    server_hostname: Hostname
