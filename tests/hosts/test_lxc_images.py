"""Containers whose disks are images, on whatever file system this machine has."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oms.agent.guests.containers import ContainerChange, ContainerSettings, NewContainer
from oms.agent.guests.lxc import LxcContainers, images
from oms.agent.host import process
from oms.agent.ovz.handlers import parse_vm_settings, update_vm_settings
from oms.contract import ovz
from oms.contract.errors import FuncManError
from oms.contract.types import Secret
from tests.hosts import kvm_job, rootfs
from tests.hosts.containers import lxc, make
from tests.hosts.kvm_job import RehearsedJob
from tests.hosts.lxc_path import attached, end_all, lxc_path, unmount_all, why_not
from tests.small_disk import mounted
from tests.small_disk import why_not as why_no_disk

pytestmark = pytest.mark.hosts
MB = 1024
JOB = "0" * 31 + "7"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests beside these have mounts of their own, in which ours are for as long as they last."""
    monkeypatch.setattr(images, "USED_SECONDS", 60.0)


@pytest.fixture
async def containers() -> AsyncIterator[LxcContainers]:
    if reason := why_not() or why_no_disk():
        pytest.skip(reason)
    with lxc_path() as path:
        made = await lxc(path)
        assert made.capabilities.disk_limit in ("image", "subvolume")
        if made.capabilities.disk_limit == "subvolume":
            pytest.skip("containers are on btrfs with quotas here")
        yield made
        await made.close()


async def boxed(containers: LxcContainers, size_mb: int) -> Path:
    """A container with a disk of that size, off; its directory."""
    await make(containers, "7", ContainerSettings(disk_kb=size_mb * MB), disk_kb=size_mb * MB)
    return containers.home / "7"


def loops(path: Path) -> str:
    """The loop devices that hold anything there, deleted or not."""
    said = subprocess.run(["losetup", "--all"], check=True, capture_output=True, text=True).stdout
    return "".join(line for line in said.splitlines() if str(path) in line)


async def all_gone(path: Path) -> bool:
    """Whether no loop device holds anything there; a moment later, where another process of this machine that sees
    other mounts has begun meanwhile."""
    for _ in range(600):
        if not loops(path):
            return True
        await asyncio.sleep(0.1)
    return False


def change(size_mb: int) -> ContainerChange:
    return ContainerChange(disk_kb=size_mb * MB)


def umount(place: Path) -> None:
    """As if the host had gone down."""
    subprocess.run(["umount", place], check=True)


