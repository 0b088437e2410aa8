"""What was changed is made again what it was, whatever it has become meanwhile."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from oms.agent.host.network import Address, Link, Network, Route
from oms.agent.host.network_changes import (
    Change,
    DropAddress,
    DropRoute,
    Join,
    MakeBridge,
    PutAddress,
    PutRoute,
    SetMac,
    Switch,
    restoring,
    touched,
)
from tests.agent.netinterface.world import MemoryKernel, same, usual

LINKS = ("eth0", "eth1", "vmbr0", "new0")
ADDRESSES = [Address("eth0", "10.0.0.2", 24, label="eth0"), Address("vmbr0", "10.1.0.1", 24, label="vmbr0")]
ADDRESSES += [Address(link, f"10.{n}.0.7", 24, label=link) for n, link in enumerate(LINKS, 5)]
ROUTES = [Route("eth0", "0.0.0.0/0", "10.0.0.1"), Route("vmbr0", "10.9.0.0/16", "10.1.0.254")]
ROUTES += [Route("eth0", "10.9.0.0/16", "10.0.0.9"), Route("vmbr0", "0.0.0.0/0", "10.1.0.9", metric=1024)]
one_change = st.one_of(
    st.just(MakeBridge("new0")),
    st.builds(Join, st.sampled_from(LINKS[:2]), st.sampled_from(("", "vmbr0", "new0"))),
    st.builds(Switch, st.sampled_from(LINKS), st.booleans()),
    st.builds(SetMac, st.sampled_from(LINKS), st.just("52:54:00:00:00:aa")),
    st.builds(PutAddress, st.sampled_from(ADDRESSES)),
    st.builds(DropAddress, st.sampled_from(ADDRESSES)),
    st.builds(PutRoute, st.sampled_from(ROUTES)),
    st.builds(DropRoute, st.sampled_from(ROUTES)),
)


def possible(change: Change, net: Network) -> bool:
    """Whether the kernel could do that at all."""
    names = touched([change])
    there = set(net.names())
    return names.isdisjoint(there) if isinstance(change, MakeBridge) else names <= there


async def changed(net: Network, changes: list[Change]) -> MemoryKernel:
    kernel = MemoryKernel(net)
    for change in changes:
        if possible(change, kernel.net):
            await kernel.change([change])
    return kernel


@settings(deadline=None)  # how long it takes says nothing
@given(st.lists(one_change, max_size=12))
def test_any_changes_are_undone_exactly(changes: list[Change]) -> None:
    async def run() -> None:
        before = usual()
        kernel = await changed(before, changes)
        await kernel.change(restoring(before, kernel.net, LINKS))
        assert same(kernel.net, before)
        await kernel.change(restoring(before, kernel.net, LINKS))
        assert same(kernel.net, before)

    asyncio.run(run())


async def test_what_others_did_to_other_links_meanwhile_stays() -> None:
    before = usual()
    kernel = await changed(before, [MakeBridge("new0"), Join("eth1", "new0"), PutAddress(ADDRESSES[2])])
    await kernel.change(restoring(before, kernel.net, ["new0"]))
    assert kernel.net.link("new0") is None
    assert ADDRESSES[2] in kernel.net.addresses


async def test_a_link_that_is_gone_by_anothers_doing_is_not_missed() -> None:
    before = usual()
    without = Network(tuple(link for link in before.links if link.name != "eth1"), before.addresses, before.routes)
    assert not [change for change in restoring(before, without, LINKS) if "eth1" in touched([change])]


def test_the_links_of_a_change_are_told() -> None:
    changes: list[Change] = [MakeBridge("a"), Join("b", ""), Join("c", "d"), PutRoute(Route("e", "10.0.0.0/8"))]
    assert touched(changes) == {"a", "b", "c", "d", "e"}
    assert Link("a") in Network((Link("a"), Link("b"))).of(["a"]).links
