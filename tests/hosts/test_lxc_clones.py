"""Templates where files can be copied by reference: unpacked once, and every container shares their room."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms.agent.rootfs import handlers
from oms.contract.ovz import templates
from tests.agent.rootfs.rig import Steady
from tests.agent.tarballs.trees import seen
from tests.hosts.kvm_job import Crash, RehearsedJob
from tests.hosts.lxc_path import lxc_path, why_not
from tests.hosts.test_lxc_templates import CHANGED, on, tar

pytestmark = pytest.mark.hosts
MIB = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A btrfs with quotas."""
    if reason := why_not():
        pytest.skip(reason)
    image = tmp_path / "btrfs.img"
    with image.open("wb") as file:
        file.truncate(400 * MIB)
    subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True, stdout=subprocess.DEVNULL)
    with lxc_path() as outer:  # the users of containers pass through here
        place = outer / "btrfs"
        place.mkdir()
        subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
        try:
            subprocess.run(["btrfs", "quota", "enable", str(place)], check=True)
            yield place
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def used(path: Path) -> int:
    os.sync()
    found = os.statvfs(path)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


async def test_a_template_is_unpacked_once_and_its_containers_share_its_room(tmp_path: Path, path: Path) -> None:
    async with on(tmp_path, path) as rig:
        (tmp_path / "source/large").write_bytes(os.urandom(30 * MIB))
        tar(tmp_path / "source", rig.shelf / "large.tar.zst")
        shown = await rig.parse("large")
        assert (int(shown.min_disk) > 40, shown.disk) == (True, shown.max_disk)
        before = used(path)
        for number in range(3):
            assert await rig.deploy({"disk": "80"}, "large", f"web{number}") == {}
        assert used(path) - before < 20 * MIB
        (unpacked,) = (path / ".templates").iterdir()
        first, second = seen((await rig.the("101"))[1]), seen((await rig.the("102"))[1])
        for name in CHANGED:
            first.pop(name), second.pop(name)
        assert first == second
        assert (unpacked / "large").stat().st_size == 30 * MIB
        assert oct(unpacked.parent.stat().st_mode) == "0o40700"
        await rig.containers.start("101")
        assert await rig.inside("101", "/bin/id", "-u") == "0"
        await handlers.delete_template(templates.DeleteTemplate("large"), rig.host(RehearsedJob()))
        assert not list((path / ".templates").iterdir())
        assert rig.left() == []


async def test_it_is_finished_wherever_it_was_broken_off(tmp_path: Path, path: Path) -> None:
    async with on(tmp_path, path) as rig:
        point = 0
        for point in range(1, 100):
            job = Steady(break_at=point)
            op = templates.DeployTemplateForVm("tiny", f"web{point}", {"vm_id": str(500 + point)})
            try:
                await handlers.deploy_template_for_vm(op, rig.host(job, crashy=True))
                break
            except Crash:
                assert await handlers.deploy_template_for_vm(op, rig.host(Steady(job.records))) == {}
            assert str(500 + point) in await rig.ids()
            assert rig.left() == []
        assert point > 8


async def test_a_container_that_runs_stands_still_only_while_its_files_are_copied(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on(tmp_path, path) as rig:
        assert await rig.deploy({}, vm_name="first") == {}
        await rig.containers.start("101")
        await rig.inside("101", "/bin/sh", "-c", "echo mine > /root/file")
        archives: list[int] = []
        resume = rig.containers.resume

        async def resuming(ctid: str) -> None:
            archives.append(len(list(rig.shelf.rglob("made.tar.zst"))))
            await resume(ctid)

        monkeypatch.setattr(rig.containers, "resume", resuming)
        assert await rig.pack("101", "made") == {}
        assert archives == [0]  # it went on before anything was packed
        assert (await rig.containers.find("101")).state == "running"
        assert await rig.deploy({}, "made", "second") == {}
        first, second = seen((await rig.the("101"))[1]), seen((await rig.the("102"))[1])
        for name in CHANGED:
            first.pop(name), second.pop(name)
        assert first == second
        assert rig.left() == []


async def test_packing_is_finished_wherever_it_was_broken_off(tmp_path: Path, path: Path) -> None:
    async with on(tmp_path, path) as rig:
        assert await rig.deploy({}, vm_name="first") == {}
        await rig.containers.start("101")
        point = 0
        for point in range(1, 100):
            job = Steady(break_at=point)
            op = templates.CreateTemplateFromVm("101", f"made{point}", {})
            try:
                await handlers.create_template_from_vm(op, rig.host(job, crashy=True))
                break
            except Crash:
                assert await handlers.create_template_from_vm(op, rig.host(Steady(job.records))) == {}
            assert (await rig.containers.find("101")).state == "running"
            assert (rig.shelf / f"made{point}.tar.zst").exists()
            assert rig.left() == []
        assert point > 10
