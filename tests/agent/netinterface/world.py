"""A kernel's network in memory, as far as bridges, addresses and routes go."""

import ipaddress
from collections.abc import Callable, Iterable

import msgspec

from oms.agent.host.network import KERNEL, LINK_SCOPE, Address, Link, Network, Route
from oms.agent.host.network_changes import (
    Change,
    DropAddress,
    DropRoute,
    Join,
    MakeBridge,
    PutAddress,
    PutRoute,
    RemoveBridge,
    SetMac,
    Switch,
)
from oms.agent.netinterface.view import View
from oms.contract.errors import FuncManError


def address(link: str, written: str, **more: object) -> Address:
    """An address of a link, as in 10.0.0.2/24."""
    local, _, prefix = written.partition("/")
    return Address(link, local, int(prefix), **{"label": link, **more})  # type: ignore[arg-type]


def connected(one: Address) -> Route:
    """The route that the kernel makes for an address."""
    return Route(one.link, str(one.net), source=one.local, proto=KERNEL, scope=LINK_SCOPE)


def network(links: Iterable[Link], addresses: Iterable[Address] = (), routes: Iterable[Route] = ()) -> Network:
    """A network with the kernel's own routes in it."""
    own = tuple(addresses)
    return Network(tuple(links), own, (*(connected(one) for one in own), *routes))


def usual() -> Network:
    """A host with one card in use, one free, and a bridge with an address."""
    return network(
        (
            Link("lo", loopback=True),
            Link("eth0", mac="52:54:00:00:00:01"),
            Link("eth1", mac="52:54:00:00:00:02"),
            Link("vmbr0", "bridge", mac="52:54:00:00:00:03"),
        ),
        (address("lo", "127.0.0.1/8"), address("eth0", "10.0.0.2/24"), address("vmbr0", "10.1.0.1/24")),
        (Route("eth0", "0.0.0.0/0", "10.0.0.1"), Route("vmbr0", "10.9.0.0/16", "10.1.0.254")),
    )


def view(net: Network | None = None, **more: object) -> View:
    """The usual host, or another."""
    return View(net or usual(), **more)  # type: ignore[arg-type]


class MemoryKernel:
    """Does what the kernel does, its own doings included: routes go with addresses and links."""

    def __init__(self, net: Network, step: Callable[[], None] = lambda: None) -> None:
        self.net, self._step = net, step
        self.refuse: type[Change] | None = None

    async def look(self) -> Network:
        return self.net

    async def change(self, changes: list[Change]) -> None:
        for one in changes:
            self._step()
            if self.refuse is not None and isinstance(one, self.refuse):
                self.refuse = None
                raise FuncManError("This host's kernel does not do that.")
            self._one(one)
            self._step()

    def _one(self, one: Change) -> None:  # noqa: C901 - a case for each kind
        net = self.net
        links, addresses, routes = list(net.links), list(net.addresses), list(net.routes)
        match one:
            case MakeBridge(name):
                links.append(Link(name, "bridge", up=False, mac="52:54:00:00:00:99"))
            case RemoveBridge(name):
                links = [link for link in links if link.name != name]
                addresses = [it for it in addresses if it.link != name]
                routes = [it for it in routes if it.link != name]
            case Join(name, bridge):
                links = [_replaced(link, name, master=bridge) for link in links]
            case Switch(name, up):
                links = [_replaced(link, name, up=up) for link in links]
                routes = [it for it in routes if (up and not it.own) or it.link != name]
                routes += [connected(it) for it in addresses if it.link == name and up]
            case SetMac(name, mac):
                links = [_replaced(link, name, mac=mac) for link in links]
            case PutAddress(it):
                if it not in addresses:
                    addresses.append(it)
                    routes += [connected(it)] if any(link.name == it.link and link.up for link in links) else []
            case DropAddress(it):
                addresses = [other for other in addresses if other != it]
                routes = [route for route in routes if not self._leans_on(route, it, addresses)]
            case PutRoute(it):
                routes = [r for r in routes if (r.destination, r.metric) != (it.destination, it.metric) or r.own]
                routes.append(it)
            case DropRoute(it):
                routes = [other for other in routes if other != it]
        self.net = Network(tuple(links), tuple(addresses), tuple(routes))

    @staticmethod
    def _leans_on(route: Route, gone: Address, left: list[Address]) -> bool:
        if route.link != gone.link:
            return False
        if route == connected(gone) or not any(other.link == gone.link for other in left):
            return True
        return bool(route.gateway) and ipaddress.ip_address(route.gateway) in gone.net


def _replaced(link: Link, name: str, **values: object) -> Link:
    return msgspec.structs.replace(link, **values) if link.name == name else link


def same(one: Network, other: Network) -> bool:
    """The same, in whatever order."""
    return (set(one.links), set(one.addresses), set(one.routes)) == (
        set(other.links),
        set(other.addresses),
        set(other.routes),
    )
