"""A host name and an address are one container's, of all that a host has: for settings, moves and deployments."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oms.agent.context import Host, Storage
from oms.agent.guests.containers import Containers, ContainerSettings, NewContainer
from oms.agent.leases import Leases
from oms.agent.ovz import taken
from oms.agent.ovz.handlers import update_vm_settings
from oms.agent.ovz.moving import passes, receiving
from oms.agent.ovz.moving.words import Offer
from oms.contract import ovz
from oms.contract.errors import FuncManError, OmsError
from oms.contract.internal import ReceiveContainer
from oms.contract.ovz.migration import OpenVZMigrationNotCapable
from tests.hosts.container_moves import CTID, SETTINGS, TwoHosts, side_has, side_runs
from tests.hosts.containers import make
from tests.hosts.kvm_job import RehearsedJob
from tests.hosts.lxc_path import lxc_path

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("rsync"), reason="needs root and rsync"),
]
WEB = ContainerSettings(hostname="web", memory_kb=64 * 1024, addresses=("10.97.3.1", "10.97.3.2", "fd97::3"))
MAIL = ContainerSettings(hostname="mail", memory_kb=64 * 1024, addresses=("10.97.3.9",))


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[TwoHosts]:
    with lxc_path() as here, lxc_path() as there:
        both = await TwoHosts.on(here, there, tmp_path)
        yield both
        await both.close()


class One:
    """One host, whose calls come by jobs of their own."""

    def __init__(self, containers: Containers, scratch: Path, leases: Leases | None = None) -> None:
        self.containers, self.leases, self._scratch, self._jobs = containers, leases or Leases(), scratch, 0

    def host(self, job: RehearsedJob | None = None) -> Host:
        self._jobs += 1
        job = job or RehearsedJob()
        job.id = f"{self._jobs:032x}"
        return replace(Host(Storage.below(self._scratch), None, job, self.leases), containers=self.containers)

    async def change(self, ctid: str, given: dict[str, Any], job: RehearsedJob | None = None) -> dict[str, str]:
        return await update_vm_settings(ovz.UpdateVmSettings(ctid, given), self.host(job))

    async def settings(self, ctid: str) -> ContainerSettings:
        return (await self.containers.find(ctid)).settings


async def test_settings_that_another_container_has_are_refused_whole(hosts: TwoHosts, tmp_path: Path) -> None:
    one = One(hosts.here, tmp_path)
    await make(hosts.here, "101", WEB)
    await make(hosts.here, "102", MAIL)
    before = await one.settings("102")
    for given, why in {
        "10.97.3.1": "IP address 10.97.3.1 is that of container 101: choose another",
        "10.97.3.9 10.97.3.2": "IP address 10.97.3.2 is that of container 101: choose another",
    }.items():
        assert await one.change("102", {"memory": "32", "ip_address": given}) == {"ip_address": why}
    assert await one.change("102", {"memory": "32", "hostname": "web"}) == {
        "hostname": "Container 101 is called 'web' already: choose another name"
    }
    assert await one.settings("102") == before
    assert await one.change("102", {"ip_address": "10.97.3.9 10.97.3.8", "hostname": "mail"}) == {}
    assert (await one.settings("102")).addresses == ("10.97.3.9", "10.97.3.8")


async def test_what_two_have_already_each_keeps(hosts: TwoHosts, tmp_path: Path) -> None:
    """They were made by other means; whoever sends a container's settings back as they are is not refused."""
    one = One(hosts.here, tmp_path)
    await make(hosts.here, "101", WEB)
    await make(hosts.here, "102", msgspec.structs.replace(WEB, memory_kb=0))
    same = {"hostname": "web", "ip_address": "10.97.3.2 10.97.3.1", "memory": "48"}
    assert await one.change("102", same) == {}
    assert (await one.settings("102")).memory_kb == 48 * 1024


@pytest.mark.parametrize("given", [{"hostname": "same"}, {"ip_address": "10.97.3.7"}])
async def test_of_two_calls_at_one_moment_one_gets_it(
    hosts: TwoHosts, tmp_path: Path, given: dict[str, str]
) -> None:
    one = One(hosts.here, tmp_path)
    await make(hosts.here, "101", WEB)
    await make(hosts.here, "102", MAIL)
    before = {ctid: await one.settings(ctid) for ctid in ("101", "102")}
    answers = await asyncio.gather(one.change("101", given), one.change("102", given))
    (name,) = given
    ((refused, why),) = [(ctid, answer) for ctid, answer in zip(before, answers, strict=True) if answer]
    assert "just being given" in why[name] or "ontainer 10" in why[name]
    assert await one.settings(refused) == before[refused]
    (other,) = before.keys() - {refused}
    assert f"ontainer {other}" in (await one.change(refused, given))[name]
    assert one.leases.held("") == 0


