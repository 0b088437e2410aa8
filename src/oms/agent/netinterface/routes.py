"""Which routes may be added, changed and deleted, and what that takes. Pure: a plan, or an error with the
reason."""

import ipaddress
from typing import Final

from oms.agent.host.network import ALL4, BOOT, EVERYWHERE_SCOPE, KERNEL, LINK_SCOPE, STATIC, Route
from oms.agent.host.network_changes import Change, DropRoute, PutRoute
from oms.agent.netinterface.kept import KeptRoute
from oms.agent.netinterface.view import (
    Plan,
    View,
    check_gateway,
    check_way_out,
    is_guests,
    link_of,
    nets_of,
    network4,
)
from oms.contract import netinterface as api
from oms.contract.errors import AlreadyThere, InUse, NotThere
from oms.contract.netinterface import NotFitting

NONE: Final = ("0.0.0.0", "*", "")  # noqa: S104 - as the document writes "no gateway"
KEEPERS: Final = {KERNEL: "the kernel, with an address", 9: "a router's word", 16: "DHCP", 42: "a routing daemon"}
OURS: Final = (BOOT, STATIC)


def gateway(text: str) -> str:
    """A gateway as it was given; "" for none."""
    return "" if text in NONE else text


def destination(address: str, netmask: str) -> str:
    """As in 192.168.3.0/24. Raises NotFitting."""
    if address == "default":
        address = "0.0.0.0"  # noqa: S104 - all addresses, and nothing is bound to it
    return str(network4(address, netmask, "Destination"))


def add(op: api.AddStaticRoute, view: View) -> Plan:
    """Another route. Raises NotThere, NotFitting, AlreadyThere."""
    route = _route(view, destination(op.destination, op.netmask), gateway(op.gateway), op.interface)
    _check_free(route, view.network.main4())
    return Plan((PutRoute(route),), view.kept.with_route(kept(route)), notes=_notes(view, op.interface))


def edit(op: api.EditStaticRoute, view: View) -> Plan:
    """One in the place of another. Raises what `add` and `delete` raise."""
    old = find(view, op.destination_old, op.netmask_old, op.gateway_old, op.interface)
    new = _route(view, destination(op.destination_new, op.netmask_new), gateway(op.gateway_new), op.interface, old)
    others = [route for route in view.network.main4() if route != old]
    _check_free(new, others)
    check_way_out(view, [*others, new])
    _check_leant_on(old, [*others, new])
    same_place = (old.destination, old.metric) == (new.destination, new.metric)
    changes = (PutRoute(new),) if same_place else (PutRoute(new), DropRoute(old))
    after = view.kept.without_route(old.destination, old.metric).with_route(kept(new))
    return Plan(changes, after, notes=_notes(view, op.interface))


def delete(op: api.DeleteStaticRoute, view: View) -> Plan:
    """One less. Raises NotThere, NotFitting, InUse."""
    old = find(view, op.destination, op.netmask, op.gateway, op.interface)
    others = [route for route in view.network.main4() if route != old]
    check_way_out(view, others)
    _check_leant_on(old, others)
    notes = _notes(view, op.interface)
    if kept(old) not in view.kept.routes:
        notes = {
            "kept": "the route was not made by OMS: where a file of the host has it, it is back after a restart"
        }
    return Plan((DropRoute(old),), view.kept.without_route(old.destination, old.metric), notes=notes)


def edit_gateway(op: api.EditStaticGateway, view: View) -> Plan:
    """Another gateway for everywhere: in place of the one on this interface, or else of the host's. Raises
    NotThere, NotFitting."""
    link_of(view, op.interface)
    if not gateway(op.gateway):
        raise NotFitting("A gateway is one address of another machine, as in 192.168.1.1.", gateway=op.gateway)
    defaults = view.network.defaults()
    old = next((route for route in defaults if route.link == op.interface), defaults[0] if defaults else None)
    if old is not None:
        _check_static(old)
        _check_theirs(view, old)
    new = _route(view, ALL4, gateway(op.gateway), op.interface, old)
    if old == new:
        return Plan((), view.kept.with_route(kept(new)), notes=_notes(view, op.interface))
    # With the same metric the one takes the other's place in one step.
    changes: list[Change] = [PutRoute(new)]
    changes += [DropRoute(old)] if old is not None and old.link != new.link else []
    return Plan(tuple(changes), view.kept.with_route(kept(new)), notes=_notes(view, op.interface))


