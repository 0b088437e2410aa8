"""Container templates with real containers: a tiny system for most, a Debian for one."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oms.agent.guests.containers import Container
from oms.agent.guests.lxc import LxcContainers
from oms.agent.rootfs import handlers
from oms.contract.errors import FuncManError, NoSpace
from oms.contract.ovz import templates
from tests.agent.rootfs.rig import Rig, Steady
from tests.agent.tarballs.trees import seen
from tests.hosts import rootfs
from tests.hosts.containers import lxc as begun
from tests.hosts.kvm_job import Crash
from tests.hosts.lxc_path import attached, end_all, lxc_path, why_not
from tests.small_disk import mounted

pytestmark = pytest.mark.hosts
CHANGED = ("etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/shadow", "etc", ".")
"""What belongs to a container itself, and is written when it is made."""


class Lxc(Rig):
    """The containers are real, below a path of their own."""

    def __init__(self, directory: Path, containers: LxcContainers) -> None:
        super().__init__(directory)
        self.containers = containers

    async def the(self, ctid: str) -> tuple[Container, Path]:
        found = await self.containers.find(ctid)
        assert found.rootfs is not None
        return found, found.rootfs

    async def inside(self, ctid: str, *command: str) -> str:
        return await asyncio.to_thread(attached, self.containers.home, ctid, *command)


def tar(source: Path, target: Path) -> None:
    """As other programs pack a system."""
    options = ["--numeric-owner", "--xattrs", "--xattrs-include=user.*", "--zstd"]
    subprocess.run(["tar", "-C", source, *options, "-cf", target, "."], check=True)


@contextlib.asynccontextmanager
async def on(directory: Path, path: Path) -> AsyncIterator[Lxc]:
    """Containers below that path, and templates: one of them, `tiny`, as debootstrap's users make theirs."""
    containers = await begun(path)
    rig = Lxc(directory, containers)
    source = rootfs.tiny(directory / "source")
    (source / "bin/busybox").chmod(0o4755)
    (source / "etc/second").hardlink_to(source / "etc/passwd")
    os.setxattr(source / "etc/group", "user.note", b"kept")
    tar(source, rig.shelf / "tiny.tar.zst")
    try:
        yield rig
    finally:
        await asyncio.to_thread(end_all, path)
        await containers.close()


@pytest.fixture
async def lxc(tmp_path: Path) -> AsyncIterator[Lxc]:
    with lxc_path() as path:
        async with on(tmp_path, path) as rig:
            yield rig


async def test_a_container_of_a_template_runs_as_it_was_asked_for(lxc: Lxc) -> None:
    given = {"memory": "64", "vcpulimit": "50", "nameserver": "192.0.2.1", "searchdomain": "example.com",
             "passwd": "s3cret", "onboot": "yes", "vm_id": "4242"}  # fmt: skip
    assert await lxc.deploy(given, vm_name="web.example.com") == {}
    made, files = await lxc.the("4242")
    assert (made.settings.memory_kb, made.settings.vcpulimit, made.settings.onboot) == (64 * 1024, 50, True)
    assert made.ours
    assert "nameserver 192.0.2.1" in (files / "etc/resolv.conf").read_text()
    assert (files / "etc/shadow").read_text().startswith("root:$6$")
    await lxc.containers.start("4242")
    assert await lxc.inside("4242", "/bin/hostname") == "web.example.com"
    assert await lxc.inside("4242", "/bin/id", "-u") == "0"
    assert await lxc.inside("4242", "/bin/cat", "/etc/second") == "root:x:0:0:root:/root:/bin/sh"
    if made.ids:
        assert files.stat().st_uid == made.ids[0].outside


async def test_a_container_of_a_running_containers_template_is_equal_to_it(lxc: Lxc) -> None:
    assert await lxc.deploy({}, vm_name="first") == {}
    await lxc.containers.start("101")
    await lxc.inside("101", "/bin/sh", "-c", "echo here > /root/mine; /bin/busybox ln -s /etc/shadow /root/link")
    await lxc.inside("101", "/bin/sh", "-c", "/bin/busybox mkfifo /root/pipe; /bin/busybox chown 33:44 /root/mine")
    states: list[str] = []
    end = lxc.containers.on_change(lambda change: states.append(change.what))
    assert await lxc.pack("101", "packed") == {}
    end()
    assert (await lxc.containers.find("101")).state == "running"
    assert await lxc.inside("101", "/bin/cat", "/root/mine") == "here"
    assert await lxc.deploy({}, "packed", "second") == {}
    first, second = seen((await lxc.the("101"))[1]), seen((await lxc.the("102"))[1])
    for path in CHANGED:
        first.pop(path), second.pop(path)
    assert second == first
    assert first["bin/busybox"][0] == "-rwsr-xr-x"
    await lxc.containers.start("102")
    assert await lxc.inside("102", "/bin/hostname") == "second"


