"""Machines made of templates: what they are made of, that they boot, and that a crash anywhere leaves all or
nothing."""

import asyncio
import json
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import libvirt
import msgspec
import pytest

from oms.agent import placing
from oms.agent.context import Host, Offer
from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.host import copying, files, qemu_img
from oms.agent.host.process import run
from oms.agent.images import catalogue
from oms.agent.kvm.handlers import delete_vm
from oms.agent.templates.handlers import deploy_template_for_vm, parse_template_for_vm
from oms.contract import kvm
from oms.contract.errors import AlreadyThere, FuncManError, JobCancelled, NoSpace, NotThere, ParameterMismatch
from oms.contract.kvm import templates as api
from tests import small_disk
from tests.agent.templates.packages import MIB, appliance, image, ova, packed, small_template
from tests.hosts.kvm_job import Crash, RehearsedJob, crashy_host, host
from tests.hosts.kvm_machines import small_xml
from tests.hosts.loop_device import loop_device


@pytest.fixture
def here(virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path) -> Host:
    for name in ("images", "templates"):
        (tmp_path / name).mkdir()
    small_template(tmp_path / "templates", "t")
    return host(machines, tmp_path / "images")


class QuietJob(RehearsedJob):
    """Its progress is no step at which it could crash: that is told from where no crash gets out."""

    def progress(self, percent: float) -> None:
        self.percents.append(percent)


async def deployed(here: Host, name: str = "vm1", template: str = "t", **settings: Any) -> Any:
    return await deploy_template_for_vm(api.DeployTemplateForVm(template, name, settings), here)


def names(connection: libvirt.virConnect) -> set[str]:
    return {domain.name() for domain in connection.listAllDomains(0)}


def definition(virt: libvirt.virConnect, name: str = "vm1") -> ET.Element:
    return ET.fromstring(virt.lookupByName(name).XMLDesc(0))


