"""Which routes may be added, changed and deleted."""

from collections.abc import Callable

import pytest

from oms.agent.host.network import LINK_SCOPE, Link, Route
from oms.agent.host.network_changes import DropRoute, PutRoute
from oms.agent.netinterface import routes
from oms.agent.netinterface.kept import Kept, KeptRoute, Theirs
from oms.agent.netinterface.view import Plan, View
from oms.contract import netinterface as api
from oms.contract.errors import AlreadyThere, FuncManError, InUse, NotThere
from oms.contract.netinterface import NotFitting
from tests.agent.netinterface.world import address, network, usual, view

ROUTER = "10.0.0.1"


def add(destination: str, mask: str, gateway: str, interface: str = "eth0", seen: View | None = None) -> Plan:
    return routes.add(api.AddStaticRoute(destination, mask, gateway, interface), seen or view())


def delete(destination: str, mask: str, gateway: str, interface: str, seen: View | None = None) -> Plan:
    return routes.delete(api.DeleteStaticRoute(destination, mask, gateway, interface), seen or view())


def edit(old: tuple[str, str, str], interface: str, new: tuple[str, str, str], seen: View | None = None) -> Plan:
    return routes.edit(api.EditStaticRoute(*old, interface, *new), seen or view())


def gateway(address: str, interface: str, seen: View | None = None) -> Plan:
    return routes.edit_gateway(api.EditStaticGateway(address, interface), seen or view())


@pytest.mark.parametrize("none", ["0.0.0.0", "*"])
def test_a_route_without_a_gateway_leads_to_the_interface_itself(none: str) -> None:
    plan = add("192.168.3.0", "255.255.255.0", none, "vmbr0")
    assert plan.now == (PutRoute(Route("vmbr0", "192.168.3.0/24", scope=LINK_SCOPE)),)
    assert plan.kept == Kept(routes=(KeptRoute("192.168.3.0/24", "", "vmbr0"),))


def test_a_route_through_a_gateway_is_kept_as_it_is_made() -> None:
    plan = add("192.168.3.0", "255.255.255.0", ROUTER)
    assert plan.now == (PutRoute(Route("eth0", "192.168.3.0/24", ROUTER)),)
    assert plan.kept.routes == (KeptRoute("192.168.3.0/24", ROUTER, "eth0"),)
    assert "eth0" in plan.notes["restart"]


def test_nothing_has_to_be_said_where_the_hosts_files_bring_the_interface_up() -> None:
    assert add("10.7.0.0", "255.255.0.0", ROUTER, seen=view(theirs={"eth0": Theirs("interfaces")})).notes == {}