async def test_a_container_with_a_disk_of_its_own_is_a_template_as_others_are(lxc: Lxc) -> None:
    if lxc.containers.capabilities.disk_limit != "image":
        pytest.skip("a disk of a size is no image here")
    shown = await lxc.parse()
    assert (shown.disk, int(shown.min_disk) >= 16, int(shown.max_disk) > 64) == ("0", True, True)
    assert f"between {shown.min_disk} and" in str(await lxc.deploy({"disk": "1"}))
    assert await lxc.deploy({"disk": "48"}, vm_name="first") == {}
    await lxc.containers.start("101")
    await lxc.inside("101", "/bin/sh", "-c", "echo here > /root/mine; /bin/busybox chown 33:44 /root/mine")
    assert await lxc.pack("101", "packed") == {}
    assert (await lxc.containers.find("101")).state == "running"
    assert await lxc.deploy({"disk": "32"}, "packed", "second") == {}
    first, second = seen((await lxc.the("101"))[1]), seen((await lxc.the("102"))[1])
    for path in CHANGED:
        first.pop(path), second.pop(path)
    assert second == first
    assert (await lxc.the("102"))[0].settings.disk_kb == 32 * 1024
    await lxc.containers.start("102")
    assert await lxc.inside("102", "/bin/hostname") == "second"
    assert await lxc.ids() == ["101", "102"]
    assert lxc.left() == []


async def test_a_full_disk_leaves_no_container(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    with mounted(tmp_path, 24) as path:
        path.chmod(0o711)
        async with on(tmp_path, path) as rig:
            (tmp_path / "source/large").write_bytes(os.urandom(40 * 1024 * 1024))
            tar(tmp_path / "source", rig.shelf / "large.tar.zst")
            with pytest.raises(NoSpace):
                await rig.deploy({}, "large")
            await rig.parse()
            filler = path / "filler"
            filler.write_bytes(bytes((os.statvfs(path).f_bavail - 200) * os.statvfs(path).f_frsize))
            with pytest.raises(FuncManError) as full:
                await rig.deploy({})
            assert isinstance(full.value, NoSpace)
            assert await rig.ids() == rig.left() == []


async def test_it_is_finished_wherever_it_was_broken_off(lxc: Lxc) -> None:
    await lxc.parse()
    limit = lxc.containers.capabilities.disk_limit
    point = 0
    for point in range(1, 100):
        job = Steady(break_at=point)
        given: dict[str, str | int] = {"vm_id": 500 + point, "disk": 32 if limit else 0}
        op = templates.DeployTemplateForVm("tiny", f"web{point}", given)
        try:
            await handlers.deploy_template_for_vm(op, lxc.host(job, crashy=True))
            break
        except Crash:
            assert await handlers.deploy_template_for_vm(op, lxc.host(Steady(job.records))) == {}
        assert str(500 + point) in await lxc.ids()
        assert (await lxc.the(str(500 + point)))[0].disk_limit == limit
        assert lxc.left() == []
    assert point > 8


async def test_a_debian_is_deployed_starts_and_answers(lxc: Lxc) -> None:
    (lxc.shelf / "debian-12.tar.gz").symlink_to(rootfs.debian())
    with pytest.raises(FuncManError):  # a link is none of ours to follow
        await lxc.parse("debian-12")
    (lxc.shelf / "debian-12.tar.gz").unlink()
    os.link(rootfs.debian(), lxc.shelf / "debian-12.tar.gz") if same_disk(lxc) else copied(lxc)
    shown = await lxc.parse("debian-12", "deb")
    assert int(shown.min_disk) == 0 or int(shown.min_disk) > 200
    assert await lxc.deploy({"passwd": "s3cret"}, "debian-12", "deb") == {}
    await lxc.containers.start("101")
    assert "bookworm" in await lxc.inside("101", "/bin/cat", "/etc/os-release")
    assert await lxc.inside("101", "/usr/bin/stat", "-c", "%u %a", "/usr/bin/passwd") == "0 4755"
    running = ""
    for _ in range(600):
        running = await lxc.inside("101", "/bin/sh", "-c", "ps -e -o comm=")
        if "sshd" in running.split():
            break
        await asyncio.sleep(0.1)
    assert "sshd" in running.split()
    await lxc.containers.ask_off("101")
    assert await lxc.containers.goes_off("101", seconds=60)


def same_disk(lxc: Lxc) -> bool:
    return rootfs.debian().stat().st_dev == lxc.shelf.stat().st_dev


def copied(lxc: Lxc) -> None:
    subprocess.run(["cp", rootfs.debian(), lxc.shelf / "debian-12.tar.gz"], check=True)
