"""Which bridges may be made, changed and deleted."""

from collections.abc import Callable

import msgspec
import pytest

from oms.agent.host.network import Address, Link, Network, Route
from oms.agent.host.network_changes import (
    DropAddress,
    Join,
    MakeBridge,
    PutAddress,
    PutRoute,
    RemoveBridge,
    Switch,
)
from oms.agent.netinterface import bridges
from oms.agent.netinterface.kept import Kept, KeptBridge, KeptLink, KeptRoute, Theirs
from oms.agent.netinterface.view import Plan, View
from oms.contract import netinterface as api
from oms.contract.errors import AlreadyThere, FuncManError, InUse, NotThere
from oms.contract.netinterface import NotFitting
from tests.agent.netinterface.world import MemoryKernel, address, network, usual, view

MASK = "255.255.255.0"
NONE = "0.0.0.0"


def add(name: str, ip: str, mask: str = MASK, gateway: str = NONE, seen: View | None = None) -> Plan:
    return bridges.add(api.AddBridge(name, ip, mask, gateway), seen or view())


def edit(name: str, ip: str, mask: str = MASK, gateway: str = NONE, seen: View | None = None) -> Plan:
    return bridges.edit(api.EditBridge(name, ip, mask, gateway), seen or view())


def join(bridge: str, member: str, seen: View | None = None) -> Plan:
    return bridges.add_member(api.AddBridgeMember(bridge, member), seen or view())


def leave(bridge: str, member: str, seen: View | None = None) -> Plan:
    return bridges.delete_member(api.DeleteBridgeMember(bridge, member), seen or view())


def delete(bridge: str, seen: View | None = None) -> Plan:
    return bridges.delete(api.DeleteBridge(bridge), seen or view())


async def after(plan: Plan, net: Network) -> Network:
    """The network when the plan has been carried out."""
    kernel = MemoryKernel(net)
    await kernel.change([*plan.now, *plan.then])
    return kernel.net


def with_links(*links: Link, net: Network | None = None) -> Network:
    """The usual host with further links, or others in place of those it has."""
    net = net or usual()
    names = {link.name for link in links}
    return msgspec.structs.replace(net, links=(*(one for one in net.links if one.name not in names), *links))


def bare() -> Network:
    """The usual host, its bridge without an address."""
    net = usual()
    return network(net.links, net.addresses[:2], (Route("eth0", "0.0.0.0/0", "10.0.0.1"),))


async def test_a_new_bridge_is_on_and_has_its_address() -> None:
    plan = add("testbridge", "192.168.1.41")
    assert plan.now == (
        MakeBridge("testbridge"),
        Switch("testbridge", True),
        PutAddress(Address("testbridge", "192.168.1.41", 24, broadcast="192.168.1.255", label="testbridge")),
    )
    assert plan.kept == Kept(bridges=(KeptBridge("testbridge", ("192.168.1.41/24",)),))
    net = await after(plan, usual())
    assert (net.link("testbridge") or Link("")).up


def test_a_bridge_may_be_without_an_address() -> None:
    assert add("br1", NONE).now == (MakeBridge("br1"), Switch("br1", True))


def test_a_new_bridges_gateway_stands_behind_the_hosts_and_says_so() -> None:
    plan = add("testbridge", "192.168.1.41", gateway="192.168.1.1")
    assert plan.now[-1] == PutRoute(Route("testbridge", "0.0.0.0/0", "192.168.1.1", metric=1024))
    assert plan.kept.routes == (KeptRoute("0.0.0.0/0", "192.168.1.1", "testbridge", 1024),)
    assert "behind 10.0.0.1 on eth0" in plan.notes["gateway"]


def test_a_new_bridges_gateway_is_the_hosts_where_that_has_none() -> None:
    net = network((Link("eth0"),))
    plan = add("testbridge", "192.168.1.41", gateway="192.168.1.1", seen=view(net))
    assert plan.now[-1] == PutRoute(Route("testbridge", "0.0.0.0/0", "192.168.1.1"))


def guests() -> View:
    """A bridge with a machine's and a container's interface, and one that a machine is to have."""
    net = with_links(Link("vnet0", "tun", master="vmbr0"), Link("br2", "bridge"), Link("br3", "bridge"),
                     Link("veth1", "veth", master="br3", far=True))  # fmt: skip
    return view(net, users={"vmbr0": ("web",), "br2": ("mail",)}, ends={"vnet0": "web"})


def theirs(name: str, **said: bool) -> View:
    return view(theirs={name: Theirs("50-site.cfg", **said)})


def addressed() -> View:
    return view(bare(), theirs={"eth0": Theirs("interfaces", addressed=True)})


def with_routes(*routes: Route) -> Network:
    return network(usual().links, usual().addresses, routes)


def lent() -> View:
    net = usual()
    mine = msgspec.structs.replace(net.addresses[1], lasting=False)
    return view(network((*bare().links,), (net.addresses[0], mine)))