REFUSED: list[tuple[Callable[[], Plan], type[FuncManError], str]] = [
    (lambda: add("192.168.3.7", "255.255.255.0", ROUTER), NotFitting, "192.168.3.0"),
    (lambda: add("192.168.3.0", "255.255.255.0", "10.1.0.9"), NotFitting, "its networks: 10.0.0.0/24"),
    (lambda: add("192.168.3.0", "255.255.255.0", "10.0.0.2"), NotFitting, "this host itself"),
    (lambda: add("192.168.3.0", "255.255.255.0", "10.0.0.255"), NotFitting, "no machine's"),
    (lambda: add("192.168.3.0", "255.255.255.0", ROUTER, "eth7"), NotThere, "eth0, eth1, lo, vmbr0"),
    (lambda: add("10.9.0.0", "255.255.0.0", ROUTER), AlreadyThere, "edit_static_route"),
    (lambda: add("10.1.0.0", "255.255.255.0", ROUTER), AlreadyThere, "on vmbr0"),
    (lambda: add("default", "0.0.0.0", ROUTER), AlreadyThere, "edit_static_gateway"),
    (lambda: add("224.0.0.0", "240.0.0.0", ROUTER), NotFitting, "not other machines'"),
    (lambda: add("127.0.0.0", "255.0.0.0", ROUTER), NotFitting, "not other machines'"),
    (lambda: add("0.0.0.0", "128.0.0.0", ROUTER), NotFitting, "not other machines'"),
    (lambda: delete("10.9.0.0", "255.255.0.0", "10.1.0.1", "vmbr0"), NotThere, "show_routing_table"),
    (lambda: delete("10.9.0.0", "255.255.0.0", "10.1.0.254", "eth0"), NotThere, "show_routing_table"),
    (lambda: delete("10.0.0.0", "255.255.255.0", "*", "eth0"), NotFitting, "the kernel"),
    (lambda: delete("default", "0.0.0.0", ROUTER, "eth0"), InUse, "no default gateway"),
    (lambda: gateway("10.1.0.254", "eth0"), NotFitting, "its networks: 10.0.0.0/24"),
    (lambda: gateway("0.0.0.0", "eth0"), NotFitting, "one address of another machine"),
    (lambda: gateway(ROUTER, "eth9"), NotThere, "eth9"),
    (
        lambda: edit(("10.9.0.0", "255.255.0.0", "10.1.0.254"), "vmbr0", ("10.8.0.0", "255.255.0.0", ROUTER)),
        NotFitting,
        "its networks: 10.1.0.0/24",
    ),
    (
        lambda: edit(("default", "0.0.0.0", ROUTER), "eth0", ("10.8.0.0", "255.255.0.0", ROUTER)),
        InUse,
        "no default gateway",
    ),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_cannot_be_is_refused_with_the_reason(number: int) -> None:
    plan, kind, words = REFUSED[number]
    with pytest.raises(FuncManError, match=words) as error:
        plan()
    assert type(error.value) is kind


def test_a_route_over_an_interface_that_is_off_is_refused() -> None:
    net = network((Link("eth0", up=False),), (address("eth0", "10.0.0.2/24"),))
    with pytest.raises(NotFitting, match="switched off"):
        add("192.168.3.0", "255.255.255.0", ROUTER, seen=view(net))


@pytest.mark.parametrize(("proto", "who"), [(16, "DHCP"), (9, "router's word"), (186, "protocol 186")])
def test_a_route_that_something_else_keeps_is_left_to_it(proto: int, who: str) -> None:
    net = usual()
    net = network(net.links, net.addresses, (Route("eth0", "10.7.0.0/16", ROUTER, proto=proto),))
    with pytest.raises(NotFitting, match=who):
        delete("10.7.0.0", "255.255.0.0", ROUTER, "eth0", view(net))


def test_a_route_by_which_a_router_is_reached_stays_while_that_is_needed() -> None:
    near = Route("eth0", "172.16.0.1/32", scope=LINK_SCOPE)
    net = network(usual().links, usual().addresses, (near, Route("eth0", "0.0.0.0/0", "172.16.0.1", flags=4)))
    with pytest.raises(InUse, match=r"goes through 172\.16\.0\.1"):
        delete("172.16.0.1", "255.255.255.255", "*", "eth0", view(net))


def test_one_route_takes_the_place_of_another_with_its_metric() -> None:
    net = network(usual().links, usual().addresses, (Route("eth0", "10.7.0.0/16", ROUTER, metric=5),))
    plan = edit(("10.7.0.0", "255.255.0.0", ROUTER), "eth0", ("10.8.0.0", "255.255.0.0", "10.0.0.9"), view(net))
    new = Route("eth0", "10.8.0.0/16", "10.0.0.9", metric=5)
    assert plan.now == (PutRoute(new), DropRoute(Route("eth0", "10.7.0.0/16", ROUTER, metric=5)))
    assert plan.kept.routes == (KeptRoute("10.8.0.0/16", "10.0.0.9", "eth0", 5),)
    only_gateway = edit(
        ("10.7.0.0", "255.255.0.0", ROUTER), "eth0", ("10.7.0.0", "255.255.0.0", "10.0.0.9"), view(net)
    )
    assert only_gateway.now == (PutRoute(Route("eth0", "10.7.0.0/16", "10.0.0.9", metric=5)),)


def test_a_deleted_route_is_kept_no_more_and_one_of_others_may_come_back() -> None:
    kept = Kept(routes=(KeptRoute("10.9.0.0/16", "10.1.0.254", "vmbr0"),))
    assert delete("10.9.0.0", "255.255.0.0", "10.1.0.254", "vmbr0", view(kept=kept)).kept == Kept()
    assert "not made by OMS" in delete("10.9.0.0", "255.255.0.0", "10.1.0.254", "vmbr0").notes["kept"]


def test_another_gateway_on_the_interface_takes_the_place_of_the_one_there() -> None:
    plan = gateway("10.0.0.9", "eth0")
    assert plan.now == (PutRoute(Route("eth0", "0.0.0.0/0", "10.0.0.9")),)
    assert plan.kept.routes == (KeptRoute("0.0.0.0/0", "10.0.0.9", "eth0"),)


def test_a_gateway_on_another_interface_takes_the_place_of_the_hosts() -> None:
    plan = gateway("10.1.0.254", "vmbr0")
    assert plan.now == (
        PutRoute(Route("vmbr0", "0.0.0.0/0", "10.1.0.254")),
        DropRoute(Route("eth0", "0.0.0.0/0", ROUTER)),
    )


def test_a_gateway_that_a_file_of_the_administrators_sets_is_changed_there() -> None:
    theirs = {"eth0": Theirs("interfaces", addressed=True, gateway=True)}
    for interface, way in (("eth0", "10.0.0.9"), ("vmbr0", "10.1.0.254")):
        with pytest.raises(NotFitting, match="'interfaces'") as error:
            gateway(way, interface, view(theirs=theirs))
        assert error.value.data["file"] == "interfaces"


def test_the_gateway_that_is_there_already_is_only_kept() -> None:
    net = network(usual().links, usual().addresses, (Route("eth0", "0.0.0.0/0", ROUTER),))
    plan = gateway(ROUTER, "eth0", view(net))
    assert (plan.now, plan.kept.routes) == ((), (KeptRoute("0.0.0.0/0", ROUTER, "eth0"),))


def test_a_route_to_a_container_is_the_containers() -> None:
    net = network(
        (*usual().links, Link("veth129.0", "veth", far=True)),
        usual().addresses,
        (Route("veth129.0", "10.0.0.129/32", scope=LINK_SCOPE),),
    )
    with pytest.raises(InUse, match="behind veth129"):
        delete("10.0.0.129", "255.255.255.255", "*", "veth129.0", view(net))
