"""Deleting real machines: what goes, what stays, and that a crash at any point changes neither."""

import asyncio
from pathlib import Path

import libvirt
import pytest

from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.host import files
from oms.agent.host.process import run
from oms.agent.images.handlers import lease
from oms.agent.kvm.handlers import delete_vm
from oms.contract import kvm
from oms.contract.errors import FuncManError, NoSuchMachine
from tests.hosts.kvm_job import Crash, RehearsedJob, crashy_host, host
from tests.hosts.kvm_machines import disk_xml, small_xml

DELETE = kvm.DeleteVm("m")


def image(path: Path) -> Path:
    path.write_bytes(bytes(1024))
    return path


def names(connection: libvirt.virConnect) -> set[str]:
    return {domain.name() for domain in connection.listAllDomains(0)}


def left_in(images: Path) -> set[str]:
    """All that is left, staging included."""
    return {path.name for path in files.regular_files(images)}


async def test_a_running_machine_goes_with_its_own_disks_and_no_others(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path, tmp_path: Path
) -> None:
    own, foreign = image(images / "own.img"), image(tmp_path / "foreign.img")
    cd, shared, bystander = image(images / "cd.iso"), image(images / "shared.img"), image(images / "bystander.img")
    link, linked = images / "link.img", image(tmp_path / "linked.img")
    link.symlink_to(linked)
    devices = (
        disk_xml(own) + disk_xml(foreign, "vdb") + disk_xml(cd, "hda", "cdrom") + disk_xml(shared, "vdc")
        + disk_xml(link, "vdd")
    )  # fmt: skip
    virt.defineXML(small_xml("other", devices=disk_xml(shared)))
    machine = virt.defineXML(small_xml("m", devices=devices))
    machine.create()
    here = host(machines, images)
    assert await delete_vm(DELETE, here) == 0
    assert names(virt) == {"other"}
    assert left_in(images) == {"cd.iso", "shared.img", "bystander.img"}
    assert foreign.exists()
    assert bystander.exists()
    assert link.is_symlink()
    assert linked.exists()
    assert isinstance(here.job, RehearsedJob)
    assert here.job.notes == {
        "uuid": machine.UUIDString(),
        f"disk {foreign}": f"kept, because it is not in {images}",
        f"disk {shared}": "kept, because machine 'other' needs it",
        f"disk {link}": "kept, because it is no regular file",
    }
    assert here.job.percents == sorted(here.job.percents)


async def test_a_disk_that_is_just_being_given_to_another_machine_stays(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    own = image(images / "own.img")
    virt.defineXML(small_xml("m", devices=disk_xml(own)))
    here, giving = host(machines, images), RehearsedJob()
    giving.id = "f" * 32
    assert isinstance(here.job, RehearsedJob)
    async with here.leases.hold(giving, alone=(lease("own.img"),)):
        deleting = asyncio.ensure_future(delete_vm(DELETE, here))
        while not deleting.done() and "waited for image/own.img" not in here.job.notes:  # noqa: ASYNC110 - a note
            await asyncio.sleep(0.01)
        virt.defineXML(small_xml("other", devices=disk_xml(own)))
    assert await deleting == 0
    assert names(virt) == {"other"}
    assert left_in(images) == {"own.img"}
    assert here.job.notes[f"disk {own}"] == "kept, because machine 'other' needs it"


async def test_all_that_is_kept_for_a_machine_goes(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    """Either a saved state or the record of a snapshot makes libvirt refuse a plain removal."""
    disk = images / "own.qcow2"
    assert (await run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "1M"], timeout=20)).exit == 0
    domain = virt.defineXML(small_xml("m", devices=disk_xml(disk).replace("'raw'", "'qcow2'")))
    domain.snapshotCreateXML("<domainsnapshot><name>s</name></domainsnapshot>", 0)
    domain.create()
    domain.managedSave(0)
    assert await delete_vm(DELETE, host(machines, images)) == 0
    assert names(virt) == set()
    assert left_in(images) == set()


