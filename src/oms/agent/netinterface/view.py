"""What a change of the network is judged by, and what comes of it. Pure."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from oms.agent.host.network import Link, Network, Route, not_to_be_put_back
from oms.agent.host.network_changes import Change
from oms.agent.netinterface.kept import Kept, Theirs
from oms.contract.errors import InUse, NotThere
from oms.contract.netinterface import NotFitting

BRIDGE: Final = "bridge"
GUEST_KINDS: Final = frozenset({"tun"})
"""What machines have at the host's end, where it is a member of a bridge."""
KEEPERS: Final = (
    (re.compile(r"virbr\d+"), "libvirt"),
    (re.compile(r"docker\d+|br-[0-9a-f]{12}"), "Docker"),
    (re.compile(r"lxcbr\d+"), "LXC's own network service"),
    (re.compile(r"(?:lxd|incus)br\d+"), "LXD or Incus"),
    (re.compile(r"(?:cni-)?podman\d+|cni\d+"), "Podman"),
)
"""Bridges that are made anew by a program when it starts, by their usual names."""


class View(msgspec.Struct, frozen=True):
    """The host as it is: the kernel's network, what OMS keeps, what others' files say of links (by name), machines
    by the bridge that their definitions name, and by the link that is their end of a line."""

    network: Network
    kept: Kept = Kept()
    theirs: Mapping[str, Theirs] = {}
    users: Mapping[str, tuple[str, ...]] = {}
    ends: Mapping[str, str] = {}


class Plan(msgspec.Struct, frozen=True):
    """What is done: `now`, and `then`, once OMS was reached, what could not be undone. `kept`: what is to be there
    after a restart. `notes` go into the job's record."""

    now: tuple[Change, ...]
    kept: Kept
    then: tuple[Change, ...] = ()
    notes: dict[str, str] = {}


def is_guests(link: Link, view: View) -> bool:
    """Whether a machine or container has the other end of it. A host that is a container itself has such cards
    too, which is why one that OMS made a member for its addresses is none."""
    if link.name in view.ends:
        return True
    if link.name in view.kept.names():
        return False
    if link.master:
        return link.far or link.kind in GUEST_KINDS
    return link.far and not view.network.addresses_of(link.name)


def link_of(view: View, name: str) -> Link:
    """The link of that name. Raises NotThere."""
    if (link := view.network.link(name)) is not None:
        return link
    there = ", ".join(sorted(view.network.names()))
    raise NotThere(f"This host has no interface {name!r}; there are: {there}.", interface=name)


def bridge_of(view: View, name: str) -> Link:
    """The bridge of that name. Raises NotThere."""
    link = view.network.link(name)
    if link is not None and link.kind == BRIDGE:
        return link
    there = ", ".join(link.name for link in view.network.links if link.kind == BRIDGE) or "none"
    what = f"{name} is an interface and no bridge" if link else f"This host has no bridge {name!r}"
    raise NotThere(f"{what}; its bridges are: {there}.", bridge=name)


def check_ours(view: View, name: str, *, unless_bare: bool = False) -> None:
    """Raise NotFitting where a file that OMS does not write says what that link is: at the host's next start it
    would be so again. `unless_bare`: a file that only mentions it is no hindrance."""
    if (program := keeper(view, name)) and not unless_bare:
        raise NotFitting(f"{name} is kept by {program}: change it there.", interface=name)
    theirs = view.theirs.get(name)
    if theirs is None or (unless_bare and not theirs.addressed):
        return
    raise NotFitting(
        f"{name} is set up in this host's file {theirs.file!r}, which is its administrator's and which OMS does "
        "not "
        f"rewrite: change it there, or take {name} out of it (nothing has to be restarted) and call again, and "
        "OMS "
        "keeps it from then on.",
        interface=name,
        file=theirs.file,
    )


def keeper(view: View, name: str) -> str:
    """The program that makes and removes bridges of such names by itself; "" where it is none, or OMS has it."""
    if view.kept.bridge(name) is not None:
        return ""
    return next((program for pattern, program in KEEPERS if pattern.fullmatch(name)), "")


def check_movable(view: View, names: Iterable[str]) -> None:
    """Raise NotFitting where addresses or routes of these links could not be put there again as they are, or would
    come back by themselves."""
    links = frozenset(names)
    for address in view.network.addresses:
        if address.link in links and not address.lasting and not address.six:
            raise NotFitting(
                f"{address.link} got {address.written} from DHCP, which would bring it back there: give it a "
                "lasting "
                "address first.",
                interface=address.link,
            )
    if others := not_to_be_put_back(view.network, links):
        raise NotFitting(
            f"The route to {others[0].destination} (table {others[0].table}) goes with this, and could not be put "
            "there again as it is: take it out first.",
            route=others[0].destination,
        )


def check_way_out(view: View, after: Iterable[Route]) -> None:
    """Raise InUse where a host that has a default route would have none."""
    if view.network.defaults() and not any(route.for_all and not route.six for route in after):
        gone = view.network.defaults()[0]
        raise InUse(
            f"The host would have no default gateway any more (now it is {gone.gateway or 'none'} on "
            f"{gone.link}): "
            "edit_static_gateway gives it another first.",
            interface=gone.link,
        )


def network4(address: str, netmask: str, what: str) -> ipaddress.IPv4Network:
    """The network that a destination and its mask name. Raises NotFitting."""
    try:
        return ipaddress.IPv4Network(f"{address}/{netmask}")
    except ValueError:
        meant = ipaddress.IPv4Network(f"{address}/{netmask}", strict=False)
        raise NotFitting(
            f"{what} {address} with netmask {netmask} is no network: meant is perhaps {meant.network_address}, "
            "or one "
            "host with netmask 255.255.255.255.",
            destination=address,
        ) from None


def check_gateway(view: View, interface: str, gateway: str, nets: Iterable[ipaddress.IPv4Network]) -> None:
    """Raise NotFitting for a gateway that is not another machine in one of the interface's networks."""
    known = list(nets)
    address = ipaddress.IPv4Address(gateway)
    inside = next((net for net in known if address in net), None)
    if inside is None:
        there = ", ".join(map(str, known)) or "none"
        raise NotFitting(
            f"Gateway {gateway} is in no network of {interface}; its networks: {there}.",
            gateway=gateway,
            interface=interface,
        )
    if inside.prefixlen < 31 and address in (inside.network_address, inside.broadcast_address):
        raise NotFitting(f"{gateway} is the address of a network, and no machine's.", gateway=gateway)
    if any(own.local == gateway for own in view.network.addresses):
        raise NotFitting(f"Gateway {gateway} is this host itself.", gateway=gateway)


def nets_of(view: View, interface: str) -> list[ipaddress.IPv4Network]:
    """The IPv4 networks that an interface is in."""
    return [
        net
        for address in view.network.addresses
        if address.link == interface and isinstance(net := address.net, ipaddress.IPv4Network)
    ]
