"""Which bridges may be made, changed and deleted, and what that takes. Pure: a plan, or an error with the
reason."""

import ipaddress
from collections.abc import Iterable
from typing import Final

import msgspec

from oms.agent.host.network import ALL4, Address, Link, Network, Route, metric_behind
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
from oms.agent.netinterface.kept import Kept, KeptBridge, KeptLink, KeptRoute
from oms.agent.netinterface.routes import gateway, kept
from oms.agent.netinterface.view import (
    GUEST_KINDS,
    Plan,
    View,
    bridge_of,
    check_gateway,
    check_movable,
    check_ours,
    check_way_out,
    is_guests,
    link_of,
)
from oms.contract import netinterface as api
from oms.contract.errors import AlreadyThere, InUse
from oms.contract.netinterface import NotFitting

NO_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - as callers write it, and nothing is bound to it
JOINABLE: Final = frozenset({"", "veth", "tun", "bond", "vlan", "vxlan", "dummy", "gretap", "team", "macvlan"})
"""Kinds of links that carry what a bridge does."""
RESERVED: Final = frozenset({"all", "default", "lo"})
"""Names that mean something else in the kernel's or the host's files."""


def add(op: api.AddBridge, view: View) -> Plan:
    """A new bridge, switched on. Raises AlreadyThere, NotFitting."""
    name = op.bridge_name
    if view.network.link(name) is not None:
        raise AlreadyThere(f"This host has an interface {name!r} already: choose another name.", interface=name)
    if name.lower() in RESERVED:
        raise NotFitting(f"No bridge can be called {name!r}: choose another name.", interface=name)
    check_ours(view, name)
    address = _address(view, name, op.ip_address, op.netmask)
    changes: list[Change] = [MakeBridge(name), Switch(name, True)]
    changes += [PutAddress(address)] if address else []
    bridge = KeptBridge(name, addresses=(address.written,) if address else ())
    after = view.kept.without_bridge(name).with_bridge(bridge)
    if way := gateway(op.gateway):
        route = _gateway_of(view, name, way, address)
        changes.append(PutRoute(route))
        after = after.with_route(kept(route))
    return Plan(tuple(changes), after, notes=_behind(view, name, way))


def edit(op: api.EditBridge, view: View) -> Plan:
    """Other addresses and another gateway. Raises NotThere, NotFitting, InUse."""
    name = bridge_of(view, op.bridge_name).name
    check_ours(view, name)
    address = _address(view, name, op.ip_address, op.netmask)
    old = [one for one in view.network.addresses_of(name) if not one.six]
    routes = [route for route in view.network.routes_of(name) if not route.six]
    if old != ([address] if address else []):
        check_movable(view, [name])
    ways = [route for route in routes if route.for_all]
    new = [_gateway_of(view, name, way, address, ways)] if (way := gateway(op.gateway)) else []
    stay = [route for route in routes if not route.for_all]
    for route in stay:
        if route.gateway:
            _check_stays(view, name, route, address)
    others = [route for route in view.network.main4() if route.link != name]
    check_way_out(view, [*others, *stay, *new])
    changes: list[Change] = [DropAddress(one) for one in old if not _same(one, address)]
    changes += [PutAddress(address)] if address and not any(_same(one, address) for one in old) else []
    changes += [DropRoute(route) for route in ways if not _in_place(route, new)]
    changes += [PutRoute(route) for route in (*_from_below(stay), *new)]  # an address that goes takes routes along
    bridge = _kept_bridge(view, name)
    six = tuple(one for one in bridge.addresses if ":" in one)
    bridge = msgspec.structs.replace(bridge, addresses=((address.written, *six) if address else six))
    after = _with_routes(view.kept.with_bridge(bridge), ways, new)
    return Plan(tuple(changes), after, notes=_behind(view, name, way))


def add_member(op: api.AddBridgeMember, view: View) -> Plan:
    """An interface becomes a member; what it is reached by moves. Raises NotThere, NotFitting, InUse."""
    bridge, member = bridge_of(view, op.bridge_name), link_of(view, op.bridge_member)
    if member.master == bridge.name:
        return Plan((), view.kept)
    check_ours(view, bridge.name)
    _check_joinable(member)
    check_ours(view, member.name, unless_bare=True)
    here = view.network.addresses_of(bridge.name)
    moves = view.network.addresses_of(member.name)
    if moves and here and {one.six for one in here} & {one.six for one in moves}:
        raise NotFitting(
            f"{bridge.name} and {member.name} both have addresses: edit_bridge takes those of {bridge.name} away "
            "first.",
            bridge=bridge.name,
        )
    check_movable(view, [member.name])
    changes: list[Change] = [Join(member.name, bridge.name)]
    changes += [SetMac(bridge.name, member.mac)] if moves and member.mac else []
    changes += [Switch(link.name, True) for link in (member, bridge) if not link.up]
    changes += _moved(view.network, member.name, bridge.name)
    after = _kept_bridge(view, bridge.name)
    after = msgspec.structs.replace(
        after,
        members=(*after.members, member.name) if _is_card(member, moves, view) else after.members,
        addresses=(*after.addresses, *(one.written for one in moves)),
        mac=member.mac if moves else after.mac,
    )
    kept_now = _moved_routes(view, member.name, bridge.name).without_link(member.name).with_bridge(after)
    return Plan(tuple(changes), kept_now, notes=_moves(moves, member.name, bridge.name))


