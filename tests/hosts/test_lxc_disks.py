"""Containers on a btrfs of a test's own, each held to a size of its own."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from oms.agent.guests.containers import ContainerChange, ContainerSettings
from oms.agent.guests.lxc import LxcContainers, images
from oms.agent.guests.lxc.disks import parsed
from oms.contract.errors import FuncManError
from tests.hosts.containers import lxc, make
from tests.hosts.loop_device import loop_device
from tests.hosts.lxc_path import attached, end_all, lxc_path

pytestmark = pytest.mark.hosts
MB = 1024


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with lxc_path() as made, loop_device(tmp_path, 160) as device:
        subprocess.run(["mkfs.btrfs", "-q", device], check=True)
        subprocess.run(["mount", device, made], check=True)
        try:
            subprocess.run(["btrfs", "quota", "enable", made], check=True)
            made.chmod(0o711)
            yield made
        finally:
            end_all(made)
            subprocess.run(["umount", made], check=True)


@pytest.fixture
async def containers(path: Path) -> AsyncIterator[LxcContainers]:
    made = await lxc(path)
    yield made
    await made.close()


def btrfs(*words: str) -> str:
    return subprocess.run(["btrfs", *words], check=True, capture_output=True, text=True).stdout


async def test_a_disk_has_its_size_which_changes_while_it_runs(containers: LxcContainers) -> None:
    assert containers.capabilities.disk_limit == "subvolume"
    await make(containers, "7", ContainerSettings(disk_kb=16 * MB), disk_kb=16 * MB)
    await containers.start("7")
    fill = ("/bin/sh", "-c", "dd if=/dev/zero of=/big bs=1M count=24 conv=fsync 2>&1; true")
    assert "quota" in attached(containers.home, "7", *fill).lower()
    use = (await containers.use(frozenset({"df"})))["7"]
    assert use.disk is not None
    assert use.disk.size_kb == 16 * MB
    assert 8 * MB < use.disk.used_kb <= 16 * MB
    await containers.configure("7", ContainerChange(disk_kb=64 * MB))
    assert await containers.set_live("7", ContainerChange(disk_kb=64 * MB)) == {}
    assert "quota" not in attached(containers.home, "7", *fill).lower()
    found = await containers.find("7")
    assert (found.settings.disk_kb, found.disk_limit) == (64 * MB, "subvolume")
    btrfs("subvolume", "create", str(containers.home / "7/rootfs/own"))
    await containers.stop("7")
    await containers.destroy("7")
    assert btrfs("subvolume", "list", str(containers.home)) == ""


async def test_without_quotas_a_disk_of_a_size_is_an_image(
    containers: LxcContainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    btrfs("quota", "disable", str(containers.home))
    without = await lxc(containers.home)
    assert without.capabilities.disk_limit == "image"
    monkeypatch.setattr(images, "PROGRAMS", ("mkfs.ext4", "no-such-program"))
    without = await lxc(containers.home)
    assert without.capabilities.disk_limit == ""
    assert "no-such-program is not installed" in without.capabilities.why_no_disk_limit
    await make(without, "8", ContainerSettings())
    with pytest.raises(FuncManError, match="hold this container's disk"):
        await without.configure("8", ContainerChange(disk_kb=16 * MB))


def test_the_table_of_quotas_is_read() -> None:
    table = "qgroupid         rfer         excl     max_rfer \n--------         ----         ----     -------- \n"
    table += "0/5             16384        16384         none \n0/256       1048576      1048576      2097152 \n"
    sizes = {number: (use.used_kb, use.size_kb) for number, use in parsed(table).items()}
    assert sizes == {5: (16, 0), 256: (1024, 2048)}
