"""Templates made of machines: they hold what the machine held, on or off, other readers take them, and a crash
anywhere leaves all or nothing."""

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import libvirt
import msgspec
import pytest

from oms.agent import placing
from oms.agent.context import Host
from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.guests.libvirt import copies as libvirt_copies
from oms.agent.host import files, qemu_img
from oms.agent.templates import package
from oms.agent.templates.handlers import (
    create_template_from_vm,
    delete_template,
    deploy_template_for_vm,
    list_templates,
    parse_vm_for_template,
)
from oms.contract.errors import AlreadyThere, FuncManError, InUse, JobCancelled, NoSpace, NotThere
from oms.contract.kvm import templates as api
from tests import small_disk
from tests.agent.templates.packages import image, small_template
from tests.hosts.conftest import MakeDomain
from tests.hosts.kvm_job import Crash, RehearsedJob, crashy_host, host
from tests.hosts.kvm_machines import disk_xml, small_xml


class QuietJob(RehearsedJob):
    """Its progress is no step at which it could crash: that is told from where no crash gets out."""

    def progress(self, percent: float) -> None:
        self.percents.append(percent)


@pytest.fixture
def here(virt: libvirt.virConnect, machines: LibvirtMachines, tmp_path: Path) -> Host:
    for name in ("images", "templates"):
        (tmp_path / name).mkdir()
    return host(machines, tmp_path / "images", QuietJob())


def machine(virt: libvirt.virConnect, here: Host, name: str = "m") -> libvirt.virDomain:
    """One with a qcow2 and a raw disk, and a CD."""
    images = here.storage.images
    first, second = image(images / "one.qcow2", "qcow2", size_mb=16), image(images / "two.img", "raw", size_mb=8)
    devices = (
        disk_xml(first).replace("'raw'", "'qcow2'") + disk_xml(second, "vdb")
        + disk_xml(image(images / "cd.iso", "raw", size_mb=1), "hdc", "cdrom")
    )  # fmt: skip
    return virt.defineXML(small_xml(name, devices=devices))


async def packed(here: Host, template: str = "t", **settings: Any) -> Any:
    return await create_template_from_vm(api.CreateTemplateFromVm("m", template, settings), here)


async def deployed(here: Host, name: str, **settings: Any) -> None:
    job = replace(here, job=QuietJob())
    assert await deploy_template_for_vm(api.DeployTemplateForVm("t", name, settings), job) == {}