def delete_member(op: api.DeleteBridgeMember, view: View) -> Plan:
    """A member is one no more. Raises NotThere, InUse, NotFitting."""
    bridge, member = bridge_of(view, op.bridge_name), link_of(view, op.bridge_member)
    if member.master != bridge.name:
        members = ", ".join(link.name for link in view.network.members(bridge.name)) or "none"
        raise NotFitting(
            f"{member.name} is no member of {bridge.name}; its members are: {members}.", interface=member.name
        )
    check_ours(view, bridge.name)
    if is_guests(member, view):
        who = view.ends.get(member.name, "a machine or container")
        raise InUse(f"{member.name} is the interface of {who}: detach it there.", interface=member.name, user=who)
    after = _kept_bridge(view, bridge.name)
    after = msgspec.structs.replace(after, members=tuple(one for one in after.members if one != member.name))
    return Plan((Join(member.name, ""),), view.kept.with_bridge(after))


def delete(op: api.DeleteBridge, view: View) -> Plan:
    """A bridge goes; what it is reached by moves to its one member. Raises NotThere, InUse, NotFitting.

    It is emptied and switched off first, which can be undone, and removed when OMS was reached without it.
    """
    bridge = bridge_of(view, op.bridge_name)
    check_ours(view, bridge.name)
    members = view.network.members(bridge.name)
    _check_unused(bridge, members, view)
    addresses, routes = view.network.addresses_of(bridge.name), view.network.routes_of(bridge.name)
    if addresses or routes:
        check_movable(view, [bridge.name])
    changes: list[Change] = [Join(member.name, "") for member in members]
    if members:
        changes += _moved(view.network, bridge.name, members[0].name)
    else:
        check_way_out(view, [route for route in view.network.main4() if route.link != bridge.name])
        changes += [DropRoute(route) for route in reversed(_from_below(routes))]
        changes += [DropAddress(address) for address in addresses]
    changes.append(Switch(bridge.name, False))
    after = _moved_routes(view, bridge.name, members[0].name) if members else view.kept
    if members and addresses:
        after = after.with_link(KeptLink(members[0].name, tuple(one.written for one in addresses)))
    notes = _moves(addresses, bridge.name, members[0].name) if members else {}
    return Plan(tuple(changes), after.without_bridge(bridge.name), (RemoveBridge(bridge.name),), notes)


def _is_card(member: Link, moves: list[Address], view: View) -> bool:
    """Whether it will be there after a restart, as what machines and containers have on the host's side is not."""
    passing = member.name in view.ends or member.kind in GUEST_KINDS or (member.far and not moves)
    return not passing


def _check_unused(bridge: Link, members: list[Link], view: View) -> None:
    guests = [member for member in members if is_guests(member, view)]
    users = sorted({*view.users.get(bridge.name, ()), *(view.ends.get(one.name, one.name) for one in guests)})
    if users:
        raise InUse(
            f"{bridge.name} is used by {', '.join(users)}: nothing was deleted.", bridge=bridge.name, users=users
        )
    if len(members) > 1:
        names = [member.name for member in members]
        raise InUse(
            f"{bridge.name} has the members {', '.join(names)}: take them out first, or all but the one that is "
            "to "
            "have its addresses.",
            bridge=bridge.name,
            users=names,
        )


def _check_joinable(member: Link) -> None:
    if member.loopback or member.kind not in JOINABLE:
        what = "the loopback interface" if member.loopback else f"a {member.kind}"
        raise NotFitting(f"{member.name} is {what}, which no bridge can have as a member.", interface=member.name)
    if member.master:
        raise InUse(
            f"{member.name} is a member of {member.master} already: take it out there first.",
            interface=member.name,
            user=member.master,
        )


