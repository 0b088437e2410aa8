"""NetInterfaceService: interfaces, bridges and routes of one host.

Every change is applied, and stays only if the host has reached OMS again over a new connection; else the host
itself takes it back. Addresses are IPv4 in dotted form, as in the document.
"""

from typing import Annotated, Final, Literal

import msgspec

from oms.contract.errors import AlreadyThere, FuncManError, InUse, NotSupported, NotThere
from oms.contract.operation import HostOperation, Permission, Service, operation
from oms.contract.types import text

SERVICE = Service(
    "netinterfaceservices",
    "NetInterfaceService",
    "Interfaces, bridges and routes of a host. A change after which the host cannot reach OMS is taken back by "
    "the "
    "host itself.",
    one_at_a_time=True,
)


class NotFitting(FuncManError):
    """Each value is legal by itself, and they do not fit each other or what the host has; nothing was changed."""

    reason = "not_fitting"


class TakenBack(FuncManError):
    """It was done, and with it the host could not reach OMS any more: the host has undone it."""

    reason = "taken_back"


CHANGE_SECONDS: Final = 120.0
"""Longer than a host waits for a change to be confirmed, and takes to undo one that is not."""

_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_ADDRESS = rf"{_BYTE}(?:\.{_BYTE}){{3}}"
_PART = "(?:0|128|192|224|240|248|252|254)"
_MASK = rf"(?:{_PART}\.0\.0\.0|255\.{_PART}\.0\.0|255\.255\.{_PART}\.0|255\.255\.255\.(?:{_PART}|255))"

Interface = Annotated[
    str,
    text(
        "[A-Za-z0-9][A-Za-z0-9._-]*",
        "an interface's name: letters, digits and . _ -, first a letter or digit, at most 15 characters",
        15,
        "vmbr0",
    ),
]
"""The kernel's limit is 15 characters; interfaces with wilder names are listed, and left alone."""

Address = Annotated[
    str, text(_ADDRESS, "an IPv4 address, as in 192.168.1.41; 0.0.0.0 for none", 15, "192.168.1.41", shortest=7)
]

Destination = Annotated[
    str,
    text(
        f"{_ADDRESS}|default",
        "the first address of a network, as in 192.168.3.0; `default` or 0.0.0.0 for all",
        15,
        "192.168.3.0",
        shortest=7,
    ),
]

Netmask = Annotated[
    str,
    text(_MASK, "a netmask in dotted form, as in 255.255.255.0", 15, "255.255.255.0", shortest=7),
]

Gateway = Annotated[
    str, text(_ADDRESS, "an IPv4 address, as in 192.168.1.1; 0.0.0.0 for none", 15, "192.168.1.1", shortest=7)
]

Router = Annotated[
    str, text(rf"{_ADDRESS}|\*", "an IPv4 address, as in 192.168.1.1; 0.0.0.0 or * for none", 15, "192.168.1.1")
]
"""A gateway, also as `show_routing_table` shows that there is none."""


class Route(msgspec.Struct, frozen=True):
    """A line of the routing table, in the words of `route`. `destination` is `default` for all; `router` is `*`
    where there is none; `flags`: U usable, G through a router, H one host, ! refused. `count` and `use` are 0:
    kernels of today do not count them."""

    count: str
    use: str
    destination: str
    metrics: str
    netmask: str
    flags: str
    interface: str
    router: str


class Bridge(msgspec.Struct, frozen=True):
    """A bridge and the interfaces that are its members."""

    bridge: str
    members: list[str]


class HostInterface(msgspec.Struct, frozen=True):
    """An interface. `kind`: as the kernel calls it (`bridge`, `veth`, `tun`, ...), `device` for a card,
    `loopback`; `state`: `up` when it is switched on and can carry something, `no carrier` when switched on with
    nothing at its other end, `down` when switched off. `addresses` as in 192.168.1.41/24, IPv6 too. `bridge`:
    whose member it is, or "". `guest`: a machine or container has its other end. `kept_by`: what brings it up at
    the host's start, as far as that is known: `oms`, the name of a file of the host's administrator, or ""."""

    name: str
    kind: str
    state: Literal["up", "no carrier", "down"]
    mac: str
    mtu: int
    addresses: list[str]
    gateway: str
    bridge: str
    guest: bool
    kept_by: str