async def test_a_change_that_was_broken_off_is_finished_and_nobody_gets_it_meanwhile(
    hosts: TwoHosts, tmp_path: Path
) -> None:
    one = One(hosts.here, tmp_path)
    await make(hosts.here, "101", WEB)
    await make(hosts.here, "102", MAIL)
    resumed = RehearsedJob({"accepted": '"102"'})
    given = {"ip_address": "10.97.3.7"}
    assert await one.change("102", given, resumed) == {}
    assert (await one.settings("102")).addresses == ("10.97.3.7",)
    assert "container 102" in (await one.change("101", given))["ip_address"]


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        ({"hostname": SETTINGS.hostname}, f"Container 101 is called '{SETTINGS.hostname}' already"),
        ({"addresses": ("10.97.3.1", "10.97.3.5")}, "IP address 10.97.3.5 is that of container 101"),
    ],
)
async def test_a_move_to_a_host_that_has_its_name_or_address_is_refused_before_anything_is_copied(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch, theirs: dict[str, Any], why: str
) -> None:
    async def sent(*_: Any) -> None:
        raise AssertionError("something was copied")

    monkeypatch.setattr(passes, "send", sent)
    await make(hosts.there, "101", msgspec.structs.replace(WEB, **theirs))
    await hosts.make(msgspec.structs.replace(SETTINGS, addresses=("10.97.3.4", "10.97.3.5")))
    with pytest.raises(OpenVZMigrationNotCapable) as refused:
        await hosts.move()
    assert refused.value.message == (
        f"The container cannot come to that host: {why}. Give one of them another with update_vm_settings first"
    )
    assert refused.value.data == {"host": "target", "reason": "already_there"}
    assert isinstance(await hosts.settled(), OmsError)
    assert await side_runs(hosts.here)
    assert not await side_has(hosts.there)
    assert [*hosts.there.home.glob(".staging/*")] == []
    await hosts.unmake()


async def test_what_is_on_its_way_has_its_name_and_addresses_over_there_already(
    hosts: TwoHosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = One(hosts.there, tmp_path, hosts.leases_there)
    comes, goes_on = asyncio.Event(), asyncio.Event()
    send = passes.send

    async def held_up(*args: Any) -> None:
        comes.set()
        await goes_on.wait()
        await send(*args)

    monkeypatch.setattr(passes, "send", held_up)
    await make(hosts.there, "101", WEB)
    await hosts.make(msgspec.structs.replace(SETTINGS, addresses=("10.97.3.4", "10.97.3.5")))
    moving = asyncio.create_task(hosts.move())
    async with asyncio.timeout(60):
        await comes.wait()
    refused = await there.change("101", {"hostname": SETTINGS.hostname, "ip_address": "10.97.3.1 10.97.3.5"})
    assert refused == {
        "hostname": f"A container is just being given the name '{SETTINGS.hostname}': choose another name",
        "ip_address": "IP address 10.97.3.5 is just being given to a container: choose another",
    }
    assert CTID in (await taken.taken(there.host(), hosts.there)).ids, "no template is deployed as that"
    goes_on.set()
    assert await moving == 0
    assert await hosts.settled() is None
    assert await side_runs(hosts.there)
    assert hosts.leases_there.held("") == 0
    await hosts.unmake()


async def test_it_is_held_again_by_the_agent_that_goes_on_with_a_move(
    hosts: TwoHosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, held = One(hosts.there, tmp_path, hosts.leases_there), []

    async def looked(job: str, new: NewContainer) -> None:
        held.append(hosts.leases_there.names(""))
        raise FuncManError(f"Container {new.ctid} is not made here")

    monkeypatch.setattr(hosts.there, "create", looked)
    offer = Offer(SETTINGS, "", "", used_kb=1, memory_kb=0, runs=False)
    coming = json.dumps(msgspec.to_builtins(receiving.Coming(offer, "")))
    host = there.host(RehearsedJob({"coming": coming, "whole": "true", "committed": "true"}))
    with pytest.raises(FuncManError, match="is not made here"):
        await receiving.receive_container(
            ReceiveContainer(CTID, "a" * 32, ""), replace(host, passages=hosts.coming)
        )
    assert held == [{f"container/{CTID}", f"hostname/{SETTINGS.hostname}"}]
    assert hosts.leases_there.held("") == 0
