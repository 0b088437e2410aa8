"""Containers of OpenVZ's kernel that vzmigrate takes from one host to another, each step of it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oms.agent.guests.containers import ContainerSettings, NewContainer
from oms.agent.guests.vzctl import VzContainers
from oms.agent.ovz.moving.leaving import migrate_vm
from oms.contract.errors import JobInterrupted, NoSuchContainer
from oms.contract.ovz.migration import MigrateVm, OpenVZMigrationNotCapable
from tests.agent.guests.vzctl.openvz_host import containers_of, furnish
from tests.hosts.kvm_job import RehearsedJob, host
from tests.waiting import eventually

MOVE = MigrateVm("101", "there.example.org")


class Two:
    """Two hosts, the second of which lets the first one's root in; container 101 runs on the first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("here", "there"):
            furnish(root / name)
        (root / "here/hosts").mkdir()
        (root / "here/hosts/there.example.org").symlink_to(root / "there")
        self.here, self.there = (containers_of(root / name, sends=True) for name in ("here", "there"))

    async def where(self) -> list[str]:
        """Where the container is, and how."""
        found = []
        for name, containers in (("here", self.here), ("there", self.there)):
            found += [f"{state.state} {name}" for state in await containers.states() if state.ctid == "101"]
        return found

    async def move(self, job: RehearsedJob | None = None, containers: VzContainers | None = None) -> int:
        """By the handler, as its job."""
        its = host(None, self.root / "images", job, containers=containers or self.here)
        return await migrate_vm(MOVE, its)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    made = Two(tmp_path)
    root = await made.here.prepare("0" * 32, 0)
    (root / "a file").write_text("its words")
    await made.here.create("0" * 32, NewContainer("101", ContainerSettings(hostname="box")))
    await made.here.discard("0" * 32)
    await made.here.start("101")
    yield made
    for containers in (made.here, made.there):
        await containers.close()


async def test_it_runs_over_there_and_is_here_no_more(two: Two) -> None:
    job = RehearsedJob()
    assert await two.move(job) == 0
    assert await two.where() == ["running there"]
    assert (two.root / "there/private/101/a file").read_text() == "its words"
    assert job.notes == {"target": "there.example.org", "vzmigrate": "Starting container"}


async def test_one_that_is_off_stays_off(two: Two) -> None:
    await two.here.stop("101")
    await two.move()
    assert await two.where() == ["shutdown there"]


async def refused(two: Two, words: str, containers: VzContainers | None = None) -> OpenVZMigrationNotCapable:
    """It stays as it was."""
    before = await two.where()
    with pytest.raises(OpenVZMigrationNotCapable, match=words) as told:
        await two.move(containers=containers)
    assert await two.where() == before
    return told.value


async def test_what_vzmigrate_refuses_stays_as_it_was(two: Two) -> None:
    not_set = containers_of(two.root / "here")
    assert (await refused(two, "container_vzmigrate", not_set)).data["host"] == "source"
    (two.root / "here/refuses").touch()
    assert (await refused(two, "Failed to start")).data["host"] == "target"
    (two.root / "here/hosts/there.example.org").unlink()
    assert (await refused(two, "cannot log in at there.example.org")).data["reason"] == "host_unavailable"


async def test_an_id_that_is_taken_over_there_is_told(two: Two) -> None:
    await two.there.prepare("1" * 32, 0)
    await two.there.create("1" * 32, NewContainer("101", ContainerSettings()))
    assert (await refused(two, "already")).data["reason"] == "already_there"


async def test_one_that_stands_still_or_is_not_there_stays(two: Two) -> None:
    await two.here.pause("101")
    assert (await refused(two, "resume_vm")).data["host"] == "source"
    await two.here.stop("101")
    await two.here.destroy("101")
    with pytest.raises(NoSuchContainer):
        await two.move()


async def test_where_it_may_run_over_there_nothing_is_started_here(two: Two) -> None:
    (two.root / "here/breaks").touch()
    with pytest.raises(JobInterrupted, match=r"Look at list_vms of there.example.org"):
        await two.move()
    assert await two.where() == ["shutdown here", "running there"]


async def test_one_that_has_left_before_an_error_is_said_to_be_over_there(two: Two) -> None:
    (two.root / "here/complains").touch()
    with pytest.raises(JobInterrupted) as told:
        await two.move()
    words = "Container 101 has left this host for there.example.org"
    assert told.value.message.startswith(words)
    assert "Failed to release the lock. Look at list_vms of there.example.org" in told.value.message
    assert told.value.data == {"container": "101", "target": "there.example.org"}
    assert await two.where() == ["running there"]


async def test_an_agent_that_was_killed_finds_out_what_became_of_it(two: Two) -> None:
    began = {"ran": "true"}
    with pytest.raises(JobInterrupted, match="it runs here, as before"):
        await two.move(RehearsedJob(dict(began)))
    await two.move()
    assert await two.move(RehearsedJob(dict(began))) == 0
    assert await two.where() == ["running there"]


async def test_a_vzmigrate_of_an_earlier_agent_is_waited_for(two: Two) -> None:
    """As the kernel tells of it: its arguments."""
    words = [sys.executable, "-S", "/usr/sbin/vzmigrate", "-r", "yes", "there.example.org", "101"]
    process = two.root / "here/proc/4711"
    process.mkdir()
    (process / "cmdline").write_bytes(b"\0".join(word.encode() for word in words) + b"\0")
    assert not await two.here.is_sending("10")
    job = RehearsedJob({"ran": "true"})
    moving = asyncio.create_task(two.move(job))
    await eventually(lambda: "waits" in job.notes)
    await two.here.send("101", "there.example.org", lambda _: None)
    (process / "cmdline").unlink()
    assert await moving == 0