def same(one: Path, other: Path, packing: str = "qcow2", other_packing: str = "qcow2") -> bool:
    command = ["qemu-img", "compare", "-U", "-f", packing, "-F", other_packing, str(one), str(other)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def left(here: Host) -> set[str]:
    templates = here.storage.templates
    return {str(path.relative_to(templates)) for path in files.regular_files(templates)}


async def test_what_is_proposed_has_the_documents_keys_first(here: Host, virt: libvirt.virConnect) -> None:
    machine(virt, here)
    shown = msgspec.to_builtins(await parse_vm_for_template(api.ParseVmForTemplate("m", "t"), here))
    assert list(shown)[:10] == [
        "vm_name", "vcpu", "min_vcpu", "template_name", "interfaces", "disks", "domain_type", "memory",
        "min_memory", "arch",
    ]  # fmt: skip
    assert [(disk["disk_path"], disk["disk_capacity"]) for disk in shown["disks"]] == [
        (str(here.storage.images / "one.qcow2"), str(16 * 2**20)),
        (str(here.storage.images / "two.img"), str(8 * 2**20)),
    ]
    assert await packed(here, **shown) == {}


@pytest.mark.parametrize("disk_format", ["vmdk", "qcow2"])
@pytest.mark.parametrize("running", [False, True])
async def test_a_machine_of_the_template_holds_what_the_machine_held(
    here: Host, virt: libvirt.virConnect, running: bool, disk_format: str
) -> None:
    domain = machine(virt, here)
    if running:
        domain.create()
    assert await packed(here, disk_format=disk_format, min_memory="16", max_memory="900", max_vcpu=3) == {}
    assert bool(domain.isActive()) == running
    assert isinstance(here.job, RehearsedJob)
    assert here.job.percents == sorted(here.job.percents)
    assert left(here) == {"t.ova"}
    assert (here.storage.templates / "t.ova").stat().st_mode & 0o777 == 0o600
    await deployed(here, "again")
    for name, original, packing in (("again.qcow2", "one.qcow2", "qcow2"), ("again-2.qcow2", "two.img", "raw")):
        assert same(here.storage.images / name, here.storage.images / original, "qcow2", packing)
    async with package.opened(here.storage.templates, "t") as opened:
        found = opened.appliance
        assert (found.memory_mb.least, found.memory_mb.most, found.vcpus.most) == (16, 900, 3)
        assert [disk.bus for disk in found.disks] == ["virtio", "virtio"]
        assert list(opened.parts) == ["t.ovf", "t.mf", *(f"t-disk{n}.{disk_format}" for n in (1, 2))]


async def test_refused_settings_are_told_and_nothing_is_made(here: Host, virt: libvirt.virConnect) -> None:
    machine(virt, here)
    refused = await packed(
        here, memory="x", arch="sparc", vcpu="0", disk_format="vhd", description=1, disks=1, evil=1
    )
    assert set(refused) == {"memory", "arch", "vcpu", "disk_format", "description", "disks", "evil"}
    assert await packed(here, min_vcpu="4", vcpu="2") == {
        "vcpu": "vcpu must be between min_vcpu and max_vcpu, got 2"
    }
    assert left(here) == set()
    small_template(here.storage.templates, "taken")
    with pytest.raises(AlreadyThere):
        await packed(here, "taken")


@pytest.mark.parametrize("running", [False, True])
async def test_packing_may_be_broken_off_anywhere_and_is_finished_by_the_next_run(
    here: Host,
    virt: libvirt.virConnect,
    machines: LibvirtMachines,
    monkeypatch: pytest.MonkeyPatch,
    running: bool,
) -> None:
    domain = machine(virt, here)
    if running:
        domain.create()
    op, images = api.CreateTemplateFromVm("m", "t", {}), here.storage.images
    xml, points, finished = domain.XMLDesc(0), 0, False
    monkeypatch.setattr(libvirt_copies, "PROGRESS_SECONDS", 0.05)
    while not finished:
        points += 1
        job = QuietJob(break_at=points)
        with monkeypatch.context() as patch:
            crash_around_each_step(patch, job)
            try:
                assert await create_template_from_vm(op, crashy_host(machines, images, job)) == {}
                finished = True
            except Crash:
                again = QuietJob(job.records)
                assert await create_template_from_vm(op, host(machines, images, again)) == {}
        assert left(here) == {"t.ova"}, points
        assert domain.XMLDesc(0) == xml  # its own disks, never others in their place
        assert not domain.isActive() or domain.jobInfo()[0] == 0
        async with package.opened(here.storage.templates, "t"):
            pass
        (here.storage.templates / "t.ova").unlink()
    # the plan 2, two conversions 2 each, the place: note and link 2 each; the copy 2; and the last
    assert points == 2 + 4 + 4 + (2 if running else 0) + 1


def crash_around_each_step(patch: pytest.MonkeyPatch, job: RehearsedJob) -> None:
    convert, link, copy = qemu_img.convert, placing._link, libvirt_copies._begin

    async def crashy_convert(*args: Any, **kwargs: Any) -> None:
        job.step()
        await convert(*args, **kwargs)
        job.step()

    def crashy_link(staged: Path, target: Path) -> None:
        job.step()
        link(staged, target)
        job.step()

    def crashy_begin(*args: Any, **kwargs: Any) -> None:
        job.step()
        copy(*args, **kwargs)
        job.step()

    patch.setattr(qemu_img, "convert", crashy_convert)
    patch.setattr(placing, "_link", crashy_link)
    patch.setattr(libvirt_copies, "_begin", crashy_begin)


@pytest.mark.parametrize("running", [False, True])
async def test_cancelled_it_leaves_nothing(
    here: Host, virt: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch, running: bool
) -> None:
    domain = machine(virt, here)
    if running:
        domain.create()
    begun = asyncio.Event()

    async def endless(*_args: Any, **_kwargs: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(qemu_img, "convert", endless)
    task = asyncio.create_task(packed(here))
    await asyncio.wait_for(begun.wait(), 30)
    assert isinstance(here.job, RehearsedJob)
    here.job.cancel()
    with pytest.raises(JobCancelled):
        await task
    assert left(here) == set()
    assert not list((here.storage.templates / ".staging").iterdir())
    assert bool(domain.isActive()) == running


async def test_a_machine_that_is_stopped_in_the_midst_of_the_copy_is_an_error_and_leaves_nothing(
    here: Host, virt: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = machine(virt, here)
    domain.create()
    begin = libvirt_copies._begin

    def then_stopped(found: Any, **kwargs: Any) -> None:
        begin(found, **kwargs)
        domain.destroy()

    monkeypatch.setattr(libvirt_copies, "_begin", then_stopped)
    with pytest.raises(FuncManError, match="broke the copy"):
        await packed(here)
    assert left(here) == set()


@pytest.mark.skipif(small_disk.why_not() is not None, reason=str(small_disk.why_not()))
async def test_a_disk_that_becomes_full_leaves_nothing(
    here: Host, virt: libvirt.virConnect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(virt, here)
    convert = qemu_img.convert

    async def fills_up(*args: Any, **kwargs: Any) -> None:
        small_disk.fill(disk, 64 * 1024)
        await convert(*args, **kwargs)

    with small_disk.mounted(tmp_path, 32) as disk:
        (disk / "templates").mkdir()
        storage = replace(here.storage, templates=disk / "templates")
        monkeypatch.setattr(qemu_img, "convert", fills_up)
        with pytest.raises(NoSpace):
            await packed(replace(here, storage=storage))
        assert not list(files.regular_files(disk / "templates"))


async def test_a_template_goes_but_not_from_under_a_linked_clone(here: Host, virt: libvirt.virConnect) -> None:
    small_template(here.storage.templates, "t")
    await deployed(here, "copy")
    await deployed(here, "clone", clone="linked")
    with pytest.raises(InUse, match=r"Template 't' is needed by .*clone"):
        await delete_template(api.DeleteTemplate("t"), here)
    assert await list_templates(api.ListTemplates(), here) == ["t"]
    virt.lookupByName("clone").undefine()
    with pytest.raises(InUse, match=r"the disk image .*clone\.qcow2"):
        await delete_template(api.DeleteTemplate("t"), here)
    (here.storage.images / "clone.qcow2").unlink()
    job = QuietJob()
    assert await delete_template(api.DeleteTemplate("t"), replace(here, job=job)) == 0
    assert left(here) == set()
    assert (here.storage.images / "copy.qcow2").exists()
    small_template(here.storage.templates, "t")  # another one, which a run that is taken up again leaves alone
    assert await delete_template(api.DeleteTemplate("t"), replace(here, job=QuietJob(job.records))) == 0
    assert left(here) == {"t.ova"}
    (here.storage.templates / "t.ova").unlink()
    with pytest.raises(NotThere):
        await delete_template(api.DeleteTemplate("t"), replace(here, job=QuietJob()))


async def test_a_machine_goes_round_and_boots_from_what_came_back(
    here: Host, make_domain: MakeDomain, machines: LibvirtMachines
) -> None:
    """Machine, template, machine: the new one's disk is in a guest that boots."""
    disk = image(here.storage.images / "round.qcow2", "qcow2", size_mb=32)
    guest = make_domain("m", memory_mb=96, disk=disk)
    guest.start_and_wait()
    assert await packed(here) == {}
    await deployed(here, "back")
    back = here.storage.images / "back.qcow2"
    assert same(back, disk)
    await machines.undefine((await machines.find("back")).uuid)
    assert "disks=vda" in make_domain("booted", memory_mb=96, disk=back).start_and_wait()