def _address(view: View, name: str, address: str, netmask: str) -> Address | None:
    """The address that is meant; None for none. Raises NotFitting, AlreadyThere."""
    if address == NO_ADDRESS:
        return None
    own = ipaddress.IPv4Interface(f"{address}/{netmask}")
    net = own.network
    if net.prefixlen == 0 or own.is_multicast or own.is_loopback or own.packed[0] in (0, 255):
        raise NotFitting(
            f"{address} with netmask {netmask} is no address that a bridge can have.", ip_address=address
        )
    if net.prefixlen < 31 and own.ip in (net.network_address, net.broadcast_address):
        raise NotFitting(
            f"{address} is the {'first' if own.ip == net.network_address else 'last'} address of its network "
            f"{net}, "
            "which is no machine's.",
            ip_address=address,
        )
    for other in view.network.addresses:
        if other.local == address and other.link != name:
            raise AlreadyThere(
                f"{other.link} of this host has the address {address} already.", interface=other.link
            )
    for link, theirs in view.network.nets4(without=name):
        if theirs.overlaps(net):
            raise NotFitting(
                f"The network {net} overlaps {theirs}, which {link} of this host is in: choose another one, or "
                "make "
                f"{link} a member of a bridge without an address, which then has those of {link}.",
                interface=link,
            )
    broadcast = str(net.broadcast_address) if net.prefixlen < 31 else ""
    return Address(name, address, net.prefixlen, broadcast=broadcast, label=name)


def _gateway_of(view: View, name: str, way: str, address: Address | None, ways: Iterable[Route] = ()) -> Route:
    """The bridge's default route: in place of the one it has, or behind those of the host."""
    nets = [net for net in ((address.net,) if address else ()) if isinstance(net, ipaddress.IPv4Network)]
    if address is not None and way == address.local:
        raise NotFitting(f"Gateway {way} is this host itself.", gateway=way)
    check_gateway(view, name, way, nets)
    known = [route.metric for route in ways]
    metric = min(known) if known else (metric_behind(view.network) if view.network.defaults() else 0)
    return Route(name, ALL4, way, metric=metric)


def _check_stays(view: View, name: str, route: Route, address: Address | None) -> None:
    nets = [net for net in ((address.net,) if address else ()) if isinstance(net, ipaddress.IPv4Network)]
    try:
        check_gateway(view, name, route.gateway, nets)
    except NotFitting as error:
        raise InUse(
            f"The route to {route.destination} goes through {route.gateway}, which would be in no network of "
            f"{name} "
            "any more: delete or change it first.",
            destination=route.destination,
        ) from error


def _moved(network: Network, old: str, new: str) -> list[Change]:
    """What brings the addresses and routes of a link to another: first put there, then taken away here."""
    addresses, routes = network.addresses_of(old), _from_below(network.routes_of(old))
    changes: list[Change] = [
        PutAddress(msgspec.structs.replace(one, link=new, label="" if one.six else new)) for one in addresses
    ]
    changes += [DropAddress(one) for one in addresses]
    changes += [PutRoute(msgspec.structs.replace(route, link=new)) for route in routes]
    return changes + [DropRoute(route) for route in routes]


def _moved_routes(view: View, old: str, new: str) -> Kept:
    routes = tuple(
        kept(msgspec.structs.replace(route, link=new)) for route in view.network.routes_of(old) if not route.six
    )
    six = tuple(
        KeptRoute(route.destination, route.gateway, new, route.metric)
        for route in view.network.routes_of(old)
        if route.six
    )
    return view.kept.moved(old, new, (*routes, *six))


def _kept_bridge(view: View, name: str) -> KeptBridge:
    """The bridge as it is kept, or, where it was made by nobody's file, as it is now: it is kept from now on."""
    known = view.kept.bridge(name)
    if known is not None:
        return known
    addresses = tuple(address.written for address in view.network.addresses_of(name) if address.lasting)
    members = tuple(link.name for link in view.network.members(name) if not is_guests(link, view))
    return KeptBridge(name, addresses, members)


def _with_routes(before: Kept, gone: list[Route], new: list[Route]) -> Kept:
    after = before
    for route in gone:
        after = after.without_route(route.destination, route.metric)
    for route in new:
        after = after.with_route(kept(route))
    return after


def _from_below(routes: Iterable[Route]) -> list[Route]:
    """Those at the link itself before those through a router."""
    return sorted(routes, key=lambda route: bool(route.gateway))


def _same(one: Address, other: Address | None) -> bool:
    return other is not None and one.written == other.written


def _in_place(route: Route, new: list[Route]) -> bool:
    return any(one.metric == route.metric for one in new)


def _behind(view: View, name: str, way: str) -> dict[str, str]:
    first = next((route for route in view.network.defaults() if route.link != name), None)
    if not way or first is None:
        return {}
    return {
        "gateway": f"{way} stands behind {first.gateway or 'that'} on {first.link}, and is used when that is gone"
    }


def _moves(addresses: list[Address], old: str, new: str) -> dict[str, str]:
    if not addresses:
        return {}
    return {"addresses": f"moved from {old} to {new}: {', '.join(one.written for one in addresses)}"}
