"""What a simulated host's agent works on: how busy it is, what happens on it, and how it answers."""

import asyncio
import time
from pathlib import Path

import pytest

from oms.agent.handlers import handlers as handlers_here
from oms.agent.simulation import life, plan
from oms.agent.simulation.figures import Busy
from oms.agent.simulation.plan import Wanted
from oms.agent.simulation.world import SimulatedHost
from oms.agent.stats.sampler import SERIES
from oms.contract import kvm, netinterface
from oms.contract.internal import Hello

WANTED = Wanted(3, 8, hung=1, slow=1)
HUNG, SLOW, WELL = plan.hosts(WANTED)


async def test_what_was_agrees_with_what_is() -> None:
    busy = Busy(WELL)
    now = await busy.now()
    second = int(now.reading.time)
    average, highest = busy.steps(1, second, second)[second]
    cpu, memory = (list(SERIES).index(name) for name in ("cpu", "memory"))
    assert average[cpu] == pytest.approx(now.rates.cpu, abs=2)
    assert average[memory] == pytest.approx(now.reading.memory_kb - now.reading.available_kb, rel=0.05)
    assert all(high >= mean - 1e-6 for mean, high in zip(average, highest, strict=True))
    assert len(busy.steps(60, second - 3600, second)) in (60, 61)


async def test_a_host_that_hangs_greets_and_answers_nothing_else(tmp_path: Path) -> None:
    async def serve(verb: str, _payload: bytes) -> bytes:
        return verb.encode()

    for host, answers in ((WELL, True), (HUNG, False)):
        served = SimulatedHost(WANTED, host, tmp_path).between(serve)
        assert await served(Hello.facts.wire, b"") == Hello.facts.wire.encode()
        asked = asyncio.ensure_future(served("kvmservices.list_vms", b""))
        await asyncio.wait((asked,), timeout=0.05)
        assert asked.done() == answers
        asked.cancel()


async def test_guests_change_by_themselves(tmp_path: Path) -> None:
    host = SimulatedHost(WANTED, WELL, tmp_path)
    host.machines._seconds = 0
    before = time.monotonic()
    states = {one.key: one.state for one in await host.machines.states()}
    while {one.key: one.state for one in await host.machines.states()} == states:
        await life.change(host)
        assert time.monotonic() - before < 5


def test_a_simulated_agent_knows_every_operation_and_refuses_what_it_would_do_to_this_machine() -> None:
    real = set(handlers_here)
    simulated = set(SimulatedHost.handlers)
    assert simulated == real
    assert SimulatedHost.handlers.find(kvm.ListVms) is handlers_here.find(kvm.ListVms)
    assert SimulatedHost.handlers.find(netinterface.AddBridge) is not handlers_here.find(netinterface.AddBridge)
