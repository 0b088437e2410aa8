"""A change stays only if OMS was reached with it, however the agent ends meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oms.agent.context import Host, Storage
from oms.agent.guests import Machine
from oms.agent.guests.containers import ContainerSettings, NewContainer
from oms.agent.guests.fake import FakeContainers
from oms.agent.host.network import Link, Network, Route
from oms.agent.host.network_changes import PutAddress, SetMac
from oms.agent.journal import Entry
from oms.agent.leases import Leases
from oms.agent.netinterface import applying, files, handlers
from oms.agent.netinterface.side import Side
from oms.contract import netinterface as api
from oms.contract.errors import (
    AlreadyThere,
    FuncManError,
    HypervisorUnavailable,
    InUse,
    JobInterrupted,
    NotSupported,
)
from oms.contract.netinterface import TakenBack
from oms.contract.operation import HostOperation
from tests.agent.netinterface.test_bridges import bare
from tests.agent.netinterface.world import MemoryKernel, same
from tests.hosts.kvm_job import Crash, RehearsedJob
from tests.hosts.net_host import ifupdown_root

JOIN = api.AddBridgeMember("vmbr0", "eth0")
ADD = api.AddBridge("testbridge", "192.168.1.41", "255.255.255.0", "0.0.0.0")

Op = HostOperation[Any]
HANDLERS: dict[type[Op], Callable[[Any, Host], Awaitable[int]]] = {
    api.AddBridgeMember: handlers.add_bridge_member,
    api.AddBridge: handlers.add_bridge,
    api.DeleteBridge: handlers.delete_bridge,
}


@dataclass
class Rig:
    """A host in memory, its files on the disk; OMS is reached as long as `reached` says so."""

    root: Path
    kernel: MemoryKernel
    reached: Callable[[Network], bool] = lambda _net: True
    way: files.Way = "ifupdown"
    asked: int = 0

    async def ask(self, _seconds: float) -> bool:
        self.asked += 1
        return self.reached(self.kernel.net)

    def host(self, job: RehearsedJob) -> Host:
        side = Side(self.ask, self.root, self.way, 1, self.kernel)
        return Host(Storage.below(self.root), None, job, Leases(), network=side)

    def written(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    ifupdown_root(tmp_path)
    return Rig(tmp_path, MemoryKernel(bare()))


async def test_a_change_with_which_oms_is_reached_stays_and_is_written(rig: Rig) -> None:
    job = RehearsedJob()
    assert await handlers.add_bridge_member(JOIN, rig.host(job)) == 0
    assert [one.written for one in rig.kernel.net.addresses_of("vmbr0")] == ["10.0.0.2/24"]
    assert files.read(rig.root).bridges[0].members == ("eth0",)
    assert "bridge_ports eth0" in (rig.root / "etc/network/interfaces.d/oms").read_text()
    assert (job.notes["kept"], rig.asked) == ("ifupdown", 1)


async def test_a_change_that_cuts_the_host_off_is_undone(rig: Rig) -> None:
    before, on_disk = rig.kernel.net, rig.written()
    rig.reached = lambda net: bool(net.addresses_of("eth0"))
    with pytest.raises(TakenBack, match="did not reach OMS within 1 s"):
        await handlers.add_bridge_member(JOIN, rig.host(RehearsedJob()))
    assert same(rig.kernel.net, before)
    assert rig.written() == on_disk


@pytest.mark.parametrize("kind", [SetMac, PutAddress])
async def test_what_the_kernel_refuses_half_way_is_undone(rig: Rig, kind: Any) -> None:
    before = rig.kernel.net
    rig.kernel.refuse = kind
    with pytest.raises(FuncManError, match="does not do that"):
        await handlers.add_bridge_member(JOIN, rig.host(RehearsedJob()))
    assert same(rig.kernel.net, before)
    assert rig.asked == 0


async def test_what_cannot_be_written_down_is_undone(rig: Rig) -> None:
    before, on_disk = rig.kernel.net, rig.written()
    (rig.root / "etc/network/if-up.d/oms").mkdir()
    with pytest.raises(FuncManError, match=r"cannot be written .*all is as it was"):
        await handlers.add_bridge(ADD, rig.host(RehearsedJob()))
    assert same(rig.kernel.net, before)
    assert rig.written() == on_disk


async def test_a_refusal_leaves_no_record(rig: Rig) -> None:
    job = RehearsedJob()
    with pytest.raises(AlreadyThere):
        await handlers.add_bridge(replace_name("vmbr0"), rig.host(job))
    assert (job.records, rig.asked) == ({}, 0)


def replace_name(name: str) -> api.AddBridge:
    return msgspec.structs.replace(ADD, bridge_name=name)


async def test_a_host_whose_files_are_not_known_says_that_nothing_is_kept(rig: Rig) -> None:
    rig.way = "none"
    job = RehearsedJob()
    on_disk = rig.written()
    assert await handlers.add_bridge(ADD, rig.host(job)) == 0
    assert "until the host's next start" in job.notes["restart"]
    assert rig.written() == on_disk


async def test_an_agent_that_is_told_to_end_meanwhile_undoes_it_at_once(rig: Rig) -> None:
    before = rig.kernel.net
    waiting = asyncio.Event()

    async def never(_seconds: float) -> bool:
        waiting.set()
        await asyncio.Event().wait()
        return True

    host = rig.host(RehearsedJob())
    assert host.network is not None
    host = replace(host, network=replace(host.network, reached=never))
    task = asyncio.ensure_future(handlers.add_bridge_member(JOIN, host))
    await waiting.wait()
    assert not same(rig.kernel.net, before)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert same(rig.kernel.net, before)


@pytest.mark.parametrize("op", [JOIN, ADD, api.DeleteBridge("vmbr0")], ids=lambda op: op.facts.name)
async def test_wherever_the_agent_dies_the_change_is_whole_or_undone(tmp_path: Path, op: Op) -> None:
    whole, ends = await _whole(op, tmp_path / "whole"), set()
    for point in range(1, 100):
        ifupdown_root(root := tmp_path / str(point))
        job = RehearsedJob(break_at=point)
        rig = Rig(root, MemoryKernel(bare(), job.step))
        before, on_disk = rig.kernel.net, rig.written()
        try:
            await HANDLERS[type(op)](op, rig.host(job))
        except Crash:
            ended = await _taken_up(op, rig, job, before)
            ends.add(ended)
            assert same(rig.kernel.net, whole if ended == "done" else before)
            assert ended == "done" or rig.written() == on_disk
        else:
            break
    assert ends == {"undone", "done"}


async def _taken_up(op: Op, rig: Rig, job: RehearsedJob, before: Network) -> str:
    """How it ends when the agent is started again: it first undoes what is not sure, before all else."""
    rig.kernel = MemoryKernel(rig.kernel.net)
    again = RehearsedJob(dict(job.records))
    host, records = rig.host(again), {key: again.recall(key) for key in again.records}
    assert host.network is not None
    await applying.recover(host.network, [(Entry(id=again.id, verb=op.facts.wire, lane=""), records)])
    assert applying.REACHED in records or same(rig.kernel.net, before)
    try:
        await HANDLERS[type(op)](op, host)
    except JobInterrupted:
        return "undone"
    return "done"


async def _whole(op: Op, root: Path) -> Network:
    """The network after the change."""
    ifupdown_root(root)
    rig = Rig(root, MemoryKernel(bare()))
    assert await HANDLERS[type(op)](op, rig.host(RehearsedJob())) == 0
    return rig.kernel.net


async def test_after_a_restart_of_the_host_what_runs_is_left_as_it_came_up(rig: Rig) -> None:
    job = RehearsedJob()
    rig.reached = lambda _net: False
    with pytest.raises(TakenBack):
        await handlers.add_bridge_member(JOIN, rig.host(job))
    begun = msgspec.convert(job.recall(applying.BEGUN), applying.Begun)
    job.records[applying.BEGUN] = msgspec.json.encode(msgspec.structs.replace(begun, boot="before")).decode()
    rig.kernel.net = now = Network((Link("eth5"),), (), (Route("eth5", "10.0.0.0/8"),))
    with pytest.raises(JobInterrupted, match="the host was restarted"):
        await handlers.add_bridge_member(JOIN, rig.host(RehearsedJob(job.records)))
    assert rig.kernel.net == now


async def test_a_bridge_is_removed_only_when_oms_was_reached_without_it(rig: Rig) -> None:
    there: list[bool] = []

    def reached(net: Network) -> bool:
        there.append(net.link("vmbr0") is not None)
        return True

    rig.reached = reached
    assert await handlers.delete_bridge(api.DeleteBridge("vmbr0"), rig.host(RehearsedJob())) == 0
    assert there == [True]
    assert rig.kernel.net.link("vmbr0") is None


async def test_what_is_so_already_is_done_without_a_question(rig: Rig) -> None:
    assert await handlers.add_bridge_member(JOIN, rig.host(RehearsedJob())) == 0
    job = RehearsedJob()
    assert await handlers.add_bridge_member(JOIN, rig.host(job)) == 0
    assert (rig.asked, job.records) == (1, {})


async def test_an_agent_without_a_hand_on_the_network_says_so(rig: Rig) -> None:
    host = replace(rig.host(RehearsedJob()), network=None)
    with pytest.raises(NotSupported):
        await handlers.list_bridges(api.ListBridges(), host)


async def test_a_bridge_that_a_container_is_to_have_is_in_use(rig: Rig) -> None:
    containers = FakeContainers(rig.root / "containers")
    await containers.prepare("a", 0)
    await containers.create("a", NewContainer("129", ContainerSettings(hostname="mail"), bridge="vmbr0"))
    host = replace(rig.host(RehearsedJob()), containers=containers)
    with pytest.raises(InUse, match="used by container 129"):
        await handlers.delete_bridge(api.DeleteBridge("vmbr0"), host)


@pytest.mark.parametrize("name", ["a;touch pwn", "$(id)", "eth*", "-x", "a'b", "eth0#", "\u00e9th0"])
async def test_a_link_with_a_wild_name_gets_into_no_file(rig: Rig, name: str) -> None:
    """The kernel takes nearly any name, and somebody else may have given it."""
    net = rig.kernel.net
    links = (*net.links, Link(name, master="vmbr0"))
    rig.kernel.net = before = Network(links, net.addresses, net.routes)
    on_disk = rig.written()
    with pytest.raises(NotSupported, match="could not be written into"):
        await handlers.add_bridge_member(api.AddBridgeMember("vmbr0", "eth1"), rig.host(RehearsedJob()))
    assert rig.kernel.net == before
    assert rig.written() == on_disk


class Away:
    """A hypervisor that is not there now."""

    async def all(self) -> list[Machine]:
        raise HypervisorUnavailable("It is away.")


async def test_a_hypervisor_that_is_away_hinders_only_what_its_guests_could_need(rig: Rig) -> None:
    away: Any = Away()
    host = replace(rig.host(RehearsedJob()), machines=away)
    assert (
        await handlers.add_static_route(api.AddStaticRoute("10.7.0.0", "255.255.0.0", "10.0.0.1", "eth0"), host)
        == 0
    )
    names = [one.name for one in await handlers.list_interfaces(api.ListInterfaces(), host)]
    assert names == ["lo", "eth0", "eth1", "vmbr0"]
    with pytest.raises(HypervisorUnavailable):
        await handlers.delete_bridge(api.DeleteBridge("vmbr0"), another_job(host))


def another_job(host: Host) -> Host:
    """The same host, for another job."""
    return replace(host, job=RehearsedJob())
