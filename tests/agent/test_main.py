"""The agent from its settings to its end, on a local bus: what it says when it cannot run, and how it ends."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from oms.agent import main
from oms.agent.config import AgentConfig
from oms.agent.context import Host
from oms.agent.facts import Facts
from oms.agent.host.files import STAGING
from oms.agent.identity import Identity
from oms.agent.main import CannotRun
from oms.agent.premises import ThisMachine
from oms.bus.local import LocalAgentWire, LocalBus
from oms.bus.nats.agent import NatsAgentWire
from oms.contract import kvm
from oms.contract.handlers import Handlers
from tests.server.door import REMOVE, Door
from tests.server.rig import Person
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("quick")


class Line(LocalAgentWire):
    """A host's end of the local bus which, like the real one, is refused when the host was cut off."""

    def __init__(self, bus: LocalBus, host_id: str, on_refused: Callable[[Any], None]) -> None:
        super().__init__(bus, host_id)
        bus.agents[host_id] = self
        self.on_state(lambda connected: None if connected or host_id in bus.agents else on_refused("cut off"))

    def start(self) -> None:
        """It is connected since it serves."""

    def renew(self) -> None:
        """It needs no certificate."""

    def use(self, servers: tuple[str, ...]) -> None:
        """It is where it is."""


@dataclass
class Works:
    """What this host's handlers do: each run of a job waits until it may end."""

    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    begun: list[bool] = field(default_factory=list)
    """For each run, whether it was one that goes on with a job."""

    def handlers(self) -> Handlers[Host]:
        table: Handlers[Host] = Handlers()

        @table.handles(kvm.StopVm)
        async def stop_vm(_op: kvm.StopVm, host: Host) -> int:
            self.begun.append(host.job.resumed)
            await self.may_end.wait()
            return 0

        return table


@pytest.fixture
def works(door: Door, monkeypatch: pytest.MonkeyPatch) -> Works:
    """An agent that is on the local bus of the door's OMS, and does these works."""
    made = Works()

    class Agent(main.Agent):
        def _wire(self, place: Any, on_refused: Any) -> NatsAgentWire:
            return cast("NatsAgentWire", Line(door.oms.bus, place.host_id, on_refused))

    monkeypatch.setattr(main, "Agent", Agent)
    monkeypatch.setattr(ThisMachine, "handlers", made.handlers())
    monkeypatch.setenv("PATH", "/nonexistent")  # so it finds no hypervisor, and starts none
    return made


def settings(door: Door, data: Path, **more: Any) -> AgentConfig:
    given = {"ca_sha256": door.server.ca_sha256, "rejoin_after": 0.05, "authorized_keys": str(data / "keys")}
    return AgentConfig(server=door.url, name="h1", data=data, **{**given, **more})


@contextlib.asynccontextmanager
async def running(config: AgentConfig) -> AsyncIterator[asyncio.Task[None]]:
    """A run of the agent, ended at the latest when the test is over."""
    task = asyncio.create_task(main.run(config))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def connected(door: Door) -> Person:
    """Somebody who may do everything, once the host has been greeted."""
    admin = await door.oms.as_admin()
    async with asyncio.timeout(30):
        while [host["status"] for host in await admin.ask("funcservices.list_signed", 0)] != [1]:  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)
    return admin


@contextlib.asynccontextmanager
async def at_work(door: Door, works: Works, data: Path) -> AsyncIterator[tuple[asyncio.Task[None], Any]]:
    """A signed agent in the midst of a job, and the answer that the job's caller waits for."""
    async with running(settings(door, data)) as agent:
        await door.sign()
        admin = await connected(door)
        asking = asyncio.create_task(admin.ask("kvmservices.stop_vm", 0, "h1", "vm1"))
        await eventually(lambda: works.begun)
        yield agent, asking


# --- its end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_end_it_waits_for_what_runs_and_tells_how_it_ended(
    number: int, door: Door, works: Works, tmp_path: Path
) -> None:
    async with at_work(door, works, tmp_path) as (agent, asking):
        os.kill(os.getpid(), number)
        await asyncio.sleep(0.1)
        assert not agent.done()
        works.may_end.set()
        await agent
        assert await asking == {"client": "h1", "result": 0}


async def test_what_does_not_end_in_its_grace_is_taken_up_by_the_next_start(
    door: Door, works: Works, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "GRACE_SECONDS", 0.2)
    async with at_work(door, works, tmp_path) as (agent, asking):
        os.kill(os.getpid(), signal.SIGTERM)
        began = time.monotonic()
        await agent
        assert time.monotonic() - began >= 0.2
        assert not asking.done()
        works.may_end.set()
        async with running(settings(door, tmp_path)):
            assert await asking == {"client": "h1", "result": 0}
    assert works.begun == [False, True]


async def test_it_ends_at_once_while_it_waits_to_be_signed(door: Door, works: Works, tmp_path: Path) -> None:
    async with running(settings(door, tmp_path)) as agent:
        await eventually(lambda: "/enrol" in door.asked)
        os.kill(os.getpid(), signal.SIGTERM)
        await agent


# --- out and in again


async def test_a_host_that_was_removed_asks_again_with_a_new_key_and_works_as_before(
    door: Door, works: Works, tmp_path: Path
) -> None:
    async with running(settings(door, tmp_path)):
        await door.sign()
        admin = await connected(door)
        keys = tmp_path / "keys"
        await eventually(lambda: keys.exists() and keys.read_text())
        old, key = keys.read_text(), (tmp_path / "agent" / "key.pem").read_bytes()
        await door.people(REMOVE, "h1")
        await eventually(lambda: keys.read_text() == "")  # OMS may not log in any more
        await door.sign()
        await connected(door)
        assert (tmp_path / "agent" / "key.pem").read_bytes() != key
        await eventually(lambda: keys.read_text() not in ("", old))
        works.may_end.set()
        assert await admin.ask("kvmservices.stop_vm", 0, "h1", "vm1") == {"client": "h1", "result": 0}