def find(view: View, address: str, netmask: str, through: str, interface: str) -> Route:
    """The static route that is meant. Raises NotThere, NotFitting."""
    link_of(view, interface)
    wanted, way = destination(address, netmask), gateway(through)
    found = [
        route
        for route in view.network.main4()
        if (route.destination, route.gateway, route.link) == (wanted, way, interface)
    ]
    if not found:
        raise NotThere(
            f"There is no route to {wanted} through {way or 'no gateway'} on {interface}: show_routing_table "
            "lists "
            "those there are.",
            destination=wanted,
        )
    route = min(found, key=lambda one: (one.own, one.metric))
    _check_static(route)
    if is_guests(link_of(view, interface), view):
        raise InUse(
            f"By the route to {_shown(route)} the machine or container behind {interface} is reached: change "
            "its own settings.",
            destination=route.destination,
        )
    _check_theirs(view, route)
    return route


def kept(route: Route) -> KeptRoute:
    """The route, as it is kept."""
    return KeptRoute(route.destination, route.gateway, route.link, route.metric)


def _route(view: View, wanted: str, through: str, interface: str, old: Route | None = None) -> Route:
    """The route to make, with the metric of the one whose place it takes."""
    link = link_of(view, interface)
    if not link.up:
        raise NotFitting(f"{interface} is switched off: no route leads over it.", interface=interface)
    net = ipaddress.IPv4Network(wanted)
    if net.is_multicast or net.is_loopback or (net.network_address.packed[0] == 0 and wanted != ALL4):
        raise NotFitting(
            f"No route leads to {wanted}: these addresses are not other machines'.", destination=wanted
        )
    if through:
        check_gateway(view, interface, through, nets_of(view, interface))
    elif wanted == ALL4 and (link.loopback or not _is_line(view, interface)):
        raise NotFitting(f"A way to everywhere needs a gateway on {interface}.", interface=interface)
    return Route(
        interface,
        wanted,
        through,
        metric=old.metric if old else 0,
        scope=EVERYWHERE_SCOPE if through else LINK_SCOPE,
    )


def _is_line(view: View, interface: str) -> bool:
    """Whether it has one other end, so that no gateway need be named."""
    return any(address.peer for address in view.network.addresses_of(interface))


def _check_free(route: Route, others: list[Route]) -> None:
    for other in others:
        if other.destination == route.destination and (other.metric == route.metric or other.link == route.link):
            through = f"through {other.gateway} " if other.gateway else ""
            raise AlreadyThere(
                f"There is a route to {_shown(other)} already, {through}on {other.link or 'several links'}: "
                f"{'edit_static_gateway' if other.for_all else 'edit_static_route'} changes it.",
                destination=other.destination,
            )


def _check_static(route: Route) -> None:
    if route.proto not in OURS:
        who = KEEPERS.get(route.proto, f"a program of its own (protocol {route.proto})")
        raise NotFitting(
            f"The route to {_shown(route)} on {route.link} is kept by {who}, and would come back: change it "
            "there.",
            destination=route.destination,
        )
    if not route.plain:
        raise NotFitting(
            f"The route to {_shown(route)} has more to it than can be put there again: change it by hand.",
            destination=route.destination,
        )


def _check_theirs(view: View, route: Route) -> None:
    """A gateway that a file of the administrator's gives would be back after a restart."""
    theirs = view.theirs.get(route.link)
    if route.for_all and theirs is not None and theirs.gateway:
        raise NotFitting(
            f"The gateway on {route.link} is set in this host's file {theirs.file!r}, which is its "
            "administrator's and "
            "which OMS does not rewrite: take it out there (nothing has to be restarted) and call again.",
            interface=route.link,
            file=theirs.file,
        )


def _check_leant_on(old: Route, others: list[Route]) -> None:
    """A router that is only reached by this route would not be found any more."""
    if old.gateway:
        return
    for route in others:
        if not route.gateway or route.link != old.link:
            continue
        router = ipaddress.IPv4Address(route.gateway)
        near = [
            other.net for other in others if not other.gateway and other.link == old.link and not other.for_all
        ]
        if router in old.net and not any(router in net for net in near):
            raise InUse(
                f"The route to {_shown(route)} goes through {route.gateway}, which is reached by this one.",
                destination=route.destination,
            )


def _notes(view: View, interface: str) -> dict[str, str]:
    known = interface in view.theirs or interface in view.kept.names()
    if known:
        return {}
    return {"restart": f"nothing in this host's files brings {interface} up: the route is there again when it is"}


def _shown(route: Route) -> str:
    return "everywhere" if route.for_all else route.destination