REFUSED: list[tuple[Callable[[], Plan], type[FuncManError], str]] = [
    (lambda: add("vmbr0", NONE), AlreadyThere, "choose another name"),
    (lambda: add("eth1", NONE), AlreadyThere, "choose another name"),
    (lambda: add("default", NONE), NotFitting, "choose another name"),
    (lambda: add("br1", "10.0.0.9"), NotFitting, "overlaps 10.0.0.0/24, which eth0"),
    (lambda: add("br1", "10.1.5.1", "255.0.0.0"), NotFitting, "overlaps"),
    (lambda: add("br1", "10.0.0.2", "255.255.255.255"), AlreadyThere, "eth0 of this host has the address"),
    (lambda: add("br1", "192.168.1.0"), NotFitting, "first address"),
    (lambda: add("br1", "192.168.1.255"), NotFitting, "last address"),
    (lambda: add("br1", "192.168.1.1", "0.0.0.0"), NotFitting, "no address that a bridge"),
    (lambda: add("br1", "127.0.0.9"), NotFitting, "no address that a bridge"),
    (lambda: add("br1", "239.1.1.1"), NotFitting, "no address that a bridge"),
    (lambda: add("br1", "192.168.1.41", gateway="192.168.2.1"), NotFitting, "its networks: 192.168.1.0/24"),
    (lambda: add("br1", NONE, gateway="192.168.2.1"), NotFitting, "its networks: none"),
    (lambda: add("br1", "192.168.1.41", gateway="192.168.1.41"), NotFitting, "this host itself"),
    (lambda: add("br1", NONE, seen=theirs("br1")), NotFitting, r"50-site\.cfg"),
    (lambda: edit("vmbr7", NONE), NotThere, "its bridges are: vmbr0"),
    (lambda: edit("eth0", NONE), NotThere, "an interface and no bridge"),
    (lambda: edit("vmbr0", "10.2.0.1"), InUse, r"10\.9\.0\.0/16 goes through 10\.1\.0\.254"),
    (lambda: edit("vmbr0", "10.0.0.9"), NotFitting, "overlaps"),
    (lambda: edit("vmbr0", NONE, seen=theirs("vmbr0")), NotFitting, r"50-site\.cfg"),
    (lambda: join("vmbr0", "lo"), NotFitting, "loopback"),
    (lambda: join("vmbr0", "eth7"), NotThere, "eth7"),
    (lambda: join("vmbr0", "vmbr0"), NotFitting, "a bridge, which no bridge"),
    (lambda: join("vmbr0", "eth0"), NotFitting, "both have addresses"),
    (lambda: join("vmbr0", "eth0", addressed()), NotFitting, "'interfaces'"),
    (lambda: join("vmbr0", "eth0", lent()), NotFitting, "DHCP"),
    (lambda: join("br2", "vnet0", guests()), InUse, "a member of vmbr0 already"),
    (lambda: leave("vmbr0", "vnet0", guests()), InUse, "the interface of web"),
    (lambda: leave("br3", "veth1", guests()), InUse, "a machine or container"),
    (lambda: leave("vmbr0", "eth1"), NotFitting, "its members are: none"),
    (lambda: delete("vmbr0", guests()), InUse, "used by web"),
    (lambda: delete("br2", guests()), InUse, "used by mail"),
    (lambda: delete("br3", guests()), InUse, "used by veth1"),
    (lambda: delete("virbr0", view(with_links(Link("virbr0", "bridge")))), NotFitting, "kept by libvirt"),
    (lambda: edit("docker0", NONE, seen=view(with_links(Link("docker0", "bridge")))), NotFitting, "Docker"),
    (lambda: add("lxcbr0", NONE), NotFitting, "LXC"),
    (lambda: delete("vmbr0", theirs("vmbr0")), NotFitting, r"50-site\.cfg"),
    (
        lambda: delete("vmbr0", view(with_links(Link("eth1", master="vmbr0"), Link("eth2", master="vmbr0")))),
        InUse,
        "members eth1, eth2",
    ),
    (
        lambda: delete("vmbr0", view(with_routes(Route("vmbr0", "0.0.0.0/0", "10.1.0.9")))),
        InUse,
        "no default gateway",
    ),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_cannot_be_is_refused_with_the_reason(number: int) -> None:
    plan, kind, words = REFUSED[number]
    with pytest.raises(FuncManError, match=words) as error:
        plan()
    assert type(error.value) is kind
    assert "/etc" not in error.value.message


async def test_the_addresses_and_routes_of_a_new_member_are_the_bridges() -> None:
    plan = join("vmbr0", "eth0", view(bare()))
    net = await after(plan, bare())
    assert [one.written for one in net.addresses_of("vmbr0")] == ["10.0.0.2/24"]
    assert net.addresses_of("eth0") == []
    assert net.routes_of("vmbr0") == [Route("vmbr0", "0.0.0.0/0", "10.0.0.1")]
    assert (net.link("vmbr0") or Link("")).mac == "52:54:00:00:00:01"
    bridge = KeptBridge("vmbr0", ("10.0.0.2/24",), ("eth0",), "52:54:00:00:00:01")
    assert plan.kept == Kept((bridge,), (KeptRoute("0.0.0.0/0", "10.0.0.1", "vmbr0"),))
    assert plan.notes["addresses"] == "moved from eth0 to vmbr0: 10.0.0.2/24"


async def test_a_bridge_that_goes_leaves_its_addresses_to_its_member() -> None:
    net = await after(joined := join("vmbr0", "eth0", view(bare())), bare())
    plan = delete("vmbr0", view(net, kept=joined.kept))
    assert plan.then == (RemoveBridge("vmbr0"),)
    left = await after(plan, net)
    assert left.link("vmbr0") is None
    assert [one.written for one in left.addresses_of("eth0")] == ["10.0.0.2/24"]
    assert left.routes_of("eth0") == [Route("eth0", "0.0.0.0/0", "10.0.0.1")]
    assert plan.kept == Kept(
        routes=(KeptRoute("0.0.0.0/0", "10.0.0.1", "eth0"),), links=(KeptLink("eth0", ("10.0.0.2/24",)),)
    )


def test_a_member_without_addresses_just_joins_and_leaves() -> None:
    plan = join("vmbr0", "eth1")
    assert plan.now == (Join("eth1", "vmbr0"),)
    (bridge,) = plan.kept.bridges
    assert (bridge.members, bridge.addresses, bridge.mac) == (("eth1",), ("10.1.0.1/24",), "")
    net = with_links(Link("eth1", master="vmbr0"))
    assert join("vmbr0", "eth1", view(net, kept=plan.kept)) == Plan((), plan.kept)
    left = leave("vmbr0", "eth1", view(net, kept=plan.kept))
    assert left.now == (Join("eth1", ""),)
    assert left.kept.bridges[0].members == ()


def test_what_a_container_has_on_the_hosts_side_is_a_member_and_not_kept() -> None:
    plan = join("vmbr0", "veth9", view(with_links(Link("veth9", "veth", far=True))))
    assert plan.kept.bridges[0].members == ()


def test_a_host_that_is_a_container_itself_has_a_card_of_that_kind() -> None:
    net = with_links(Link("eth0", "veth", far=True, mac="52:54:00:00:00:01"), net=bare())
    plan = join("vmbr0", "eth0", view(net))
    assert plan.kept.bridges[0].members == ("eth0",)
    joined = with_links(Link("eth0", "veth", far=True, master="vmbr0"), net=net)
    assert leave("vmbr0", "eth0", view(joined, kept=plan.kept)).now == (Join("eth0", ""),)


async def test_a_bridge_gets_another_address_and_keeps_its_routes() -> None:
    plan = edit("vmbr0", "10.1.0.2")
    assert plan.now[0] == DropAddress(address("vmbr0", "10.1.0.1/24"))
    net = await after(plan, usual())
    assert [one.written for one in net.addresses_of("vmbr0")] == ["10.1.0.2/24"]
    assert net.routes_of("vmbr0") == [Route("vmbr0", "10.9.0.0/16", "10.1.0.254")]
    assert plan.kept.bridges == (KeptBridge("vmbr0", ("10.1.0.2/24",)),)


async def test_a_bridges_gateway_is_changed_and_taken_away() -> None:
    first = edit("vmbr0", "10.1.0.1", gateway="10.1.0.9")
    net = await after(first, usual())
    (way,) = (route for route in net.routes_of("vmbr0") if route.for_all)
    assert (way.gateway, way.metric) == ("10.1.0.9", 1024)
    second = edit("vmbr0", "10.1.0.1", gateway="10.1.0.8", seen=view(net, kept=first.kept))
    net = await after(second, net)
    assert [(one.gateway, one.metric) for one in net.routes_of("vmbr0") if one.for_all] == [("10.1.0.8", 1024)]
    third = edit("vmbr0", "10.1.0.1", seen=view(net, kept=second.kept))
    net = await after(third, net)
    assert [route for route in net.routes_of("vmbr0") if route.for_all] == []
    assert third.kept.routes == ()


def test_routes_that_could_not_be_put_back_are_a_reason_to_do_nothing() -> None:
    many = Route("", "10.66.0.0/16", plain=False, ways=("eth0", "eth1"))
    other = Route("eth0", "10.67.0.0/16", table=100)
    for odd in (many, other):
        net = bare()
        net = msgspec.structs.replace(net, routes=(*net.routes, odd))
        with pytest.raises(NotFitting, match="could not be put"):
            join("vmbr0", "eth0", view(net))
