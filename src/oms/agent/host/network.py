"""A host's network as values: links, addresses, routes, as the kernel has them at one moment. Pure.

Links are known by their names here: numbers are the kernel's, and other ones after a restart.
"""

import ipaddress
from collections.abc import Collection, Iterator

import msgspec

MAIN_TABLE = 254
KERNEL, BOOT, STATIC = 2, 3, 4
"""By whom a route was made: the kernel for an address, nobody in particular, an administrator."""
UNICAST, LINK_SCOPE, EVERYWHERE_SCOPE = 1, 253, 0
ALL4, ALL6 = "0.0.0.0/0", "::/0"

Network4 = ipaddress.IPv4Network


class Link(msgspec.Struct, frozen=True):
    """An interface. `master`: the bridge (or bond) that it is part of, or "". `far`: its other end is in another
    network namespace, so a container's or something like it."""

    name: str
    kind: str = ""
    """As the kernel calls it, as in `bridge`, `veth`, `tun`; "" for cards."""
    up: bool = True
    carrier: bool = True
    mac: str = ""
    mtu: int = 1500
    master: str = ""
    far: bool = False
    loopback: bool = False


class Address(msgspec.Struct, frozen=True):
    """An address of a link, with all by which it can be put there again."""

    link: str
    local: str
    prefix: int
    peer: str = ""
    """The other end of a line between two, else ""."""
    broadcast: str = ""
    label: str = ""
    scope: int = 0
    flags: int = 0
    """Those that somebody has set, not what the kernel found."""
    lasting: bool = True
    """Put there for good; not lent by DHCP, not made up from a router's word."""

    @property
    def six(self) -> bool:
        """Whether it is IPv6."""
        return ":" in self.local

    @property
    def net(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        """The network that is reached on the link by this address."""
        return ipaddress.ip_network(f"{self.peer or self.local}/{self.prefix}", strict=False)

    @property
    def written(self) -> str:
        """As in 192.168.1.41/24."""
        return f"{self.local}/{self.prefix}"


class Route(msgspec.Struct, frozen=True):
    """A route, with all by which it can be put there again, where it is `plain`."""

    link: str
    """"" where it leads nowhere, or on several ways."""
    destination: str
    """As in 192.168.3.0/24."""
    gateway: str = ""
    metric: int = 0
    source: str = ""
    proto: int = STATIC
    scope: int = EVERYWHERE_SCOPE
    kind: int = UNICAST
    flags: int = 0
    table: int = MAIN_TABLE
    plain: bool = True
    """False where it has more to it than is here: several ways, a label, a mark."""
    ways: tuple[str, ...] = ()
    """The links of one that leads on several."""

    @property
    def six(self) -> bool:
        """Whether it is IPv6."""
        return ":" in self.destination

    @property
    def net(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        """Its destination."""
        return ipaddress.ip_network(self.destination)

    @property
    def for_all(self) -> bool:
        """Whether it is a default route."""
        return self.destination in (ALL4, ALL6)

    @property
    def own(self) -> bool:
        """Whether the kernel makes and removes it by itself, with an address or a link."""
        return self.proto == KERNEL


class Network(msgspec.Struct, frozen=True):
    """All of it. Routes of the local table are not in it: the kernel keeps them."""

    links: tuple[Link, ...] = ()
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()

    def link(self, name: str) -> Link | None:
        """The link of that name."""
        return next((link for link in self.links if link.name == name), None)

    def names(self) -> list[str]:
        """All links, by name."""
        return [link.name for link in self.links]

    def members(self, bridge: str) -> list[Link]:
        """What is part of a bridge."""
        return [link for link in self.links if link.master == bridge]

    def addresses_of(self, name: str) -> list[Address]:
        """The addresses of a link, but those that every link has by itself."""
        return [address for address in self.addresses if address.link == name and not _of_itself(address)]

    def routes_of(self, name: str) -> list[Route]:
        """The routes over a link in the main table, but those that come and go by themselves."""
        return [
            route for route in self.routes if route.link == name and route.table == MAIN_TABLE and not route.own
        ]

    def main4(self) -> list[Route]:
        """The main table, IPv4."""
        return [route for route in self.routes if route.table == MAIN_TABLE and not route.six]

    def defaults(self) -> list[Route]:
        """The default routes (IPv4), the one that is used first."""
        return sorted((route for route in self.main4() if route.for_all), key=lambda route: route.metric)

    def of(self, names: Collection[str]) -> "Network":
        """The part that is about these links."""
        return Network(
            tuple(link for link in self.links if link.name in names),
            tuple(address for address in self.addresses if address.link in names and not _of_itself(address)),
            tuple(route for route in self.routes if route.link in names and not route.own),
        )

    def nets4(self, *, without: str = "") -> Iterator[tuple[str, Network4]]:
        """The IPv4 networks that links are in, with the link's name; single addresses are none."""
        for address in self.addresses:
            net = address.net
            if isinstance(net, Network4) and address.link != without and net.prefixlen < 32:
                yield address.link, net


def _of_itself(address: Address) -> bool:
    """A link's own IPv6 address: there while the link is up."""
    return address.six and address.scope == LINK_SCOPE


def not_to_be_put_back(network: Network, names: frozenset[str]) -> list[Route]:
    """Routes over these links that could not be put there again as they are, should they go with an address."""
    return [
        route
        for route in network.routes
        if not route.own
        and (route.link in names or not names.isdisjoint(route.ways))
        and (not route.plain or route.table != MAIN_TABLE)
    ]


def metric_behind(network: Network) -> int:
    """A metric for one more default route, after all that are there."""
    return max((route.metric for route in network.defaults()), default=0) + 1024