def may_grow_mounted() -> bool:
    """Whether the kernel lets this process do so (CAP_SYS_RESOURCE), as it lets root on any host."""
    (held,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff")]
    return bool(int(held.split()[1], 16) >> 24 & 1)


async def grown(containers: LxcContainers, size_mb: int) -> None:
    """While it runs, where that can be; else it is refused, and done while it is off."""
    if not may_grow_mounted():
        with pytest.raises(FuncManError, match="Permission denied"):
            await containers.configure("7", change(size_mb))
        await containers.stop("7")
    await containers.configure("7", change(size_mb))
    await containers.start("7")
    assert await containers.set_live("7", change(size_mb)) == {}


async def test_a_disk_has_its_size_and_grows_while_its_container_runs(containers: LxcContainers) -> None:
    place = await boxed(containers, 24)
    await containers.start("7")
    fill = ("/bin/sh", "-c", "dd if=/dev/zero of=/big bs=1M count=40 conv=fsync 2>&1; true")
    assert "No space left" in attached(containers.home, "7", *fill)
    use = (await containers.use(frozenset({"df"})))["7"]
    assert use.disk is not None
    assert use.disk.size_kb == 24 * MB
    assert 22 * MB < use.disk.used_kb <= 24 * MB
    with pytest.raises(FuncManError, match="smaller only while that is off"):
        await containers.configure("7", change(20))
    await grown(containers, 64)
    assert "No space left" not in attached(containers.home, "7", *fill)
    found = await containers.find("7")
    assert (found.settings.disk_kb, found.disk_limit, found.least_disk_kb) == (64 * MB, "image", 64 * MB)
    seen = attached(containers.home, "7", "/bin/sh", "-c", "ls -d /dev/loop* 2>/dev/null; ls -A /").split()
    assert seen == sorted([*rootfs.DIRECTORIES[:-1], "big"])
    assert (place / images.IMAGE).stat().st_mode & 0o777 == 0o600
    await containers.stop("7")
    await containers.destroy("7")
    assert await all_gone(containers.home)
    assert list((containers.home / ".staging").iterdir()) == []


async def test_what_is_deleted_in_it_is_the_hosts_again(containers: LxcContainers) -> None:
    place = await boxed(containers, 64)
    (place / "rootfs/large").write_bytes(os.urandom(30 * MB * 1024))
    await asyncio.to_thread(synced, place)
    assert taken(place) > 29 * MB * 1024
    (place / "rootfs/large").unlink()
    for _ in range(600):
        await asyncio.to_thread(synced, place)
        if taken(place) < 8 * MB * 1024:  # what is left are the journal and other tables
            break
        await asyncio.sleep(0.1)
    assert taken(place) < 8 * MB * 1024


def synced(place: Path) -> None:
    subprocess.run(["sync", "--file-system", place / "rootfs"], check=True)


def taken(place: Path) -> int:
    return (place / images.IMAGE).stat().st_blocks * 512


async def test_it_becomes_smaller_while_it_is_off_and_never_than_what_is_in_it(
    containers: LxcContainers, tmp_path: Path
) -> None:
    def host() -> Any:
        return replace(kvm_job.host(None, tmp_path, RehearsedJob()), containers=containers)

    async def asked(disk: str) -> Any:
        return await update_vm_settings(ovz.UpdateVmSettings("7", {"disk": disk}), host())

    place = await boxed(containers, 64)
    content = os.urandom(16 * MB * 1024)
    (place / "rootfs/large").write_bytes(content)
    shown = await parse_vm_settings(ovz.ParseVmSettings("7"), host())
    least = int(shown.min_disk)
    assert (shown.disk, 20 < least < 26, int(shown.max_disk) >= 64) == ("64", True, True)
    assert f"between {least} and" in (await asked(str(least - 1)))["disk"]
    assert "or 0" not in (await asked("0"))["disk"]
    assert await asked(str(least)) == {}
    assert (place / images.IMAGE).stat().st_size == least * MB * 1024
    assert (await containers.find("7")).settings.disk_kb == least * MB
    assert (place / "rootfs/large").read_bytes() == content
    assert not (place / "rootfs/lost+found").exists()
    await containers.start("7")
    assert "smaller only while it is off" in (await asked("16"))["disk"]
    await containers.stop("7")
    assert await asked("64") == {}
    assert (await parse_vm_settings(ovz.ParseVmSettings("7"), host())).disk == "64"


async def test_one_that_was_made_without_a_size_is_told_what_to_do(
    containers: LxcContainers, tmp_path: Path
) -> None:
    await make(containers, "7", ContainerSettings())
    host = replace(kvm_job.host(None, tmp_path, RehearsedJob()), containers=containers)
    refused = await update_vm_settings(ovz.UpdateVmSettings("7", {"disk": "64"}), host)
    assert "made without one" in refused["disk"]
    assert "template" in refused["disk"]
    assert await all_gone(containers.home)


async def test_it_is_there_again_after_the_host_has_booted(containers: LxcContainers) -> None:
    place = await boxed(containers, 16)
    (place / "rootfs/root/mark").write_text("kept")
    umount(place / "rootfs")
    assert (await containers.find("7")).rootfs is None
    by_hand = ["lxc-start", "-P", str(containers.home), "-n", "7", "-d"]
    await asyncio.to_thread(subprocess.run, by_hand, check=True, timeout=60)
    assert attached(containers.home, "7", "/bin/cat", "/root/mark") == "kept"
    await containers.stop("7")
    umount(place / "rootfs")
    many = await asyncio.gather(*(process.run(images.mounting(place), timeout=60) for _ in range(5)))
    assert [done.exit for done in many] == [0] * 5
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    assert mounts.count(str(place / "rootfs")) == 1
    umount(place / "rootfs")
    again = await lxc(containers.home)
    assert ((await again.find("7")).rootfs or Path()) == place / "rootfs"
    assert (place / "rootfs/root/mark").read_text() == "kept"
    await again.close()


@contextmanager
def mounts_of_its_own() -> Iterator[None]:
    """A process that keeps what is mounted now, whatever becomes of that."""
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 600"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


async def test_one_that_is_mounted_elsewhere_yet_is_not_looked_through(containers: LxcContainers) -> None:
    place = await boxed(containers, 32)
    with mounts_of_its_own():
        (place / "rootfs/root/first").write_text("kept")
        await asyncio.to_thread(synced, place)
        umount(place / "rootfs")
        await images.mount(place)
        assert (await containers.find("7")).rootfs == place / "rootfs"
        assert loops(place).count(images.IMAGE) == 1
        (place / "rootfs/root/second").write_text("kept")
        await asyncio.to_thread(synced, place)
        cut_off = place / "cut_off.img"  # what a host that loses its power now finds afterwards
        await asyncio.to_thread(shutil.copyfile, place / images.IMAGE, cut_off)
        assert b"recovering journal" in (await process.run(["fsck.ext4", "-p", str(cut_off)], timeout=60)).stdout
    await images.unmount(place)
    assert (await process.run(["fsck.ext4", "-f", "-n", str(place / images.IMAGE)], timeout=60)).exit == 0


async def test_what_was_prepared_when_the_host_went_down_is_made_whole(containers: LxcContainers) -> None:
    place = await containers.prepare(JOB, 16 * MB)
    assert list(place.iterdir()) == []
    rootfs.tiny(place, containers.capabilities.ids)
    umount(place)
    settings = ContainerSettings(disk_kb=16 * MB)
    await containers.create(JOB, NewContainer("7", settings, password=Secret("a root's password")))
    assert (containers.home / "7/rootfs/etc/shadow").read_text().startswith("root:$6$")
    await containers.prepare(JOB, 16 * MB)
    assert loops(containers.home).count(images.IMAGE) == 2
    await containers.discard(JOB)
    await containers.prepare(JOB, 16 * MB)
    assert await containers.sweep([]) == [containers.home / ".staging" / JOB]
    await containers.destroy("7")
    assert await all_gone(containers.home)


async def test_one_that_somebody_looks_into_is_deleted_all_the_same(
    containers: LxcContainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "USED_SECONDS", 0.2)
    place = await boxed(containers, 32)
    with (place / "rootfs/etc/passwd").open("rb"):
        with pytest.raises(FuncManError, match="in use on its host"):
            await containers.configure("7", change(16))
        assert images.device(place) is not None
        await containers.destroy("7")
        assert not place.exists()
    assert await all_gone(containers.home)


async def test_a_host_whose_disk_was_full_mends_it_at_the_next_start() -> None:
    if reason := why_not() or why_no_disk():
        pytest.skip(reason)
    with lxc_path() as outer, mounted(outer, 40) as home:  # the users of containers pass through here
        home.chmod(0o711)
        filler = home / "filler"
        filler.write_bytes(os.urandom(12 * MB * 1024))
        containers = await lxc(home)
        try:
            await boxed(containers, 96)
            await containers.start("7")
            said = written(home, 60)
            assert "No space left" in said or "Input/output" in said
            await containers.stop("7")
            filler.unlink()
            await containers.start("7")
            assert "error" not in written(home, 8)
            assert attached(home, "7", "/bin/cat", "/etc/os-release").startswith("NAME")
        finally:
            await asyncio.to_thread(end_all, home)
            unmount_all(home)
            await containers.close()


def written(home: Path, size_mb: int) -> str:
    """What is said of so much written in the container, and put on its disk."""
    fill = f"dd if=/dev/urandom of=/big bs=1M count={size_mb} conv=fsync 2>&1 || echo error"
    return attached(home, "7", "/bin/sh", "-c", fill)


async def test_a_running_one_holds_no_other_back(containers: LxcContainers) -> None:
    """What LXC takes along when a container starts, it lets go of."""
    await boxed(containers, 16)
    await make(containers, "8", ContainerSettings(disk_kb=16 * MB), disk_kb=16 * MB)
    await containers.start("8")
    await containers.destroy("7")
    assert await all_gone(containers.home / "7")
    assert await all_gone(containers.home / ".staging")
    assert loops(containers.home / "8") != ""


@pytest.mark.parametrize(("first", "second"), [(48, 24), (24, 48)])
def test_an_agent_killed_at_any_step_leaves_the_one_size_or_the_other(first: int, second: int) -> None:
    if reason := why_not() or why_no_disk():
        pytest.skip(reason)
    ended = []
    with lxc_path() as path:
        for point in range(1, 40):
            place = path / str(point)
            place.mkdir()
            content = os.urandom(2 * MB * 1024)
            asyncio.run(images.make(place, first * MB))
            (place / "rootfs/large").write_bytes(content)
            killed = _killed(lambda place=place: asyncio.run(images.resize(place, second * MB, runs=False)), point)  # type: ignore[misc]
            subprocess.run(["umount", place / "rootfs"], check=False, capture_output=True)
            asyncio.run(images.tidy(place))
            assert images.size_kb(place) in (first * MB, second * MB)
            assert (place / "rootfs/large").read_bytes() == content
            ended.append(images.size_kb(place) == second * MB)
            asyncio.run(images.resize(place, second * MB, runs=False))
            assert images.size_kb(place) == second * MB
            assert (place / "rootfs/large").read_bytes() == content
            assert not (place / images.HALF).exists()
            asyncio.run(images.unmount(place))
            check = ["fsck.ext4", "-f", "-n", str(place / images.IMAGE)]
            assert subprocess.run(check, check=False, capture_output=True).returncode == 0
            if not killed:
                break
        assert asyncio.run(all_gone(path))
    assert len(ended) > 4
    assert set(ended) == {False, True}


def _killed(work: Callable[[], None], point: int) -> bool:
    """Whether a process that does the work ended by a kill at that one of its steps."""
    child = os.fork()
    if child == 0:
        try:
            _stepwise(point)
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _stepwise(point: int) -> None:
    """Kill this process at a step: before a program is run, and before the size or name of a file changes."""
    left = [point]

    def before(work: Any) -> Any:
        def stepping(*args: Any, **more: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return work(*args, **more)

        return stepping

    patch = pytest.MonkeyPatch()
    patch.setattr(images, "run", before(process.run))
    patch.setattr(os, "truncate", before(os.truncate))
    patch.setattr(Path, "rename", before(Path.rename))
