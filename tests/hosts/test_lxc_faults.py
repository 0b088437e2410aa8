"""Changes of containers that are broken off at every step, and what is left of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oms.agent.context import Host, Offer
from oms.agent.guests.containers import ContainerSettings
from oms.agent.guests.lxc import LxcContainers, programs
from oms.agent.ovz.handlers import delete_vm, start_vm, stop_vm, update_vm_settings
from oms.agent.ovz.power import reboot_vm
from oms.contract import ovz
from oms.contract.errors import FuncManError, NoSuchContainer
from oms.contract.ovz import power
from tests.hosts import kvm_job, rootfs
from tests.hosts.containers import lxc, make
from tests.hosts.kvm_job import Crash, Crashy, RehearsedJob
from tests.hosts.lxc_path import lxc_path

pytestmark = pytest.mark.hosts
SMALL = ContainerSettings(memory_kb=64 * 1024, vcpus=1)
CHANGES = {"start", "stop", "ask_off", "goes_off", "pause", "resume", "configure", "set_live", "destroy"}


@pytest.fixture
async def containers() -> AsyncIterator[LxcContainers]:
    with lxc_path() as path:
        made = await lxc(path)
        yield made
        await made.close()


def host(containers: Any, job: RehearsedJob, tmp_path: Path, seconds: float = 5.0) -> Host:
    given = kvm_job.host(None, tmp_path, job)
    return replace(given, containers=containers, offer=Offer(container_stop_seconds=seconds))


async def everywhere(
    run: Callable[[Host], Awaitable[object]],
    containers: LxcContainers,
    tmp_path: Path,
    before: Callable[[], Awaitable[object]],
    after: Callable[[], Awaitable[object]],
) -> int:
    """Crash at each step of `run` in turn, and have a second run finish it; how many steps there were."""
    for point in range(1, 50):
        await before()
        job, broken = RehearsedJob(break_at=point), True
        try:
            await run(host(Crashy(containers, job, CHANGES), job, tmp_path))
            broken = False
        except Crash:
            await run(host(containers, RehearsedJob(job.records), tmp_path))
        await after()
        if not broken:
            return point - 1
    raise AssertionError("it never came to its end")


async def test_every_change_is_finished_after_a_crash_at_any_step(
    containers: LxcContainers, tmp_path: Path
) -> None:
    async def runs() -> None:
        await containers.start("7")

    async def off() -> None:
        await containers.stop("7")

    async def is_off() -> None:
        assert not (await containers.find("7")).runs

    async def is_on() -> None:
        assert (await containers.find("7")).state == "running"

    async def was() -> None:
        await containers.stop("7")
        await update_vm_settings(update("32"), host(containers, RehearsedJob(), tmp_path))
        await containers.start("7")

    async def is_changed() -> None:
        now = await containers.find("7")
        assert now.live is not None
        assert now.live.memory_kb == now.settings.memory_kb == 48 * 1024

    def update(memory: str) -> ovz.UpdateVmSettings:
        return ovz.UpdateVmSettings(7, {"memory": memory, "password": "p"})

    await make(containers, "7", SMALL)
    stop, start, reboot = ovz.StopVm(7), ovz.StartVm("7"), power.RebootVm(7)
    assert await everywhere(lambda at: stop_vm(stop, at), containers, tmp_path, runs, is_off) >= 4
    assert await everywhere(lambda at: start_vm(start, at), containers, tmp_path, off, is_on) >= 2
    assert await everywhere(lambda at: reboot_vm(reboot, at), containers, tmp_path, runs, is_on) >= 8
    assert (
        await everywhere(lambda at: update_vm_settings(update("48"), at), containers, tmp_path, was, is_changed)
        >= 6
    )
    await containers.stop("7")


async def test_a_container_is_deleted_whole_whenever_the_agent_crashes(
    containers: LxcContainers, tmp_path: Path
) -> None:
    async def before() -> None:
        await make(containers, "8", SMALL)
        await containers.start("8")

    async def after() -> None:
        with pytest.raises(NoSuchContainer):
            await containers.find("8")
        await containers.sweep([])
        assert sorted(place.name for place in containers.home.rglob("*")) == [".booted", ".staging"]

    delete = ovz.DeleteVm(8)
    assert await everywhere(lambda at: delete_vm(delete, at), containers, tmp_path, before, after) >= 6


async def test_what_a_job_prepared_and_did_not_finish_is_swept(containers: LxcContainers) -> None:
    rootfs.tiny(await containers.prepare("a" * 32, 0), containers.capabilities.ids)
    await containers.prepare("b" * 32, 0)
    assert [place.name for place in await containers.sweep(["a" * 32])] == ["b" * 32]
    assert (containers.home / ".staging" / ("a" * 32) / "rootfs/sbin/init").exists()
    assert await containers.states() == []
    await containers.discard("a" * 32)
    await containers.discard("a" * 32)


async def test_a_container_that_cannot_start_says_why_and_leaves_nothing(containers: LxcContainers) -> None:
    await make(containers, "9", SMALL)
    (containers.home / "9/rootfs/sbin/init").unlink()
    with pytest.raises(FuncManError, match="Container 9 does not start"):
        await containers.start("9")
    assert not (await containers.find("9")).runs


async def test_who_else_is_on_the_host_cannot_reach_a_containers_files(containers: LxcContainers) -> None:
    await make(containers, "10", SMALL)
    place = (containers.home / "10").stat()
    assert place.st_mode & 0o7 == 0
    assert place.st_gid == next(part.outside for part in containers.capabilities.ids if part.kind == "group")
    assert (containers.home / "10/config").stat().st_mode & 0o7 == 0
    assert (containers.home / ".staging").stat().st_mode & 0o77 == 0


async def test_where_systemd_runs_a_container_is_a_unit_of_it(
    containers: LxcContainers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A double of systemd's programs: it runs what it is told to, as a child of nobody's."""
    asked, active = tmp_path / "asked", tmp_path / "active"
    run, ctl = tmp_path / "systemd-run", tmp_path / "systemctl"
    run.write_text(
        f'#!/bin/sh\necho "$@" >>{asked}\nwhile [ "$1" != -- ]; do shift; done; shift\n'
        f'setsid sh -c \'touch {active}; "$@"; rm {active}\' sh "$@" </dev/null >/dev/null 2>&1 &\n'
        f"while [ ! -e {active} ]; do sleep 0.01; done\n"
    )
    ctl.write_text(f"#!/bin/sh\nexec test -e {active}\n")
    for program in (run, ctl):
        program.chmod(0o755)
    monkeypatch.setattr(programs, "SYSTEMD", tmp_path)
    monkeypatch.setattr(programs, "SYSTEMD_RUN", str(run))
    monkeypatch.setattr(programs, "SYSTEMCTL", str(ctl))
    await make(containers, "11", SMALL)
    await containers.start("11")
    assert (await containers.find("11")).state == "running"
    assert "--unit=oms-container-11-" in asked.read_text()
    await containers.stop("11")
    assert not (await containers.find("11")).runs
    (containers.home / "11/rootfs/sbin/init").unlink()
    with pytest.raises(FuncManError, match="Container 11 does not start"):
        await containers.start("11")