def same(one: Path, other: Path, packing: str = "qcow2", other_packing: str = "qcow2") -> bool:
    command = ["qemu-img", "compare", "-f", packing, "-F", other_packing, str(one), str(other)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def left(here: Host) -> set[str]:
    """All files among the images, staging and seeds included; records of what they are go at the next start."""
    images = here.storage.images
    found = {path.relative_to(images) for path in files.regular_files(images)}
    return {str(path) for path in found if path.parts[0] != catalogue.RECORDS}


def unpacked(here: Host) -> Path:
    (place,) = (here.storage.templates / ".unpacked").iterdir()
    return place / "disk1.qcow2"


async def test_a_machine_is_made_as_proposed(here: Host, virt: libvirt.virConnect) -> None:
    assert await deployed(here) == {}
    root = definition(virt)
    assert (root.findtext("memory"), root.findtext("vcpu")) == (str(64 * 1024), "1")
    disk = here.storage.images / "vm1.qcow2"
    assert root.find("devices/disk/source").get("file") == str(disk)  # type: ignore[union-attr]
    assert same(disk, unpacked(here))
    assert disk.stat().st_mode & 0o777 == 0o600
    assert catalogue.format_of(disk) == "qcow2"
    assert left(here) == {"vm1.qcow2"}
    assert not virt.lookupByName("vm1").isActive()
    assert isinstance(here.job, RehearsedJob)
    assert here.job.notes["disk 1"] == str(disk)
    assert here.job.percents == sorted(here.job.percents)
    virt.lookupByName("vm1").create()


async def test_what_was_proposed_is_taken_back_as_it_is(here: Host, virt: libvirt.virConnect) -> None:
    proposed = msgspec.to_builtins(await parse_template_for_vm(api.ParseTemplateForVm("t", "vm1"), here))
    assert await deployed(here, **proposed) == {}
    assert names(virt) == {"vm1"}


async def test_settings_are_followed(here: Host, virt: libvirt.virConnect) -> None:
    disk = {
        "template_name": "disk1.vmdk",
        "source_file": "nasdisk.img",
        "capacity": 20 * MIB,
        "target_bus": "sata",
    }
    assert await deployed(
        here, memory="128", features=["acpi"], clock_offset="localtime", on_crash="restart", mouse_bus="ps2",
        boot_dev="network", disks=[disk], graphics={"type": "vnc", "keymap": "en-us"}, interface={"type": "none"},
    ) == {}  # fmt: skip
    root = definition(virt)
    assert root.findtext("memory") == str(128 * 1024)
    assert [feature.tag for feature in root.find("features")] == ["acpi"]  # type: ignore[union-attr]
    assert root.find("clock").get("offset") == "localtime"  # type: ignore[union-attr]
    assert root.find("os/boot").get("dev") == "network"  # type: ignore[union-attr]
    assert root.find("devices/disk/target").attrib == {"dev": "sda", "bus": "sata"}  # type: ignore[union-attr]
    assert root.find("devices/graphics").get("keymap") == "en-us"  # type: ignore[union-attr]
    assert root.find("devices/interface") is None
    assert (await qemu_img.info(here.storage.images / "nasdisk.img", "qcow2")).virtual_size == 20 * MIB


async def test_refused_settings_are_told_and_nothing_is_made(here: Host, virt: libvirt.virConnect) -> None:
    before = left(here)
    refused = await deployed(here, memory="1", vcpu="99", emulator="/bin/sh", disks=[{"template_name": "x"}])
    assert list(refused) == ["memory", "vcpu", "emulator", "disks"]
    assert names(virt) == set()
    assert left(here) == before
    assert not (here.storage.templates / ".unpacked").exists()
    assert isinstance(here.job, RehearsedJob)
    assert here.job.records == {}


async def test_names_that_are_taken_or_no_names_are_refused(here: Host, virt: libvirt.virConnect) -> None:
    virt.defineXML(small_xml("vm1"))
    with pytest.raises(AlreadyThere, match="machine 'vm1'"):
        await deployed(here)
    with pytest.raises(ParameterMismatch, match="is a UUID"):
        await deployed(here, "6a1b6f44-9c7d-4a61-8b1c-0d0d3f0a5a11")
    with pytest.raises(NotThere, match="no template 'nothing'"):
        await deployed(here, "vm2", "nothing")
    assert names(virt) == {"vm1"}
    assert left(here) == set()


async def test_a_linked_clone_stands_upon_the_template(here: Host, virt: libvirt.virConnect) -> None:
    assert await deployed(here, clone="linked") == {}
    disk = here.storage.images / "vm1.qcow2"
    assert same(disk, unpacked(here))
    assert disk.stat().st_blocks * 512 < 1 * MIB
    behind = definition(virt).find("devices/disk/backingStore/source")
    assert behind is not None
    assert behind.get("file") == str(unpacked(here))
    virt.lookupByName("vm1").create()
    virt.lookupByName("vm1").destroy()
    assert await delete_vm(kvm.DeleteVm("vm1"), replace(here, job=RehearsedJob())) == 0
    assert not disk.exists()
    assert unpacked(here).exists()


async def test_what_is_for_the_guest_goes_along_and_goes_with_the_machine(
    here: Host, virt: libvirt.virConnect
) -> None:
    settings: dict[str, Any] = {
        "hostname": "web1",
        "passwd": "a secret of some length",
        "user_data": "#!/bin/true\n",
    }
    assert await deployed(here, **settings) == {}
    (cd,) = definition(virt).findall("devices/disk[@device='cdrom']")
    seed = Path(cd.find("source").get("file", ""))  # type: ignore[union-attr]
    shown = await run(["isoinfo", "-R", "-i", str(seed), "-x", "/meta-data"], timeout=20)
    assert json.loads(shown.stdout)["local-hostname"] == "web1"
    assert b"a secret of some length" not in seed.read_bytes()
    assert b"$6$" in seed.read_bytes()
    virt.lookupByName("vm1").create()
    assert await delete_vm(kvm.DeleteVm("vm1"), replace(here, job=RehearsedJob())) == 0
    assert left(here) == set()


async def test_deploying_may_be_broken_off_anywhere_and_is_finished_by_the_next_run(
    here: Host, virt: libvirt.virConnect, machines: LibvirtMachines, monkeypatch: pytest.MonkeyPatch
) -> None:
    op = api.DeployTemplateForVm("t", "vm1", {"hostname": "web1"})
    points, finished = 0, False
    while not finished:
        points += 1
        job = QuietJob(break_at=points)
        with monkeypatch.context() as patch:
            crash_around_each_step(patch, job)
            try:
                assert await deploy_template_for_vm(op, crashy_host(machines, here.storage.images, job)) == {}
                finished = True
            except Crash:
                again = QuietJob(job.records)
                assert await deploy_template_for_vm(op, host(machines, here.storage.images, again)) == {}
        assert names(virt) == {"vm1"}, points
        root = definition(virt)
        disks = {source.get("file") for source in root.findall("devices/disk/source")}
        seed = f".seeds/{root.findtext('uuid')}.iso"
        assert left(here) == {"vm1.qcow2", seed}, points
        assert disks == {str(here.storage.images / name) for name in ("vm1.qcow2", seed)}
        assert same(here.storage.images / "vm1.qcow2", unpacked(here))
        assert await delete_vm(kvm.DeleteVm("vm1"), host(machines, here.storage.images)) == 0
        assert left(here) == set()
    # the plan 2, copying 2, both placed: note and link 2 each, the definition 2, and the last that breaks nothing
    assert points == 2 + 2 + 4 + 4 + 2 + 1


async def test_a_cancelled_run_leaves_nothing_however_far_it_was(
    here: Host, virt: libvirt.virConnect, machines: LibvirtMachines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crashed at every step, and cancelled before it is taken up again."""
    op = api.DeployTemplateForVm("t", "vm1", {"hostname": "web1"})
    for point in range(1, 16):
        job = QuietJob(break_at=point)
        with monkeypatch.context() as patch:
            crash_around_each_step(patch, job)
            try:
                await deploy_template_for_vm(op, crashy_host(machines, here.storage.images, job))
            except Crash:
                pass
            else:
                break
        again = QuietJob(job.records)
        again.cancelled = True
        with pytest.raises(JobCancelled):
            await deploy_template_for_vm(op, host(machines, here.storage.images, again))
        assert names(virt) == set(), point
        assert left(here) == set(), point
    assert point == 15


async def test_cancelled_while_it_copies(
    here: Host, virt: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def endless(_source: Path, target: Path, _progress: Any) -> None:
        target.write_bytes(b"half")
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(copying, "copy", endless)
    job = QuietJob()
    task = asyncio.create_task(deployed(replace(here, job=job)))
    await begun.wait()
    job.cancel()
    with pytest.raises(JobCancelled):
        await task
    assert names(virt) == set()
    assert left(here) == set()
    assert here.leases.holder("template/t") == ""


async def test_a_hypervisor_that_says_no_leaves_nothing(
    here: Host, virt: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody defines a machine of that name while the disks are copied."""
    copy = copying.copy

    async def meanwhile(*args: Any) -> None:
        await copy(*args)
        virt.defineXML(small_xml("vm1"))

    monkeypatch.setattr(copying, "copy", meanwhile)
    with pytest.raises(FuncManError, match="already exists"):
        await deployed(here)
    assert names(virt) == {"vm1"}
    assert left(here) == set()


async def test_a_file_that_takes_the_name_meanwhile_stays_what_it_is(
    here: Host, virt: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, theirs = copying.copy, here.storage.images / "vm1.qcow2"

    async def meanwhile(*args: Any) -> None:
        await copy(*args)
        theirs.write_bytes(b"theirs")

    monkeypatch.setattr(copying, "copy", meanwhile)
    with pytest.raises(AlreadyThere, match=r"vm1\.qcow2"):
        await deployed(here)
    assert theirs.read_bytes() == b"theirs"
    assert names(virt) == set()
    assert left(here) == {"vm1.qcow2"}


async def test_a_template_that_was_replaced_meanwhile_is_not_mixed_with_the_old_one(
    here: Host, virt: libvirt.virConnect, tmp_path: Path
) -> None:
    job = QuietJob(break_at=2)  # right after the plan was written down
    op = api.DeployTemplateForVm("t", "vm1", {})
    with pytest.raises(Crash):
        await deploy_template_for_vm(op, replace(here, job=job))
    (here.storage.templates / "t.ova").unlink()
    disk = image(tmp_path / "d.vmdk", size_mb=32)
    ova(here.storage.templates / "t.ova", appliance(packed("d.vmdk", disk, size_mb=32)), {"d.vmdk": disk})
    with pytest.raises(FuncManError, match="was replaced by another"):
        await deploy_template_for_vm(op, replace(here, job=QuietJob(job.records)))
    assert names(virt) == set()
    assert left(here) == set()


@pytest.mark.skipif(small_disk.why_not() is not None, reason=str(small_disk.why_not()))
async def test_a_disk_that_becomes_full_in_the_midst_leaves_nothing(
    machines: LibvirtMachines, virt: libvirt.virConnect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copying.copy

    async def fills_up(source: Path, target: Path, progress: Any) -> None:
        small_disk.fill(disk, 128 * 1024)
        await copy(source, target, progress)

    with small_disk.mounted(tmp_path, 64) as disk:
        for name in ("images", "templates"):
            (disk / name).mkdir()
        made = image(tmp_path / "d.vmdk", size_mb=8, marks=range(8))
        ova(disk / "templates/t.ova", appliance(packed("d.vmdk", made, size_mb=8)), {"d.vmdk": made})
        here = host(machines, disk / "images")
        monkeypatch.setattr(copying, "copy", fills_up)
        with pytest.raises(NoSpace):
            await deployed(here)
        assert names(virt) == set()
        assert left(here) == set()
        (disk / "filler").unlink()
        monkeypatch.setattr(copying, "copy", copy)
        assert await deployed(replace(here, job=RehearsedJob())) == {}


def device_settings(path: str, kind: str = "physical") -> dict[str, Any]:
    disk = {"template_name": "disk1.vmdk", "deploy_type": kind, "type": "block", "source_dev": path}
    return {"disks": [disk]}


@pytest.mark.skipif(small_disk.why_not() is not None, reason=str(small_disk.why_not()))
async def test_a_device_that_was_offered_becomes_the_disk_and_nothing_old_is_left_on_it(
    here: Host, virt: libvirt.virConnect, tmp_path: Path
) -> None:
    with loop_device(tmp_path, size_mb=16) as device:
        Path(device).write_bytes(b"of somebody else" * 1024 * 1024)
        offering = replace(here, offer=Offer(block_devices=(device,)))
        assert await deployed(offering, **device_settings(device)) == {}
        source = definition(virt).find("devices/disk[@type='block']/source")
        assert source is not None
        assert source.get("dev") == device
        content = Path(device).read_bytes()
        assert b"somebody" not in content
        assert not any(content[8 * MIB :])
        (tmp_path / "content").write_bytes(content[: 8 * MIB])
        assert same(tmp_path / "content", unpacked(here), "raw")
        # and now it is in use
        refused = await deployed(replace(offering, job=RehearsedJob()), "vm2", **device_settings(device))
        assert "the disk of machine 'vm1'" in refused["disks"][0].error


@pytest.mark.skipif(small_disk.why_not() is not None, reason=str(small_disk.why_not()))
async def test_no_other_device_is_written_to(here: Host, virt: libvirt.virConnect, tmp_path: Path) -> None:
    with loop_device(tmp_path, size_mb=16) as device:
        for path, offered, why in (
            (device, (), "no logical volume"),
            ("/etc/shadow", ("/etc/shadow",), "no device that OMS may write to"),
            ("/dev/null", ("/dev/null",), "no block device"),
            ("/dev/no-such", ("/dev/no-such",), "no device"),
        ):
            offering = replace(here, offer=Offer(block_devices=offered), job=RehearsedJob())
            refused = await deployed(offering, **device_settings(path))
            assert why in refused["disks"][0].error, path
        with mounted(device, tmp_path / "mounted"):
            offering = replace(here, offer=Offer(block_devices=(device,)), job=RehearsedJob())
            refused = await deployed(offering, **device_settings(device))
            assert "is in use on the host" in refused["disks"][0].error
    assert names(virt) == set()


@contextmanager
def mounted(device: str, place: Path) -> Iterator[None]:
    """A device in use on the host."""
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", device], check=True)
    subprocess.run(["mount", device, place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def crash_around_each_step(patch: pytest.MonkeyPatch, job: RehearsedJob) -> None:
    """Beside the job's own notes and the machine's definition: around copying, and around each file's link."""
    copy, link = copying.copy, placing._link

    async def crashy_copy(*args: Any) -> None:
        job.step()
        await copy(*args)
        job.step()

    def crashy_link(staged: Path, target: Path) -> None:
        job.step()
        link(staged, target)
        job.step()

    patch.setattr(copying, "copy", crashy_copy)
    patch.setattr(placing, "_link", crashy_link)
