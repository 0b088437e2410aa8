"""Machines installed from media that boot for real: what is made, what follows, and that no crash at any point
leaves half of it."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import libvirt
import pytest

from oms.agent.context import Host, Offer
from oms.agent.guests import Machines
from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.host import files
from oms.agent.images import catalogue
from oms.agent.kvm import first_run
from oms.agent.kvm.description import describe_vm
from oms.agent.kvm.install import create_vm_from_iso
from oms.contract.errors import FuncManError, InUse, JobCancelled, NoSuchMachine
from oms.contract.kvm.description import DescribeVm
from oms.contract.kvm.install import CreateVmFromIso
from tests.agent.kvm.new_machines import asked
from tests.hosts.guest_image import GuestImage
from tests.hosts.install_cd import INSTALLED, UP, Console, linux_cd, tiny_cd
from tests.hosts.kvm_job import Crash, RehearsedJob, crashy_host, host
from tests.hosts.kvm_machines import connected, pid_of
from tests.hosts.libvirtd import PrivateLibvirtd
from tests.hosts.loop_device import loop_device
from tests.waiting import eventually


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Where images are, with media beside: `cd.iso` waits to be told, the others know what to do."""
    for name in ("images", "iso"):
        (tmp_path / name).mkdir()
    tiny_cd(tmp_path / "iso" / "cd.iso")
    tiny_cd(tmp_path / "iso" / "restarts.iso", "r")
    tiny_cd(tmp_path / "iso" / "turns-off.iso", "p")
    return tmp_path / "images"


async def install(op: CreateVmFromIso, on: Host) -> int:
    return await create_vm_from_iso(op, on)


@asynccontextmanager
async def installing(
    op: CreateVmFromIso,
    machines: Machines,
    images: Path,
    virt: libvirt.virConnect,
    offer: Offer = Offer(),  # noqa: B008 - frozen
) -> AsyncIterator[tuple[asyncio.Task[int], RehearsedJob, libvirt.virDomain]]:
    """An installation whose caller was answered: it runs from the CD."""
    job = RehearsedJob()
    running = asyncio.create_task(install(op, replace(host(machines, images, job), offer=offer)))
    try:
        await eventually(lambda: running.done() or job.answers == [0])
        if running.done():
            running.result()
        yield running, job, virt.lookupByName(op.kvm_vm_name)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def tell(domain: libvirt.virDomain, order: Any) -> None:
    """Once the installer has installed."""
    console = Console(domain)
    try:
        await asyncio.to_thread(console.wait_for, INSTALLED)
        await asyncio.to_thread(console.tell, order)
    finally:
        console.close()


async def comes_up(domain: libvirt.virDomain) -> None:
    """The installed system says so itself."""
    console = Console(domain)
    try:
        await asyncio.to_thread(console.wait_for, UP)
    finally:
        console.close()


