"""LVMService on a real volume group: real vgdisplay, lvcreate, lvremove, on a loop device."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from oms.agent.context import Host
from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.lvm import handlers
from oms.contract import lvm
from oms.contract.errors import AlreadyThere, FuncManError, InUse, NoSpace, NotSupported, NotThere
from tests.hosts import kvm_job
from tests.hosts.kvm_job import Crash, Crashy, RehearsedJob
from tests.hosts.kvm_machines import small_xml
from tests.hosts.volume_groups import VolumeGroup, has_device_mapper, volume_group

MIB = 1024 * 1024


@pytest.fixture
def group(real_parts: None, tmp_path: Path) -> Iterator[VolumeGroup]:
    with volume_group(tmp_path) as made:
        yield made


MakeHost = Callable[..., Host]


@pytest.fixture
def host(group: VolumeGroup, tmp_path: Path) -> MakeHost:
    def make(job: RehearsedJob | None = None, machines: Any = None) -> Host:
        return dataclasses.replace(kvm_job.host(machines, tmp_path / "images", job), lvm=group.lvm)

    return make


async def names(group: VolumeGroup) -> dict[str, int]:
    """Names and MB of what LVM itself says is there."""
    return {volume.name: volume.size_bytes // MIB for volume in await group.lvm.volumes()}


async def test_a_group_and_its_volumes_are_listed_in_the_words_of_lvm(host: MakeHost, group: VolumeGroup) -> None:
    assert await handlers.list_lv(lvm.ListLv(), host()) == []
    assert await handlers.create_lv(lvm.CreateLv(group.name, "openfiler", 10), host()) == 0
    (lines,) = await handlers.list_vg(lvm.ListVg(), host())
    assert lines[0] == ["VG", "Name", group.name]
    assert ["Cur", "LV", "1"] in lines
    assert [line[:2] for line in lines][-1] == ["VG", "UUID"]
    (lines,) = await handlers.list_lv(lvm.ListLv(), host())
    assert ["LV", "Name", "openfiler"] in lines
    assert ["VG", "Name", group.name] in lines
    assert ["LV", "Size", "12.00", "MiB"] in lines


async def test_a_volume_is_made_rounded_up_and_removed(host: MakeHost, group: VolumeGroup) -> None:
    job = RehearsedJob()
    assert await handlers.create_lv(lvm.CreateLv(group.name, "a", 5), host(job)) == 0
    assert await names(group) == {"a": 8}
    assert job.notes["size"] == "8 MB"
    assert await handlers.delete_lv(lvm.DeleteLv(group.name, "a"), host(RehearsedJob())) == 0
    assert await names(group) == {}


async def test_what_cannot_be_is_refused_by_name_and_nothing_changes(host: MakeHost, group: VolumeGroup) -> None:
    await handlers.create_lv(lvm.CreateLv(group.name, "a", 8), host())
    other = RehearsedJob()
    other.id = "f" * 32
    for wanted, error in (
        (lvm.CreateLv(group.name, "a", 4), AlreadyThere),
        (lvm.CreateLv("no-such-group", "b", 4), NotThere),
        (lvm.CreateLv(group.name, "b", 61), NoSpace),
        (lvm.CreateLv(group.name, "pvmove1", 4), FuncManError),
    ):
        with pytest.raises(error):
            await handlers.create_lv(wanted, host(other))
    with pytest.raises(NotThere, match="there are a"):
        await handlers.delete_lv(lvm.DeleteLv(group.name, "b"), host(other))
    assert await names(group) == {"a": 8}


async def test_a_volume_that_others_made_is_left_alone(host: MakeHost, group: VolumeGroup) -> None:
    await group.lvm.create(group.name, "root", 4 * MIB, ())
    with pytest.raises(FuncManError, match="was not made by OMS"):
        await handlers.delete_lv(lvm.DeleteLv(group.name, "root"), host())
    assert await names(group) == {"root": 4}


async def test_a_volume_that_is_a_machines_disk_is_left_alone(
    host: MakeHost, group: VolumeGroup, machines: LibvirtMachines, virt: libvirt.virConnect
) -> None:
    await handlers.create_lv(lvm.CreateLv(group.name, "disk", 4), host())
    device = f"<disk type='block' device='disk'><source dev='/dev/{group.name}/disk'/><target dev='vda'/></disk>"
    virt.defineXML(small_xml("openfiler", devices=device))
    with pytest.raises(InUse, match="'openfiler'") as refused:
        await handlers.delete_lv(lvm.DeleteLv(group.name, "disk"), host(machines=machines))
    assert refused.value.data["machines"] == ["openfiler"]
    assert await names(group) == {"disk": 4}


@pytest.mark.parametrize("what", ["create", "delete"])
async def test_broken_off_anywhere_it_is_finished_by_the_next_run(
    host: MakeHost, group: VolumeGroup, what: str
) -> None:
    for step in range(1, 100):
        if what == "delete":
            await handlers.create_lv(lvm.CreateLv(group.name, "a", 4), host())
        job = RehearsedJob(break_at=step)
        broken: Any = Crashy(group.lvm, job, ("create", "remove"))
        ended = await _run(what, group, dataclasses.replace(host(job), lvm=broken))
        if not ended:
            assert await _run(what, group, host(RehearsedJob(job.records)))
        assert await names(group) == ({"a": 4} if what == "create" else {})
        if what == "create":
            await group.lvm.remove((await group.lvm.volumes())[0])
        if ended:
            assert step > 2
            return


async def test_a_volume_made_anew_after_a_crash_of_its_removal_stays(host: MakeHost, group: VolumeGroup) -> None:
    await handlers.create_lv(lvm.CreateLv(group.name, "a", 4), host())
    job = RehearsedJob()
    await handlers.delete_lv(lvm.DeleteLv(group.name, "a"), host(job))
    await group.lvm.create(group.name, "a", 8 * MIB, ("oms",))
    assert await handlers.delete_lv(lvm.DeleteLv(group.name, "a"), host(RehearsedJob(job.records))) == 0
    assert await names(group) == {"a": 8}


async def test_a_volume_gets_its_device_where_the_kernel_can(host: MakeHost, group: VolumeGroup) -> None:
    await handlers.create_lv(lvm.CreateLv(group.name, "disk", 4), host())
    path = f"/dev/{group.name}/disk"
    if has_device_mapper():
        assert (await handlers.writable(path, host())).name == "disk"
        assert Path(path).read_bytes()[:4096] == bytes(4096)
        return
    with pytest.raises(NotSupported, match="no device-mapper"):
        await handlers.writable(path, host())
    pytest.skip("this kernel has no device-mapper: that a volume's device can be written to was not tried")


async def test_nothing_but_a_volume_is_handed_out_for_writing(host: MakeHost, group: VolumeGroup) -> None:
    for path in ("/dev/sda", "/etc/shadow", f"/dev/{group.name}/none", group.device):
        with pytest.raises(NotThere):
            await handlers.writable(path, host())


async def test_a_host_without_lvm_has_no_groups(host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.agent.host.process.ENVIRONMENT", {"PATH": "/nowhere"})
    assert shutil.which("vgdisplay")
    assert await handlers.list_vg(lvm.ListVg(), host()) == []
    with pytest.raises(NotThere):
        await handlers.create_lv(lvm.CreateLv("vg", "a", 4), host())


async def _run(what: str, group: VolumeGroup, host: Host) -> bool:
    """Whether it came to its end."""
    try:
        if what == "create":
            await handlers.create_lv(lvm.CreateLv(group.name, "a", 4), host)
        else:
            await handlers.delete_lv(lvm.DeleteLv(group.name, "a"), host)
    except Crash:
        return False
    return True