async def test_a_machine_that_is_not_kept_goes_too(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    virt.createXML(small_xml("m", devices=disk_xml(image(images / "own.img"))))
    assert await delete_vm(DELETE, host(machines, images)) == 0
    assert names(virt) == set()
    assert left_in(images) == set()


async def test_a_machine_that_somebody_starts_just_before_it_is_forgotten_does_not_live_on(
    virt: libvirt.virConnect, machines: LibvirtMachines
) -> None:
    domain = virt.defineXML(small_xml("m"))
    domain.create()
    await machines.undefine(domain.UUIDString())
    assert names(virt) == set()


async def test_an_unknown_machine_is_no_success(machines: LibvirtMachines, images: Path) -> None:
    bystander = image(images / "m.img")
    with pytest.raises(NoSuchMachine, match="no machine 'm'"):
        await delete_vm(DELETE, host(machines, images))
    assert bystander.exists()


async def test_a_volume_of_a_pool_is_known_as_another_machines_disk(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    own = image(images / "own.img")
    pool = virt.storagePoolCreateXML(
        f"<pool type='dir'><name>p</name><target><path>{images}</path></target></pool>", 0
    )
    try:
        volume = "<disk type='volume' device='disk'><source pool='p' volume='own.img'/><target dev='vda'/></disk>"
        virt.defineXML(small_xml("other", devices=volume))
        virt.defineXML(small_xml("m", devices=disk_xml(own)))
        assert await delete_vm(DELETE, host(machines, images)) == 0
    finally:
        pool.destroy()
    assert own.exists()


async def test_deleting_may_be_broken_off_anywhere_and_is_finished_by_the_next_run(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = 0
    for point in range(1, 40):
        own = [image(images / "a.img"), image(images / "b.img")]
        keeps = image(images / "keeps.img")
        domain = virt.defineXML(small_xml("m", devices=disk_xml(own[0]) + disk_xml(own[1], "vdb")))
        if point < 7:  # up to where it is stopped
            domain.create()
        job = RehearsedJob(break_at=point)
        with monkeypatch.context() as patch:
            crash_around_each_move(patch, job)
            try:
                await delete_vm(DELETE, crashy_host(machines, images, job))
            except Crash:
                again = RehearsedJob(job.records)
                assert await delete_vm(DELETE, host(machines, images, again)) == 0
            else:
                finished += 1
        assert names(virt) == set(), point
        assert left_in(images) == {keeps.name}, point
        if finished:
            break
    # plan 2, progress 3, stop and undefine 2 each, both moves 2 each, aside 2, and the last that breaks nothing
    assert point == 2 + 3 + 4 + 4 + 2 + 1


async def test_what_was_made_anew_under_the_same_names_is_not_deleted_by_a_resumed_job(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between crash and return somebody makes a machine of the same name, with a disk of the same name."""
    for point in range(1, 40):
        path = image(images / "m.img")
        old = virt.defineXML(small_xml("m", devices=disk_xml(path))).UUIDString()
        job = RehearsedJob(break_at=point)
        with monkeypatch.context() as patch:
            crash_around_each_move(patch, job)
            try:
                await delete_vm(DELETE, crashy_host(machines, images, job))
            except Crash:
                pass
            else:
                break
        if "plan" not in job.records or old in {domain.UUIDString() for domain in virt.listAllDomains(0)}:
            for domain in virt.listAllDomains(0):
                domain.undefine()
            files.clear_staging(images, job.id)
            continue  # not far enough for a name to be free
        path.unlink(missing_ok=True)
        path.write_bytes(b"new")
        new = virt.defineXML(small_xml("m", devices=disk_xml(path)))
        assert await delete_vm(DELETE, host(machines, images, RehearsedJob(job.records))) == 0
        assert path.read_bytes() == b"new", point
        assert {domain.UUIDString() for domain in virt.listAllDomains(0)} == {new.UUIDString()}
        new.undefine()
        # And also when the new disk is not part of any machine yet.
        path.write_bytes(b"newer")
        assert await delete_vm(DELETE, host(machines, images, RehearsedJob(job.records))) == 0
        if "aside" in job.records:
            assert path.read_bytes() == b"newer", point
        path.unlink(missing_ok=True)
    else:
        pytest.fail("it never came to its end")


async def test_a_disk_that_cannot_be_deleted_is_named(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    own = image(images / "own.img")
    (images / ".staging").write_text("a file where the directory should be")
    virt.defineXML(small_xml("m", devices=disk_xml(own)))
    with pytest.raises(FuncManError, match=f"'m' is removed, but its disks .*{own}"):
        await delete_vm(DELETE, host(machines, images))
    assert own.exists()
    assert names(virt) == set()


def crash_around_each_move(patch: pytest.MonkeyPatch, job: RehearsedJob) -> None:
    move = files.set_aside

    def crashy(*args: object) -> bool:
        job.step()
        moved = move(*args)  # type: ignore[arg-type]
        job.step()
        return moved

    patch.setattr(files, "set_aside", crashy)
