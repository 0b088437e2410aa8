"""What OMS keeps of a host's network, so that it is there again after a restart. Pure.

It is written in the host's own way (`files`), and as it is here beside that, which is the truth about it.
"""

import re
from typing import Final

import msgspec

from oms.contract.errors import NotSupported

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
"""What a link may be called in files that shells and others read; the kernel takes nearly any signs."""


class KeptBridge(msgspec.Struct, frozen=True):
    """A bridge of OMS's making. `addresses` as in 192.168.1.41/24, IPv6 too; `mac` where it has taken one over."""

    name: str
    addresses: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    mac: str = ""


class KeptLink(msgspec.Struct, frozen=True):
    """A card that got its addresses back from a bridge."""

    name: str
    addresses: tuple[str, ...]


class KeptRoute(msgspec.Struct, frozen=True):
    """A route of OMS's making; `destination` as in 192.168.3.0/24, `gateway` "" for none."""

    destination: str
    gateway: str
    interface: str
    metric: int = 0


class Kept(msgspec.Struct, frozen=True):
    """All of it."""

    bridges: tuple[KeptBridge, ...] = ()
    routes: tuple[KeptRoute, ...] = ()
    links: tuple[KeptLink, ...] = ()

    def bridge(self, name: str) -> KeptBridge | None:
        """The bridge of that name."""
        return next((bridge for bridge in self.bridges if bridge.name == name), None)

    def names(self) -> set[str]:
        """The links that are OMS's to bring up."""
        bridges = {name for bridge in self.bridges for name in (bridge.name, *bridge.members)}
        return bridges | {link.name for link in self.links}

    def writes_of(self) -> list[str]:
        """The links of which its own files say everything, routes too."""
        return [*(bridge.name for bridge in self.bridges), *(link.name for link in self.links)]

    def routes_of(self, name: str) -> list[KeptRoute]:
        """The routes over a link."""
        return [route for route in self.routes if route.interface == name]

    def with_bridge(self, bridge: KeptBridge) -> "Kept":
        """The same with this bridge, in place of one of its name."""
        others = tuple(one for one in self.bridges if one.name != bridge.name)
        return msgspec.structs.replace(self, bridges=(*others, bridge))

    def without_bridge(self, name: str) -> "Kept":
        """The same without that bridge and the routes over it."""
        return msgspec.structs.replace(
            self,
            bridges=tuple(one for one in self.bridges if one.name != name),
            routes=tuple(route for route in self.routes if route.interface != name),
        )

    def with_link(self, link: KeptLink) -> "Kept":
        """The same with this card, in place of one of its name."""
        return msgspec.structs.replace(self, links=(*self.without_link(link.name).links, link))

    def without_link(self, name: str) -> "Kept":
        """The same without that card."""
        return msgspec.structs.replace(self, links=tuple(one for one in self.links if one.name != name))

    def with_route(self, route: KeptRoute) -> "Kept":
        """The same with this route, in place of one to the same destination with the same metric."""
        others = self.without_route(route.destination, route.metric).routes
        return msgspec.structs.replace(self, routes=(*others, route))

    def without_route(self, destination: str, metric: int) -> "Kept":
        """The same without the route to that destination with that metric."""
        kept = (route for route in self.routes if (route.destination, route.metric) != (destination, metric))
        return msgspec.structs.replace(self, routes=tuple(kept))

    def moved(self, old: str, new: str, routes: tuple[KeptRoute, ...]) -> "Kept":
        """The same with these routes, which were those over `old`, over `new`."""
        others = tuple(route for route in self.routes if route.interface not in (old, new))
        here = tuple(route for route in self.routes if route.interface == new and route not in routes)
        return msgspec.structs.replace(self, routes=(*others, *here, *routes))


class Theirs(msgspec.Struct, frozen=True):
    """What a file of the host's administrator says of a link. `file` is its bare name."""

    file: str
    addressed: bool = False
    """It gives the link addresses, or has them fetched."""
    gateway: bool = False
    """It gives the host a gateway there."""
    exact: bool = True
    """It is about this link alone."""


def check_names(kept: Kept) -> None:
    """Raise NotSupported where a link has a name that means something else in the host's files."""
    for name in sorted({*kept.names(), *(route.interface for route in kept.routes)}):
        if not _NAME.fullmatch(name):
            raise NotSupported(
                f"An interface is called {name!a}, which could not be written into this host's files as it is: "
                "give it a name of letters, digits and . _ -.",
                interface=ascii(name),
            )
