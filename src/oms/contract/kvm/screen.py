"""KVMService: the screens of machines, in a browser by VNC."""

from typing import Annotated

import msgspec
from msgspec import Meta

from oms.contract.errors import ApplicationError
from oms.contract.kvm import SERVICE
from oms.contract.operation import Permission, ServerOperation, operation
from oms.contract.types import Hostname, VmName

VncPort = Annotated[
    int,
    Meta(ge=1, le=65535, description="a port that set_up_vnc_connection answered, as a number", examples=[6801]),
]


class VncConnection(msgspec.Struct, frozen=True):
    """A screen that this session has set up."""

    host: str
    port: int
    vm: str


class VNCAreadySetUpError(ApplicationError):
    """This session has set up that machine's screen already; `data.port` says where."""

    code = 1080


class VNCAreadySetUpAnotherSessionError(ApplicationError):
    """Another session has set up that machine's screen."""

    code = 1081


class VNCRemoteSetUpError(ApplicationError):
    """The host cannot show that machine's screen: it is off or has none, or OMS may not or cannot go there."""

    code = 1082


class VNCPoolSpotSetUpError(ApplicationError):
    """All ports for screens are taken."""

    code = 1083


class VNCTunnelSetUpError(ApplicationError):
    """The host was reached, but not the machine's screen; or the port here cannot be listened on."""

    code = 1084


class VNCRemoveError(ApplicationError):
    """There is no such screen that this session could remove."""

    code = 1085


class VNCConnectionCheckError(ApplicationError):
    """This session has no screen at that port, or it is not to be reached any more."""

    code = 1086


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=30,
    changes=True,
    raises=(
        VNCAreadySetUpError,
        VNCAreadySetUpAnotherSessionError,
        VNCRemoteSetUpError,
        VNCPoolSpotSetUpError,
        VNCTunnelSetUpError,
    ),
)
class SetUpVncConnection(ServerOperation[str], frozen=True):
    """Set up a machine's screen for this session; answers the port at OMS where it is shown, as a text.

    A browser then opens `/vnc.html?SESSID=SESSID&host=OMS&port=PORT` at OMS's port 8002. What nobody opens within
    a minute is removed again, as is everything of a session that ends.
    """

    server_hostname: Hostname
    kvm_vm_name: VmName


@operation(SERVICE, Permission.OPERATOR, changes=True, raises=(VNCRemoveError,))
class RemoveVncConnection(ServerOperation[str], frozen=True):
    """Remove this session's screen of a machine, whoever looks at it; answers its port, as a text."""

    server_hostname: Hostname
    kvm_vm_name: VmName


@operation(SERVICE, Permission.OPERATOR, changes=True, raises=(VNCRemoveError,))
class RemoveSessionVncConnections(ServerOperation[int], frozen=True):
    """Remove all screens of this session; answers 0."""


@operation(SERVICE, Permission.OPERATOR)
class ListSessionVncConnections(ServerOperation[list[VncConnection]], frozen=True):
    """The screens of this session."""


@operation(SERVICE, Permission.OPERATOR, timeout=20, raises=(VNCConnectionCheckError,))
class CheckSessionVncConnection(ServerOperation[str], frozen=True):
    """See that this session's screen at a port can be looked at; answers "0".

    The machine must run, and OMS reach its screen.
    """

    port: VncPort