async def test_a_host_follows_its_oms_to_another_bus(door: Door, works: Works, tmp_path: Path) -> None:
    config = settings(door, tmp_path, reconnect_delay=0.02)
    identity = Identity(config.home)
    async with running(config):
        await door.sign()
        await connected(door)
        before = identity.place()
        assert before is not None
        door.oms.config = msgspec.structs.replace(door.oms.config, bus_listen="127.0.0.1:4999")
        await door.oms.restart()
        await asyncio.sleep(0.3)
        assert identity.place() == before  # as long as the bus is there, nobody asks
        door.oms.bus.disconnect(before.host_id)
        await eventually(lambda: (now := identity.place()) is not None and now.bus == "127.0.0.1:4999")
        await connected(door)
        now = identity.place()
        assert now is not None
        assert now.host_id == before.host_id
        assert await door.listed("list_signed") == ["h1"]


async def test_a_host_is_told_of_further_nodes_of_its_bus_and_keeps_them(
    door: Door, works: Works, tmp_path: Path
) -> None:
    """A fleet whose bus has become a cluster: its node may be the first that is lost."""
    nodes = ("127.0.0.1:4222", "bus2.example.org:4222", "bus3.example.org:4222")
    identity = Identity(settings(door, tmp_path).home)
    async with running(settings(door, tmp_path)):
        await door.sign()
        await connected(door)
        before, key = identity.place(), identity.signed_key.read_bytes()
        assert before is not None
        assert before.buses == nodes[:1]
        door.oms.config = msgspec.structs.replace(door.oms.config, nats=tuple(f"tls://{node}" for node in nodes))
        await door.oms.restart()
        await eventually(lambda: (now := identity.place()) is not None and now.buses == nodes)
        await connected(door)
    assert identity.place() == msgspec.structs.replace(before, more_buses=nodes[1:])
    assert identity.signed_key.read_bytes() == key


# --- why it cannot run


async def test_two_agents_do_not_share_a_directory(door: Door, works: Works, tmp_path: Path) -> None:
    config = settings(door, tmp_path)
    async with running(config) as first:
        await eventually(lambda: "/enrol" in door.asked)
        for second in (main.run(config), main.enrol(config)):
            with pytest.raises(CannotRun) as refused:
                await second
            said = f"An agent runs in {config.home} already: end that one, or give another --data."
            assert str(refused.value) == said
        assert not first.done()
    async with running(config) as third:  # the lock went with its process
        await door.sign()
        await connected(door)
        assert not third.done()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ca_sha256": ""}, "Whether that is OMS cannot be told: give --ca-sha256"),
        ({"ca_sha256": "ab" * 32}, "is not the OMS that was meant"),
        ({"ca_file": Path("/nonexistent")}, "/nonexistent: No such file or directory."),
    ],
)
async def test_it_says_why_it_trusts_nobody(
    wrong: dict[str, Any], said: str, door: Door, works: Works, tmp_path: Path
) -> None:
    for start in (main.run, main.enrol):
        with pytest.raises(CannotRun) as refused:
            await start(settings(door, tmp_path, **wrong))
        assert said in str(refused.value)


async def test_a_damaged_journal_is_named_and_left_as_it_is(door: Door, works: Works, tmp_path: Path) -> None:
    journal = tmp_path / "agent" / "journal.db"
    journal.parent.mkdir()
    journal.write_bytes(b"no database" * 1000)
    with pytest.raises(CannotRun) as refused:
        await main.run(settings(door, tmp_path))
    assert str(journal) in str(refused.value)
    assert journal.read_bytes() == b"no database" * 1000


async def test_a_journal_of_a_newer_agent_is_not_written(door: Door, works: Works, tmp_path: Path) -> None:
    async with running(settings(door, tmp_path)):
        await eventually(lambda: "/enrol" in door.asked)
    with contextlib.closing(sqlite3.connect(tmp_path / "agent" / "journal.db")) as journal:
        journal.execute("PRAGMA user_version = 99")
    with pytest.raises(CannotRun, match="newer"):
        await main.run(settings(door, tmp_path))


async def test_a_part_of_it_that_breaks_ends_all_of_it(
    door: Door, works: Works, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_facts: Facts) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Facts, "run", broken)
    with pytest.raises(CannotRun, match=r"Whoever runs it finds the cause in the log under [0-9a-f]{8}"):
        await main.run(settings(door, tmp_path))


# --- what it begins with


async def test_its_directories_are_its_own_and_what_was_half_made_is_gone(
    door: Door, works: Works, tmp_path: Path
) -> None:
    images = tmp_path / "storage" / "images"
    left = images / STAGING / ("f" * 32)
    left.mkdir(parents=True)
    (left / "disk").write_text("half")
    async with running(settings(door, tmp_path)):
        await eventually(lambda: "/enrol" in door.asked)
        assert not left.exists()
        assert (tmp_path / "agent").stat().st_mode & 0o777 == 0o700
        assert images.stat().st_mode & 0o777 == 0o711


async def test_enrol_alone_gets_a_place_that_the_agent_then_uses(door: Door, works: Works, tmp_path: Path) -> None:
    config = settings(door, tmp_path)
    place, _ = await asyncio.gather(main.enrol(config), door.sign())
    asked = door.asked.count("/enrol")
    async with running(config):
        await connected(door)
    assert door.asked.count("/enrol") == asked
    assert list(door.oms.bus.agents) in ([], [place.host_id])
