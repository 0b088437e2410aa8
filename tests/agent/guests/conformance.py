"""What every hypervisor's backend must do, as checks that run against each: one suite for guests of any kind, one
more for containers. A backend's test gives a guest that is off, whose system may be anything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oms.agent.guests import Change, Guests, Stat
from oms.agent.guests.containers import (
    ContainerChange,
    Containers,
    ContainerSettings,
    NewContainer,
)
from oms.contract.errors import AlreadyThere, ContainerIsOff, FuncManError, NoSuchContainer, NoSuchMachine
from oms.contract.types import Secret
from tests.waiting import eventually

JOB, OTHER = "0" * 31 + "1", "0" * 31 + "2"
ALL: frozenset[Stat] = frozenset({"cpu", "memory", "df", "network"})
SECONDS = 60.0


async def guest_lives(guests: Guests[Any], key: str, no_such: str) -> None:
    """From off through running and standing still to off again; `no_such` is the key of none."""
    changes: list[Change] = []
    end = guests.on_change(changes.append)
    assert await _state(guests, key) == "shutdown"
    for _ in range(2):
        await guests.start(key)
        assert await _state(guests, key) == "running"
    assert (await guests.capacity()).cpus >= 1
    told = ("started", "anything")
    await eventually(lambda: any(change.what in told for change in changes), "nobody told of it")
    await guests.use(ALL)
    use = (await guests.use(ALL))[key]
    assert use.memory is None or use.memory.used_kb >= 0
    for _ in range(2):
        await guests.pause(key)
        assert await _state(guests, key) == "paused"
    for _ in range(2):
        await guests.resume(key)
        assert await _state(guests, key) == "running"
    for _ in range(2):
        await guests.stop(key)
        assert await _state(guests, key) == "shutdown"
    end()
    (line,) = [state for state in await guests.states() if state.key == key]
    assert line.cpu_time_ns == 0
    for on in (True, False):
        await guests.set_autostart(key, on=on)
    for act in (guests.start, guests.stop, guests.pause, guests.resume, guests.find):
        with pytest.raises(NoSuchMachine):
            await act(no_such)


async def container_lives(containers: Containers, ctid: str, fill: Callable[[Path], object]) -> None:
    """Made, changed, run, destroyed. `fill` makes a root file system whose init shuts down when it is asked."""
    first = ContainerSettings(hostname="first.example.org", memory_kb=64 * 1024, vcpus=1, addresses=("10.99.0.7",))
    await _make(containers, ctid, fill, first)
    made = await containers.find(ctid)
    assert (made.ctid, made.state, made.runs, made.pid, made.ours) == (ctid, "shutdown", False, 0, True)
    assert msgspec.structs.replace(made.settings, nameservers=(), searchdomains=()) == first
    assert made.ids == containers.capabilities.ids
    assert [line.name for line in await containers.states() if line.ctid == ctid] == ["first.example.org"]
    with pytest.raises(ContainerIsOff):
        await containers.pause(ctid)
    await _change_off(containers, ctid)
    await _change_running(containers, ctid)
    await containers.pause(ctid)
    await containers.start(ctid)
    assert await _state(containers, ctid) == "running"
    await containers.ask_off(ctid)
    assert await containers.goes_off(ctid, seconds=SECONDS)
    await containers.destroy(ctid)
    with pytest.raises(NoSuchContainer):
        await containers.find(ctid)
    assert ctid not in {line.ctid for line in await containers.states()}


async def _make(
    containers: Containers, ctid: str, fill: Callable[[Path], object], settings: ContainerSettings
) -> None:
    place = await containers.prepare(JOB, 0)
    fill(place)
    assert await containers.prepare(JOB, 0) == place
    assert ctid not in {line.ctid for line in await containers.states()}
    new = NewContainer(ctid, settings, password=Secret("a root's password"))
    for _ in range(2):  # a run that was broken off afterwards repeats it
        await containers.create(JOB, new)
    await containers.discard(JOB)
    await containers.prepare(OTHER, 0)
    with pytest.raises(AlreadyThere):
        await containers.create(OTHER, new)
    await containers.sweep([OTHER])
    await containers.sweep([])
    await containers.discard(OTHER)


async def _change_off(containers: Containers, ctid: str) -> None:
    change = ContainerChange(
        memory_kb=48 * 1024,
        vcpulimit=50,
        nameservers=("10.99.0.1", "10.99.0.2"),
        searchdomains=("example.org",),
        onboot=True,
        password=Secret("another"),
    )
    for _ in range(2):
        await containers.configure(ctid, change)
    now = (await containers.find(ctid)).settings
    assert (now.memory_kb, now.vcpulimit, now.vcpus, now.onboot) == (48 * 1024, 50, 1, True)
    assert (now.nameservers, now.searchdomains) == (("10.99.0.1", "10.99.0.2"), ("example.org",))
    assert now.addresses == ("10.99.0.7",)


async def _change_running(containers: Containers, ctid: str) -> None:
    await containers.start(ctid)
    running = await containers.find(ctid)
    assert running.live is not None
    assert running.pid > 0
    assert (running.live.memory_kb, running.live.vcpulimit, running.live.vcpus) == (48 * 1024, 50, 1)
    with pytest.raises(FuncManError):
        await containers.destroy(ctid)
    change = ContainerChange(memory_kb=96 * 1024, vcpulimit=0)
    await containers.configure(ctid, change)
    assert await containers.set_live(ctid, change) == {}
    running = await containers.find(ctid)
    assert running.live is not None
    assert (running.live.memory_kb, running.live.vcpulimit) == (96 * 1024, 0)
    assert running.settings.memory_kb == 96 * 1024
    use = (await containers.use(ALL))[ctid]
    assert use.network is not None
    assert use.network.address == "10.99.0.7"
    assert use.memory is not None
    assert use.memory.total_kb == 96 * 1024
    assert (await containers.console(ctid))[0]


async def _state(guests: Guests[Any], key: str) -> str:
    (found,) = [state.state for state in await guests.states() if state.key == key]
    assert (await guests.find(key)).state == found
    return found