@operation(SERVICE, Permission.VIEWER, host_field="server_name")
class ShowRoutingTable(HostOperation[list[Route]], frozen=True):
    """Show a host's routing table (IPv4, the main one): single hosts first, what is for all last."""


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=CHANGE_SECONDS,
    changes=True,
    host_field="server_name",
    target="interface",
    raises=(AlreadyThere, NotThere, NotFitting, NotSupported, TakenBack),
)
class AddStaticRoute(HostOperation[int], frozen=True):
    """Add a static route; answers 0.

    Its gateway must lie in a network that the interface is in. Without one, the network is at the interface
    itself.
    """

    destination: Destination
    netmask: Netmask
    gateway: Router
    interface: Interface


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=CHANGE_SECONDS,
    changes=True,
    host_field="server_name",
    target="interface",
    raises=(AlreadyThere, NotThere, NotFitting, InUse, NotSupported, TakenBack),
)
class EditStaticRoute(HostOperation[int], frozen=True):
    """Put another static route in the place of one, on the same interface; answers 0."""

    destination_old: Destination
    netmask_old: Netmask
    gateway_old: Router
    interface: Interface
    destination_new: Destination
    netmask_new: Netmask
    gateway_new: Router


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=CHANGE_SECONDS,
    changes=True,
    host_field="server_name",
    target="interface",
    raises=(NotThere, NotFitting, InUse, NotSupported, TakenBack),
)
class DeleteStaticRoute(HostOperation[int], frozen=True):
    """Delete a static route; answers 0.

    Not the last one for all: `edit_static_gateway` gives the host another. Nor one that belongs to an address.
    """

    destination: Destination
    netmask: Netmask
    gateway: Router
    interface: Interface


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=CHANGE_SECONDS,
    changes=True,
    host_field="server_name",
    target="interface",
    raises=(NotThere, NotFitting, InUse, NotSupported, TakenBack),
)
class EditStaticGateway(HostOperation[int], frozen=True):
    """Have the host's traffic to everywhere go through this gateway, on this interface; answers 0."""

    gateway: Gateway
    interface: Interface


@operation(SERVICE, Permission.VIEWER, host_field="server_name", raises=(NotThere,))
class GetDefaultGateway(HostOperation[str], frozen=True):
    """Tell the default gateway on an interface; an empty text where it has none."""

    interface: Interface


@operation(SERVICE, Permission.VIEWER, host_field="server_name")
class ListBridges(HostOperation[list[Bridge]], frozen=True):
    """List a host's bridges with their members."""


@operation(SERVICE, Permission.VIEWER, host_field="server_name")
class ListInterfaces(HostOperation[list[HostInterface]], frozen=True):
    """List a host's interfaces."""


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=CHANGE_SECONDS,
    changes=True,
    host_field="server_name",
    target="bridge_name",
    raises=(AlreadyThere, NotFitting, NotSupported, TakenBack),
)
class AddBridge(HostOperation[int], frozen=True):
    """Add a bridge; answers 0.

    An address of 0.0.0.0 makes one without. A gateway becomes the host's where it has none; where it has one
    already, the new one stands behind it and is used when that is gone. 0.0.0.0 for none.
    """

    bridge_name: Interface
    ip_address: Address
    netmask: Netmask
    gateway: Gateway


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=CHANGE_SECONDS,
    changes=True,
    host_field="server_name",
    target="bridge_name",
    raises=(NotThere, InUse, NotFitting, NotSupported, TakenBack),
)
class AddBridgeMember(HostOperation[int], frozen=True):
    """Make an interface a member of a bridge; answers 0. One that is so already stays it.

    The addresses and routes of the interface move to the bridge, which then has them instead.
    """

    bridge_name: Interface
    bridge_member: Interface


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=CHANGE_SECONDS,
    changes=True,
    host_field="server_name",
    target="bridge_name",
    raises=(NotThere, InUse, NotFitting, NotSupported, TakenBack),
)
class DeleteBridgeMember(HostOperation[int], frozen=True):
    """Take a member out of a bridge; answers 0. Not the interface of a machine or container."""

    bridge_name: Interface
    bridge_member: Interface


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=CHANGE_SECONDS,
    changes=True,
    host_field="server_name",
    target="bridge_name",
    raises=(NotThere, InUse, NotFitting, NotSupported, TakenBack),
)
class DeleteBridge(HostOperation[int], frozen=True):
    """Delete a bridge that no machine or container uses; answers 0.

    Where it has one member, the addresses and routes of the bridge move there.
    """

    bridge_name: Interface


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=CHANGE_SECONDS,
    changes=True,
    host_field="server_name",
    target="bridge_name",
    raises=(NotThere, InUse, NotFitting, NotSupported, TakenBack),
)
class EditBridge(HostOperation[int], frozen=True):
    """Give a bridge this address in place of those that it has (IPv4), and this gateway; answers 0.

    An address of 0.0.0.0 takes them away, a gateway of 0.0.0.0 the bridge's gateway.
    """

    bridge_name: Interface
    ip_address: Address
    netmask: Netmask
    gateway: Gateway
