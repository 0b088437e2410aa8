"""Machines and containers in one answer, whichever of the two hypervisors answers, hangs or is not there."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oms.agent.context import Host, Storage
from oms.agent.guests import MachineState, MemoryUse, Stat, Use
from oms.agent.guests.containers import ContainerSettings, NewContainer
from oms.agent.guests.fake import FakeContainers
from oms.agent.kvmplusovz import handlers
from oms.agent.kvmplusovz.both import both
from oms.agent.leases import Leases
from oms.contract import kvmplusovz
from oms.contract.errors import FuncManError, HypervisorUnavailable
from tests.hosts.kvm_job import RehearsedJob

MACHINES = (
    MachineState("11111111-1111-1111-1111-111111111111", "web", "running", 2, 65536, 65536, 5),
    MachineState("22222222-2222-2222-2222-222222222222", "129", "shutdown", 1, 1024, 1024, 0),
)


class FewMachines:
    """As much of a hypervisor of machines as the lists ask. `away`: it is not there."""

    def __init__(self) -> None:
        self.away: Exception | None = None
        self.asked = asyncio.Event()
        self.hangs = False

    async def states(self) -> list[MachineState]:
        self.asked.set()
        if self.hangs:
            await asyncio.Event().wait()
        if self.away is not None:
            raise self.away
        return list(MACHINES)

    async def use(self, wanted: frozenset[Stat]) -> dict[str, Use]:
        return {MACHINES[0].uuid: Use(memory=MemoryUse(100, 200))}


@pytest.fixture
def machines() -> FewMachines:
    return FewMachines()


@pytest.fixture
async def host(machines: FewMachines, tmp_path: Path) -> Host:
    containers = FakeContainers(tmp_path / "containers")
    await containers.prepare("a", 0)
    await containers.create("a", NewContainer("129", ContainerSettings(hostname="mail", memory_kb=2048)))
    await containers.start("129")
    for place in Storage.below(tmp_path).all():
        place.mkdir(parents=True)
    (tmp_path / "templates" / "small.ova").touch()
    given: Any = machines
    return Host(Storage.below(tmp_path), given, RehearsedJob(), Leases(), containers=containers)


def without(host: Host, **parts: Any) -> Host:
    return replace(host, **parts)


async def test_each_guest_says_of_which_kind_it_is(host: Host) -> None:
    listed = await handlers.list_vms(kvmplusovz.ListVms(("memory",)), host)
    assert [(guest.name, guest.id, guest.type, guest.status) for guest in listed.result] == [
        ("web", "web", "kvm", 1), ("129", "129", "kvm", 0), ("mail", "129", "openvz", 1),
    ]  # fmt: skip
    used = {guest.name: guest.stats.memory for guest in listed.result}
    assert getattr(used["web"], "total", "") == "200"
    assert getattr(used["mail"], "total", "") == "2048"
    assert listed.missing == ()


async def test_a_machine_that_is_called_as_a_container_is_listed_by_its_uuid(host: Host) -> None:
    states = (await handlers.list_vms_status(kvmplusovz.ListVmsStatus(), host)).result
    assert {name: (state.type, state.state) for name, state in states.items()} == {
        "web": ("kvm", "running"),
        "129": ("openvz", "running"),
        MACHINES[1].uuid: ("kvm", "shutdown"),
    }


async def test_a_hypervisor_that_the_host_has_not_counts_as_empty(host: Host) -> None:
    listed = await handlers.list_vms(kvmplusovz.ListVms(), without(host, containers=None))
    assert [guest.type for guest in listed.result] == ["kvm", "kvm"]
    assert listed.missing == ()
    listed = await handlers.list_vms(kvmplusovz.ListVms(), without(host, machines=None))
    assert [guest.name for guest in listed.result] == ["mail"]
    bare = without(host, machines=None, containers=None)
    assert (await handlers.list_vms(kvmplusovz.ListVms(), bare)).result == []
    assert (await handlers.list_vms_status(kvmplusovz.ListVmsStatus(), bare)).result == {}
    assert (await handlers.list_templates(kvmplusovz.ListTemplates(), bare)).result == []


async def test_templates_say_of_what_they_are(host: Host) -> None:
    assert (await handlers.list_templates(kvmplusovz.ListTemplates(), host)).result == [
        kvmplusovz.Template("small", "kvm")
    ]


async def test_where_one_is_away_the_other_answers_and_the_answer_says_so(
    host: Host, machines: FewMachines
) -> None:
    machines.away = HypervisorUnavailable("libvirt is away")
    listed = await handlers.list_vms(kvmplusovz.ListVms(), host)
    assert [guest.name for guest in listed.result] == ["mail"]
    (missing,) = listed.missing
    assert (missing.type, missing.name, missing.reason, missing.message) == (
        "kvm", "FuncManError", "hypervisor_unavailable", "libvirt is away",
    )  # fmt: skip


async def test_one_that_hangs_does_not_hold_the_other() -> None:
    begun = [asyncio.Event(), asyncio.Event()]

    async def hangs() -> list[str]:
        begun[0].set()
        await asyncio.Event().wait()
        return []

    async def answers() -> list[str]:
        begun[1].set()
        await begun[0].wait()  # it is asked beside the other, not after it
        return ["129"]

    machines, containers, missing = await both(hangs(), answers(), seconds=0.05)
    assert (machines, containers) == (None, ["129"])
    assert [(one.type, "0.05 s" in one.message) for one in missing] == [("kvm", True)]
    machines, containers, missing = await both(answers(), hangs(), seconds=0.05)
    assert (machines, [one.type for one in missing]) == (["129"], ["openvz"])


async def test_where_neither_answers_it_is_an_error_that_tells_of_both() -> None:
    async def away(words: str) -> None:
        raise HypervisorUnavailable(words)

    with pytest.raises(FuncManError) as told:
        await both(away("libvirt is away"), away("LXC is away"))
    assert "libvirt is away" in told.value.message
    assert "LXC is away" in told.value.message
