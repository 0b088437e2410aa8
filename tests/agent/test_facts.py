"""Facts follow the hypervisor's events, and are told when they change and now and then."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from oms.agent import facts
from oms.agent.facts import Facts, of_this_host
from oms.agent.guests import Capabilities, Change, Machines, MachineState
from oms.agent.guests.containers import ContainerSettings, NewContainer
from oms.agent.guests.fake import FakeContainers
from oms.contract.errors import HypervisorUnavailable
from oms.contract.internal import GuestLine, GuestNews, HostFacts
from oms.contract.kvm import StopVm
from tests.agent.rig import Sweep
from tests.waiting import eventually

UUID = "0f0e0d0c-0000-4000-8000-00000000000A"


class Few:
    """So much of `Machines` as facts need."""

    def __init__(self) -> None:
        self.capabilities = Capabilities("qemu", live_memory=True, live_vcpus_up=True, live_vcpus_down=False)
        self.there: list[MachineState] = []
        self.asked = 0
        self.away = False
        self.listeners: list[Callable[[Change], None]] = []

    async def states(self) -> list[MachineState]:
        self.asked += 1
        if self.away:
            raise HypervisorUnavailable("libvirtd is away")
        return self.there

    def on_change(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        self.listeners.append(callback)
        return lambda: self.listeners.remove(callback)

    def put(self, *names: str) -> None:
        self.there = [MachineState(UUID, name, "running", 1, 1, 1, 1) for name in names]
        self.happen()

    def happen(self) -> None:
        for listener in self.listeners:
            listener(Change("", "", "anything"))


@pytest.fixture
async def watched() -> Any:
    few, told = Few(), list[HostFacts]()
    news = list[GuestNews]()
    watch = Facts(cast("Machines", few), told.append, news=news.append)
    task = asyncio.create_task(watch.run())
    await eventually(lambda: few.asked == 1)
    yield SimpleNamespace(few=few, told=told, facts=watch, news=news)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert few.listeners == []


async def test_of_guests_what_changed_is_told_in_order_and_all_of_them_to_who_asks(watched: Any) -> None:
    few, news = watched.few, watched.news
    line = GuestLine("kvm", UUID, "a", "running", 1, 2)
    few.there = [MachineState(UUID, "a", "running", 1, 1024, 2048, 1)]
    few.happen()
    await eventually(lambda: len(news) == 1)
    few.there = [MachineState(UUID, "a", "paused", 1, 1024, 2048, 9)]
    few.happen()
    await eventually(lambda: len(news) == 2)
    few.there = [MachineState(UUID, "a", "paused", 1, 512, 2048, 99)]  # nothing of what is told
    watched.facts.look()
    await eventually(lambda: few.asked == 4)
    roster = await watched.facts.roster.whole()
    few.put()
    await eventually(lambda: len(news) == 3)
    paused = GuestLine("kvm", UUID, "a", "paused", 1, 2)
    assert [(it.number, it.now, it.gone) for it in news] == [
        (1, (line,), ()),
        (2, (paused,), ()),
        (3, (), (UUID,)),
    ]
    assert (roster.number, roster.guests, roster.looked) == (2, (paused,), ("kvm",))
    assert {it.stamp for it in news} == {roster.stamp}


async def test_a_new_machine_is_told_soon_and_a_swarm_of_events_once(watched: Any) -> None:
    began = time.monotonic()
    for _ in range(100):
        watched.few.put("a", "b")
    await eventually(lambda: watched.told)
    assert time.monotonic() - began < 5
    assert [told.vmcount for told in watched.told] == [2]
    assert watched.few.asked == 2
    assert watched.facts.now().vmcount == 2


async def test_events_that_change_no_fact_are_not_told(watched: Any) -> None:
    watched.few.happen()
    await eventually(lambda: watched.few.asked == 2)
    await asyncio.sleep(0.05)
    assert watched.told == []


async def test_a_sign_of_life_comes_without_asking_the_hypervisor(
    watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "HEARTBEAT_SECONDS", 0.05)
    watched.few.put("a")
    await eventually(lambda: len(watched.told) >= 4)
    assert watched.few.asked == 2


async def test_while_the_hypervisor_is_away_the_last_number_stays(
    watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "AGAIN_SECONDS", 0.1)
    watched.few.put("a")
    await eventually(lambda: watched.told)
    watched.few.away = True
    watched.few.put("a", "b")
    await eventually(lambda: watched.few.asked >= 4)
    assert watched.facts.now().vmcount == 1
    watched.few.away = False
    await eventually(lambda: watched.facts.now().vmcount == 2)


async def test_a_machine_is_one_target_by_name_and_by_uuid(watched: Any) -> None:
    watched.few.put("web")
    await eventually(lambda: watched.told)
    by_name = watched.facts.target(StopVm("web"))
    assert by_name == watched.facts.target(StopVm(UUID)) == watched.facts.target(StopVm(UUID.lower()))
    assert by_name != watched.facts.target(StopVm("other"))
    assert watched.facts.target(Sweep()) == "testservices/"


async def test_containers_are_counted_beside_machines_or_alone(tmp_path: Path) -> None:
    containers, told = FakeContainers(tmp_path), list[HostFacts]()
    for few, hypervisors, count in ((Few(), ("kvm", "openvz"), 1), (None, ("openvz",), 2)):
        watch = Facts(cast("Machines | None", few), told.append, containers)
        task = asyncio.create_task(watch.run())
        await containers.prepare("job", 0)
        await containers.create("job", NewContainer(str(100 + count), ContainerSettings()))
        await eventually(lambda: watch.now().vmcount == count)  # noqa: B023 - it is waited for here
        assert watch.now().hypervisors == hypervisors
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_this_host_is_described() -> None:
    here = of_this_host(None)
    assert here.hypervisors == ()
    assert here.cpus > 0
    assert here.memory_mb > 64
    assert here.architecture
    assert here.kernel
    assert here.distribution
    assert of_this_host(cast("Machines", Few())).kvm_domain_type == "qemu"