async def test_the_caller_is_answered_once_it_runs_and_the_disk_is_started_when_it_restarts(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    async with installing(asked(), machines, images, virt) as (running, job, domain):
        first = (await machines.find("m")).live
        assert first is not None
        assert first.boot == ("cdrom", "hd")
        assert [disk.file for disk in first.disks] == [images / "m.qcow2", images.parent / "iso" / "cd.iso"]
        assert "installer" in job.notes["installation"]
        await tell(domain, "r")
        assert await asyncio.wait_for(running, 90) == 0
        await comes_up(domain)
    machine = await machines.find("m")
    for definition in (machine.live, machine.kept):
        assert definition is not None
        assert definition.boot == ("hd",)
        assert [disk.file for disk in definition.disks] == [images / "m.qcow2", None]
    described = await describe_vm(DescribeVm("m"), host(machines, images))
    assert (described.boot, described.graphics) == (["hd"], ["vnc"])
    assert [(disk.target, disk.size_kb) for disk in described.disks] == [("vda", 1024 * 1024), ("hdc", 0)]
    await machines.stop(machine.uuid)
    off = await describe_vm(DescribeVm("m"), host(machines, images))
    assert off.disks[0] == described.disks[0]
    assert job.notes["installation"].startswith("the installer restarted the machine")
    assert (job.answers, job.percents) == ([0], [10, 95])
    assert catalogue.format_of(images / "m.qcow2") == "qcow2"


async def test_a_linux_boots_from_the_cd_finds_that_and_its_disk_and_installs(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path, guest_image: GuestImage
) -> None:
    linux_cd(images.parent / "iso" / "linux.iso", guest_image)
    op = asked(cdrom_iso="linux.iso", os_variant="debian11", memory_size="128")
    async with installing(op, machines, images, virt) as (running, _job, domain):
        assert "<target dev='vda' bus='virtio'/>" in domain.XMLDesc(0)
        assert await asyncio.wait_for(running, 300) == 0
        await comes_up(domain)


async def test_an_installer_that_turns_the_machine_off_leaves_it_off(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    async with installing(asked(cdrom_iso="turns-off.iso"), machines, images, virt) as (running, job, domain):
        assert await asyncio.wait_for(running, 90) == 0
    assert (await machines.find("m")).live is None
    assert job.notes["installation"] == "the installer turned the machine off; start_vm starts it from its disk"
    await machines.start(domain.UUIDString())
    await comes_up(domain)


async def test_a_block_device_is_installed_on_and_never_taken_away(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path, tmp_path: Path
) -> None:
    with loop_device(tmp_path) as path:
        op = asked(block_device_based_disk_path=path, file_based_disk_size="")
        offer = Offer(block_devices=(path,))
        async with installing(op, machines, images, virt, offer) as (running, job, domain):
            other = asked(kvm_vm_name="n", block_device_based_disk_path=path)
            with pytest.raises(InUse, match=f"{path} is the disk of machine 'm'"):
                await create_vm_from_iso(other, replace(host(machines, images), offer=offer))
            await tell(domain, "r")
            assert await asyncio.wait_for(running, 90) == 0
            await comes_up(domain)
        assert job.notes["disk"] == path
        assert list(files.regular_files(images)) == []
        domain.destroy()
        domain.undefine()
        async with installing(op, machines, images, virt, offer) as (running, job, domain):
            job.cancel()
            with pytest.raises(JobCancelled):
                await asyncio.wait_for(running, 90)
        assert virt.listAllDomains(0) == []
        assert await asyncio.to_thread(files.device, Path(path)) is not None


async def test_without_acpi_and_apic_it_is_installed_all_the_same(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    op = asked(cdrom_iso="restarts.iso", noapic_on_off="yes", noacpi_on_off="yes")
    assert await asyncio.wait_for(create_vm_from_iso(op, host(machines, images)), 90) == 0
    domain = virt.lookupByName("m")
    await comes_up(domain)
    assert "machine='pc-i440fx" in domain.XMLDesc(0)
    assert "<acpi/>" not in domain.XMLDesc(0)
    assert "<apic/>" not in domain.XMLDesc(0)


async def test_an_old_windows_has_what_it_can_drive_and_keeps_its_cd(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    op = asked(cdrom_iso="restarts.iso", os_variant="winxp", os_type="windows")
    job = RehearsedJob()
    assert await asyncio.wait_for(create_vm_from_iso(op, host(machines, images, job)), 90) == 0
    await comes_up(virt.lookupByName("m"))
    kept = (await machines.find("m")).kept
    assert kept is not None
    assert [(disk.target, disk.file) for disk in kept.disks] == [
        ("hda", images / "m.qcow2"), ("hdc", images.parent / "iso" / "restarts.iso"),
    ]  # fmt: skip
    assert (kept.boot, kept.balloon) == (("hd",), False)
    assert job.notes["operating system"] == "Microsoft Windows XP"
    assert "asks for 256 MB at least" in job.notes["memory"]


async def test_a_cancelled_installation_leaves_nothing_that_it_made_and_all_else(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    (images / "other.img").write_bytes(b"other")
    async with installing(asked(), machines, images, virt) as (running, job, _domain):
        job.cancel()
        with pytest.raises(JobCancelled):
            await asyncio.wait_for(running, 90)
    assert virt.listAllDomains(0) == []
    assert {path.name for path in files.regular_files(images)} == {"other.img"}
    assert (images.parent / "iso" / "cd.iso").exists()


async def test_an_image_that_was_given_to_another_machine_stays_when_the_job_is_cancelled(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    async with installing(asked(), machines, images, virt) as (running, job, domain):
        taken = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        taken = taken.replace("<name>m<", "<name>other<").replace(domain.UUIDString(), "0" * 31 + "1")
        virt.defineXML(taken.replace("0" * 31 + "1", "00000000-0000-4000-8000-000000000001"))
        job.cancel()
        with pytest.raises(JobCancelled):
            await asyncio.wait_for(running, 90)
    assert [domain.name() for domain in virt.listAllDomains(0)] == ["other"]
    assert (images / "m.qcow2").exists()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda domain: domain.destroy(), "'m' was stopped by somebody before its installer had done"),
        (lambda domain: os.kill(pid_of(domain.UUIDString()), 9), "'m' crashed, or its process was killed, before"),
    ],
    ids=["stopped", "killed"],
)
async def test_a_machine_that_ends_before_its_installer_has_done_is_kept(
    virt: libvirt.virConnect,
    machines: LibvirtMachines,
    images: Path,
    how: Callable[[libvirt.virDomain], object],
    words: str,
) -> None:
    async with installing(asked(), machines, images, virt) as (running, _job, domain):
        how(domain)
        with pytest.raises(FuncManError, match=words):
            await asyncio.wait_for(running, 90)
    machine = await machines.find("m")
    assert machine.live is None
    assert machine.kept is not None
    assert machine.kept.boot == ("hd",)
    assert (images / "m.qcow2").exists()


async def test_a_machine_that_somebody_starts_from_its_disk_is_installed(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    async with installing(asked(), machines, images, virt) as (running, job, domain):
        running.cancel()  # the agent ends
        await asyncio.gather(running, return_exceptions=True)
        domain.destroy()
        domain.create()
        again = RehearsedJob(job.records)
        assert await create_vm_from_iso(asked(), host(machines, images, again)) == 0
        assert again.notes["installation"] == "somebody has started the machine from its disk"
        # And to undo it would take it from whoever uses it.
        del again.records["ended"]
        again = RehearsedJob(again.records)
        again.cancel()
        assert await create_vm_from_iso(asked(), host(machines, images, again)) == 0
        assert domain.isActive()


async def test_a_machine_that_somebody_removes_is_named(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    async with installing(asked(), machines, images, virt) as (running, _job, domain):
        domain.undefine()
        domain.destroy()
        with pytest.raises(NoSuchMachine, match="'m' was removed by somebody while it was being installed"):
            await asyncio.wait_for(running, 90)
    assert (images / "m.qcow2").exists()  # for it may be with that that they have something in mind


async def test_a_saved_installation_goes_on_when_it_is_started(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    async with installing(asked(), machines, images, virt) as (running, _job, domain):
        await asyncio.to_thread(domain.managedSave)
        await asyncio.sleep(0.5)
        assert not running.done()
        domain.create()
        await tell(domain, "r")
        assert await asyncio.wait_for(running, 90) == 0
        await comes_up(domain)


async def broken_off(
    op: CreateVmFromIso, libvirtd: PrivateLibvirtd, images: Path, point: int
) -> RehearsedJob | None:
    """An agent that crashes at that point of the job; None where it came to the job's end before."""
    job = RehearsedJob(break_at=point)
    async with connected(libvirtd.uri) as machines:
        try:
            assert await asyncio.wait_for(create_vm_from_iso(op, crashy_host(machines, images, job)), 90) == 0
        except Crash:
            return job
    return None


async def resumed(
    op: CreateVmFromIso, libvirtd: PrivateLibvirtd, images: Path, job: RehearsedJob
) -> tuple[int, RehearsedJob]:
    """The next agent, which has heard nothing of what happened meanwhile."""
    again = RehearsedJob(job.records)
    again.cancelled = job.cancelled
    async with connected(libvirtd.uri) as machines:
        return await asyncio.wait_for(create_vm_from_iso(op, host(machines, images, again)), 90), again


async def test_an_installation_may_be_broken_off_anywhere_and_is_finished_by_the_next_run(
    libvirtd: PrivateLibvirtd, virt: libvirt.virConnect, images: Path
) -> None:
    op = asked(cdrom_iso="restarts.iso")
    for point in range(1, 40):
        job = await broken_off(op, libvirtd, images, point)
        if job is not None:
            assert (await resumed(op, libvirtd, images, job))[0] == 0, point
        (domain,) = virt.listAllDomains(0)
        assert domain.isActive(), point
        await comes_up(domain)
        assert {path.name for path in images.iterdir() if path.is_file()} == {"m.qcow2"}
        domain.destroy()
        domain.undefine()
        (images / "m.qcow2").unlink()
        if job is None:
            break
    assert point == 20


async def test_an_installation_that_was_broken_off_and_cancelled_leaves_nothing(
    libvirtd: PrivateLibvirtd, virt: libvirt.virConnect, images: Path
) -> None:
    op = asked()
    for point in range(1, 15):
        job = await broken_off(op, libvirtd, images, point)
        assert job is not None
        job.cancelled = True
        with pytest.raises(JobCancelled):
            await resumed(op, libvirtd, images, job)
        assert virt.listAllDomains(0) == [], point
        assert list(files.regular_files(images)) == [], point


async def test_to_undo_may_be_broken_off_anywhere(
    libvirtd: PrivateLibvirtd, virt: libvirt.virConnect, images: Path
) -> None:
    op = asked()
    for point in range(1, 20):
        async with connected(libvirtd.uri) as machines, installing(op, machines, images, virt) as (_, made, _d):
            pass  # and the agent ends
        job = RehearsedJob(made.records, break_at=point)
        job.cancelled = True
        async with connected(libvirtd.uri) as machines:
            with pytest.raises((Crash, JobCancelled)) as ended:
                await create_vm_from_iso(op, crashy_host(machines, images, job))
        if ended.type is Crash:
            with pytest.raises(JobCancelled):
                await resumed(op, libvirtd, images, job)
        assert virt.listAllDomains(0) == [], point
        assert list(files.regular_files(images)) == [], point
        if ended.type is JobCancelled:
            break
    assert point > 4


async def test_an_installation_is_begun_anew_when_its_host_was_restarted(
    make_libvirtd: Callable[[], PrivateLibvirtd], images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = make_libvirtd()
    async with connected(daemon.uri) as machines:
        virt = daemon.connect()
        async with installing(asked(), machines, images, virt) as (_running, job, _domain):
            pass
        virt.close()
    daemon.close()  # its guests go with it, and so does all that is in memory
    shutil.rmtree(daemon.root / "run")
    monkeypatch.setattr(first_run, "boot_id", lambda: "another")
    daemon.start()
    virt = daemon.connect()
    try:
        domain = virt.lookupByName("m")
        assert not domain.isActive()
        again = RehearsedJob(job.records)
        async with connected(daemon.uri) as machines:
            running = asyncio.create_task(install(asked(), host(machines, images, again)))
            await eventually(lambda: bool(domain.isActive()))
            await tell(domain, "r")
            assert await asyncio.wait_for(running, 90) == 0
        await comes_up(domain)
        assert "began anew" in again.notes["host"]
    finally:
        virt.close()
