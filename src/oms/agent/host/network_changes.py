"""Changes of the kernel's network as values, and which of them make it again what it was. Pure."""

from collections.abc import Collection, Iterable

import msgspec

from oms.agent.host.network import Address, Link, Network, Route


class MakeBridge(msgspec.Struct, frozen=True, tag=True):
    """Make a bridge, switched off."""

    name: str


class RemoveBridge(msgspec.Struct, frozen=True, tag=True):
    """Remove a bridge."""

    name: str


class Join(msgspec.Struct, frozen=True, tag=True):
    """Make a link part of a bridge; of none where that is ""."""

    link: str
    bridge: str


class Switch(msgspec.Struct, frozen=True, tag=True):
    """Switch a link on or off."""

    link: str
    up: bool


class SetMac(msgspec.Struct, frozen=True, tag=True):
    """Give a link this hardware address."""

    link: str
    mac: str


class PutAddress(msgspec.Struct, frozen=True, tag=True):
    """Put an address on its link."""

    address: Address


class DropAddress(msgspec.Struct, frozen=True, tag=True):
    """Take an address off its link."""

    address: Address


class PutRoute(msgspec.Struct, frozen=True, tag=True):
    """Put a route in, in place of one to the same destination with the same metric."""

    route: Route


class DropRoute(msgspec.Struct, frozen=True, tag=True):
    """Take a route out."""

    route: Route


Change = MakeBridge | RemoveBridge | Join | Switch | SetMac | PutAddress | DropAddress | PutRoute | DropRoute


def touched(changes: Iterable[Change]) -> frozenset[str]:
    """The links that these changes are about."""
    names: set[str] = set()
    for change in changes:
        match change:
            case MakeBridge(name) | RemoveBridge(name):
                names.add(name)
            case Join(link, bridge):
                names.update({link, bridge} - {""})
            case Switch(link) | SetMac(link):
                names.add(link)
            case PutAddress(it) | DropAddress(it) | PutRoute(it) | DropRoute(it):
                names.add(it.link)
    return frozenset(names - {""})


def restoring(before: Network, now: Network, names: Collection[str]) -> list[Change]:
    """What makes these links again what they were. What others have changed on other links meanwhile stays.

    The old state is built up from below: what is too much goes, links, then addresses, then routes, of which those
    that others lean on come first.
    """
    was, there = before.of(names), now.of(names)
    missing = [link.name for link in there.links if before.link(link.name) is None]
    changes: list[Change] = [DropRoute(route) for route in there.routes if route not in was.routes]
    changes += [DropAddress(address) for address in there.addresses if address not in was.addresses]
    for link in was.links:
        changes += _link_restored(link, now.link(link.name), missing)
    changes += [Join(link.name, "") for link in there.links if link.name not in missing and link.master in missing]
    changes += [RemoveBridge(name) for name in missing]
    changes += _switched(was.links, now)
    # What is put there already is left alone, unless what came before has taken it away: so all of it.
    changes += [PutAddress(address) for address in was.addresses if address not in there.addresses]
    changes += [PutRoute(route) for route in _from_below(was.routes)]
    return _once(changes)


def _link_restored(link: Link, now: Link | None, missing: Collection[str]) -> list[Change]:
    if now is None:
        return []  # it is gone by another's doing; nobody can bring it back
    changes: list[Change] = []
    if now.master != link.master and now.master not in missing:
        changes.append(Join(link.name, link.master))
    elif now.master != link.master and link.master:
        changes += [Join(link.name, ""), Join(link.name, link.master)]
    return changes


def _switched(links: Iterable[Link], now: Network) -> list[Change]:
    changes: list[Change] = []
    for link in links:
        present = now.link(link.name)
        if present is None:
            continue
        if link.mac != present.mac and link.mac:
            changes.append(SetMac(link.name, link.mac))
        if link.up != present.up:
            changes.append(Switch(link.name, link.up))
    return changes


def _from_below(routes: Iterable[Route]) -> list[Route]:
    """Routes at the link itself before those through a router, which must be reachable then."""
    return sorted(routes, key=lambda route: (bool(route.gateway), -route.scope))


def _once(changes: Iterable[Change]) -> list[Change]:
    return list(dict.fromkeys(changes))
