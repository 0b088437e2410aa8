"""The host's network in the documented shapes. Pure."""

import ipaddress
from typing import Literal

from oms.agent.host.network import UNICAST, Link, Network, Route
from oms.agent.netinterface.view import BRIDGE, View, is_guests
from oms.contract.netinterface import Bridge, HostInterface
from oms.contract.netinterface import Route as Shown

LEADS_NOWHERE = frozenset({6, 7, 8, 9})
"""Kinds of routes by which nothing is sent: blackhole, unreachable, prohibit, throw."""


def table(network: Network) -> list[Shown]:
    """The main table, as `route` shows it: single hosts first, what is for all last."""
    lines = [
        line for route in network.main4() for line in _lines(route) if route.kind in {UNICAST, *LEADS_NOWHERE}
    ]
    return sorted(lines, key=_place)


def _lines(route: Route) -> list[Shown]:
    net = ipaddress.IPv4Network(route.destination)
    nowhere = route.kind in LEADS_NOWHERE
    flags = "!" if nowhere else "U"
    flags += "G" if route.gateway else ""
    flags += "H" if net.prefixlen == 32 else ""
    return [
        Shown(
            count="0",
            use="0",
            destination="default" if route.for_all else str(net.network_address),
            metrics=str(route.metric),
            netmask=str(net.netmask),
            flags=flags,
            interface=link or "*",
            router="-" if nowhere else route.gateway or "*",
        )
        for link in (route.ways or (route.link,))
    ]


def _place(line: Shown) -> tuple[int, int, int]:
    address = "0.0.0.0" if line.destination == "default" else line.destination  # noqa: S104 - nothing is bound
    mask = int(ipaddress.IPv4Address(line.netmask))
    return -mask, int(ipaddress.IPv4Address(address)), int(line.metrics)


def bridges(network: Network) -> list[Bridge]:
    """Each bridge with its members, by name."""
    found = (link.name for link in network.links if link.kind == BRIDGE)
    return [Bridge(name, [link.name for link in network.members(name)]) for name in sorted(found)]


def interfaces(view: View) -> list[HostInterface]:
    """All interfaces, in the kernel's order."""
    network = view.network
    return [
        HostInterface(
            name=link.name,
            kind="loopback" if link.loopback else link.kind or "device",
            state=_state(link),
            mac=link.mac,
            mtu=link.mtu,
            addresses=[address.written for address in network.addresses if address.link == link.name],
            gateway=gateway(network, link.name),
            bridge=link.master,
            guest=is_guests(link, view),
            kept_by=_kept_by(view, link.name),
        )
        for link in network.links
    ]


def gateway(network: Network, interface: str) -> str:
    """The default gateway on an interface, "" for none."""
    ways = (route.gateway for route in network.defaults() if route.link == interface)
    return next((way for way in ways if way), "")


def _state(link: Link) -> Literal["up", "no carrier", "down"]:
    if not link.up:
        return "down"
    return "up" if link.carrier else "no carrier"


def _kept_by(view: View, name: str) -> str:
    if name in view.kept.names():
        return "oms"
    theirs = view.theirs.get(name)
    return theirs.file if theirs else ""
