"""Snapshots of real machines: what is kept, what comes back, what is refused, and what a crash leaves."""

import asyncio
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest

from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.host import files
from oms.agent.kvm.handlers import delete_vm
from oms.agent.kvm.snapshots import create_snapshot, delete_snapshot, list_snapshots, revert_snapshot
from oms.contract import kvm
from oms.contract.errors import (
    AlreadyThere,
    FuncManError,
    HypervisorUnavailable,
    InUse,
    JobInterrupted,
    NoSpace,
    NotThere,
    Unusable,
)
from oms.contract.kvm import snapshots as api
from tests import small_disk
from tests.hosts.conftest import MakeDomain
from tests.hosts.guest_image import FULL, TICK_MARKER, TICKING, UP_MARKER, GuestImage
from tests.hosts.guests import Guest, domain_xml
from tests.hosts.kvm_job import Crash, RehearsedJob, break_off_everywhere, crashy_host, host
from tests.hosts.kvm_machines import connected, disk_xml, small_xml
from tests.hosts.libvirtd import PrivateLibvirtd

CREATE = api.CreateSnapshot("m", "s", "before <the> upgrade & after")
REVERT, DELETE, LIST = api.RevertSnapshot("m", "s"), api.DeleteSnapshot("m", "s"), api.ListSnapshots("m")


def qcow2(path: Path) -> Path:
    qemu_img("create", "-q", "-f", "qcow2", path, "8M")
    return path


def qemu_img(*words: str | Path) -> None:
    subprocess.run(["qemu-img", *words], check=True)


def drive(path: Path, target: str = "vda") -> str:
    return disk_xml(path, target).replace("'raw'", "'qcow2'")


def write(path: Path, words: bytes) -> None:
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -q -P {words[0]} 0 512", path], check=True)


def holds(path: Path, words: bytes) -> bool:
    read = f"read -q -P {words[0]} 0 512"
    said = subprocess.run(["qemu-io", "-f", "qcow2", "-c", read, path], check=True, capture_output=True)
    return said.stdout == b""  # else it says that the pattern is another


def in_image(path: Path) -> list[str]:
    listed = subprocess.run(["qemu-img", "snapshot", "-U", "-l", path], check=True, capture_output=True, text=True)
    return [line.split()[1] for line in listed.stdout.splitlines()[2:]]


def ticks(guest: Guest) -> list[int]:
    said = guest.console.read_text(errors="replace")
    return [int(number) for number in re.findall(rf"{TICK_MARKER} ([0-9]+)\r?\n", said)]


async def test_a_machine_that_is_off_goes_back_with_all_its_disks(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    disks = [qcow2(images / "a.qcow2"), qcow2(images / "b.qcow2")]
    cd = images / "cd.iso"
    cd.write_bytes(bytes(2048))
    devices = drive(disks[0]) + drive(disks[1], "vdb") + disk_xml(cd, "hda", "cdrom")
    virt.defineXML(small_xml("m", devices=devices))
    here = host(machines, images)
    for disk in disks:
        write(disk, b"a")
    assert await create_snapshot(CREATE, here) == 0
    for disk in disks:
        write(disk, b"b")
    assert await create_snapshot(api.CreateSnapshot("m", "t"), here) == 0
    for disk in disks:
        write(disk, b"c")
    first, second = await list_snapshots(LIST, here)
    assert (first.name, first.description, first.state) == ("s", CREATE.description, "shutdown")
    assert (first.memory_kb, first.parent, first.current, first.revertible) == (0, "", False, True)
    assert (second.name, second.parent, second.current) == ("t", "s", True)
    assert first.created <= second.created
    assert first.created.startswith("20")
    assert first.created.endswith("Z")
    assert await revert_snapshot(REVERT, here) == 0
    assert all(holds(disk, b"a") for disk in disks)
    assert [snapshot.current for snapshot in await list_snapshots(LIST, here)] == [True, False]
    assert await delete_snapshot(DELETE, here) == 0
    assert in_image(disks[0]) == in_image(disks[1]) == ["t"]
    assert await revert_snapshot(api.RevertSnapshot("m", "t"), here) == 0
    assert all(holds(disk, b"b") for disk in disks)


async def test_a_running_guest_goes_back_in_its_midst(
    make_domain: MakeDomain, machines: LibvirtMachines, images: Path
) -> None:
    guest = make_domain("m", disk=qcow2(images / "d.qcow2"), words=(TICKING,))
    guest.start_and_wait()
    guest.wait_for(f"{TICK_MARKER} 5")
    here = host(machines, images)
    assert await create_snapshot(CREATE, here) == 0
    assert guest.domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    (snapshot,) = await list_snapshots(LIST, here)
    assert (snapshot.state, snapshot.current) == ("running", True)
    assert snapshot.memory_kb > 10_000
    at_most = ticks(guest)[-1] + 1
    guest.wait_for(f"{TICK_MARKER} {at_most + 10}")
    assert await revert_snapshot(REVERT, here) == 0
    guest.wait_for(TICK_MARKER)
    assert 5 <= ticks(guest)[0] <= at_most + 1  # it counts on from where it was, and has not booted
    assert UP_MARKER not in guest.console.read_text()
    assert guest.domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING


async def test_a_machine_goes_back_into_the_state_it_had(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    domain = virt.defineXML(small_xml("m", devices=drive(qcow2(images / "d.qcow2"))))
    here = host(machines, images)
    await create_snapshot(api.CreateSnapshot("m", "off"), here)
    domain.create()
    await create_snapshot(api.CreateSnapshot("m", "on"), here)
    domain.suspend()
    await create_snapshot(api.CreateSnapshot("m", "still"), here)
    states = {
        "off": libvirt.VIR_DOMAIN_SHUTOFF,
        "on": libvirt.VIR_DOMAIN_RUNNING,
        "still": libvirt.VIR_DOMAIN_PAUSED,
    }
    for name in ("off", "on", "still", "off", "still", "on"):
        assert await revert_snapshot(api.RevertSnapshot("m", name), here) == 0
        assert domain.state()[0] == states[name], name
    told = {snapshot.name: snapshot.state for snapshot in await list_snapshots(LIST, here)}
    assert told == {"off": "shutdown", "on": "running", "still": "paused"}


async def test_settings_go_back_too_and_what_else_changes_is_noted(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    first, second = drive(qcow2(images / "a.qcow2")), drive(qcow2(images / "b.qcow2"), "vdb")
    virt.defineXML(small_xml("m", devices=first))
    await create_snapshot(CREATE, host(machines, images))
    uuid = virt.lookupByName("m").UUIDString()
    later = small_xml("m", memory_mb=64, devices=first + second).replace(
        "<memory", f"<uuid>{uuid}</uuid><memory", 1
    )
    virt.defineXML(later)
    job = RehearsedJob()
    assert await revert_snapshot(REVERT, host(machines, images, job)) == 0
    kept = (await machines.find("m")).kept
    assert kept is not None
    assert (kept.memory_kb, [disk.target for disk in kept.disks]) == (32 * 1024, ["vda"])
    assert list(job.notes.values()) == ["drive vdb (b.qcow2) goes: it was not there then"]


def raw(path: Path) -> str:
    path.write_bytes(bytes(1024 * 1024))
    return disk_xml(path)


NETWORK = (
    "<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' name='x'>"
    "<host name='127.0.0.1' port='1'/></source><target dev='vdc' bus='virtio'/></disk>"
)


@pytest.mark.parametrize(
    ("devices", "whys"),
    [
        (lambda images: raw(images / "r.img"), {"vda": "is raw"}),
        (lambda images: drive(qcow2(images / "a.qcow2")) + NETWORK, {"vdc": "is no file of this host"}),
        (lambda images: raw(images / "r.img") + NETWORK, {"vda": "is raw", "vdc": "is no file of this host"}),
        (lambda _images: "", {}),
    ],
)
async def test_machines_of_which_none_can_be_made_are_refused_with_every_reason(
    virt: libvirt.virConnect,
    machines: LibvirtMachines,
    images: Path,
    devices: Callable[[Path], str],
    whys: dict[str, str],
) -> None:
    virt.defineXML(small_xml("m", devices=devices(images)))
    with pytest.raises(Unusable) as refused:
        await create_snapshot(CREATE, host(machines, images))
    assert refused.value.data.get("drives", {}) == whys
    assert all(f"drive {target} {why}" in refused.value.message for target, why in whys.items())
    assert await list_snapshots(LIST, host(machines, images)) == []


async def test_a_name_is_taken_once_also_by_what_others_put_into_the_image(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    disk = qcow2(images / "d.qcow2")
    virt.defineXML(small_xml("m", devices=drive(disk)))
    here = host(machines, images)
    await create_snapshot(CREATE, here)
    with pytest.raises(AlreadyThere, match="'m' has a snapshot 's' already"):
        await create_snapshot(CREATE, host(machines, images))
    qemu_img("snapshot", "-c", "foreign", disk)
    with pytest.raises(AlreadyThere, match=r"d\.qcow2 holds a snapshot 'foreign' that was made elsewhere"):
        await create_snapshot(api.CreateSnapshot("m", "foreign"), host(machines, images))
    assert in_image(disk) == ["s", "foreign"]
    for call in (revert_snapshot(api.RevertSnapshot("m", "foreign"), host(machines, images)),
                 delete_snapshot(api.DeleteSnapshot("m", "foreign"), host(machines, images))):  # fmt: skip
        with pytest.raises(NotThere, match=r"no snapshot 'foreign'; it has: s$"):
            await call


async def test_a_saved_machine_is_neither_kept_nor_put_back(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    domain = virt.defineXML(small_xml("m", devices=drive(qcow2(images / "d.qcow2"))))
    await create_snapshot(CREATE, host(machines, images))
    domain.create()
    domain.managedSave(0)
    for call in (create_snapshot(api.CreateSnapshot("m", "t"), host(machines, images)),
                 revert_snapshot(REVERT, host(machines, images))):  # fmt: skip
        with pytest.raises(FuncManError, match=r"'m' is saved, and .*discard_saved_vm"):
            await call
    assert domain.hasManagedSaveImage(0)


async def test_a_machine_that_is_not_kept_has_none(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    virt.createXML(small_xml("m", devices=drive(qcow2(images / "d.qcow2"))))
    with pytest.raises(FuncManError, match="gone when it stops, so it cannot have snapshots"):
        await create_snapshot(CREATE, host(machines, images))


async def test_a_snapshot_in_files_of_its_own_is_listed_and_left_alone(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    domain = virt.defineXML(small_xml("m", devices=drive(qcow2(images / "d.qcow2"))))
    domain.snapshotCreateXML(
        "<domainsnapshot><name>s</name></domainsnapshot>", libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
    )
    (snapshot,) = await list_snapshots(LIST, host(machines, images))
    assert not snapshot.revertible
    for call in (revert_snapshot(REVERT, host(machines, images)), delete_snapshot(DELETE, host(machines, images))):
        with pytest.raises(Unusable, match="'s' of machine 'm' was made elsewhere, in files of its own"):
            await call
    assert domain.snapshotListNames(0) == ["s"]


async def test_a_disk_that_another_has_now_is_not_put_back(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    disk = qcow2(images / "d.qcow2")
    virt.defineXML(small_xml("m", devices=drive(disk)))
    await create_snapshot(CREATE, host(machines, images))
    other = virt.defineXML(small_xml("other", devices=drive(disk)))
    with pytest.raises(InUse, match="which machine 'other' has now: nothing was changed"):
        await revert_snapshot(REVERT, host(machines, images))
    other.undefine()
    qemu_img("snapshot", "-d", "s", disk)
    with pytest.raises(Unusable, match=r"'s' is not whole: drive vda was in .*its part is not there any more"):
        await revert_snapshot(REVERT, host(machines, images))
    disk.unlink()
    with pytest.raises(Unusable, match="that is not there any more"):
        await revert_snapshot(REVERT, host(machines, images))


@pytest.mark.skipif(small_disk.why_not() is not None, reason=str(small_disk.why_not()))
async def test_the_memory_of_a_running_machine_must_have_room(
    make_libvirtd: Callable[[], PrivateLibvirtd], tmp_path: Path
) -> None:
    with small_disk.mounted(tmp_path, 32) as images:  # before the libvirtd, which sees no later mounts
        daemon = make_libvirtd()
        domain = daemon.connect().defineXML(small_xml("m", memory_mb=64, devices=drive(qcow2(images / "d.qcow2"))))
        domain.create()
        with pytest.raises(NoSpace, match=r"A snapshot with the memory of machine 'm' needs 64\.0 MiB"):
            async with connected(daemon.uri) as machines:
                await create_snapshot(CREATE, host(machines, images))
        assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING


async def test_deleting_a_machine_takes_its_snapshots(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    domain = virt.defineXML(small_xml("m", devices=drive(qcow2(images / "d.qcow2"))))
    here = host(machines, images)
    await create_snapshot(CREATE, here)
    domain.create()
    await create_snapshot(api.CreateSnapshot("m", "t"), here)
    assert await delete_vm(kvm.DeleteVm("m"), host(machines, images)) == 0
    assert virt.listAllDomains(0) == []
    assert list(files.regular_files(images)) == []


@pytest.mark.parametrize("on", [False, True])
async def test_each_may_be_broken_off_anywhere_and_is_finished_by_the_next_run(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path, on: bool
) -> None:
    disk = qcow2(images / "d.qcow2")
    domain = virt.defineXML(small_xml("m", devices=drive(disk)))

    def drop_all() -> None:
        for snapshot in domain.listAllSnapshots(0):
            snapshot.delete(0)

    def begin() -> None:
        drop_all()
        if on and not domain.isActive():
            domain.create()

    def is_made() -> None:
        assert domain.snapshotListNames(0) == in_image(disk) == ["s"]
        assert bool(domain.isActive()) is on

    assert (
        await break_off_everywhere(
            lambda here: create_snapshot(CREATE, here), machines, images, before=begin, after=is_made
        )
        == 2 + 2
    )
    assert (
        await break_off_everywhere(
            lambda here: revert_snapshot(REVERT, here), machines, images, before=int, after=is_made
        )
        == 2 + 2
    )

    def make() -> None:
        begin()
        domain.snapshotCreateXML("<domainsnapshot><name>s</name></domainsnapshot>", 0)

    def is_gone() -> None:
        assert domain.snapshotListNames(0) == in_image(disk) == []

    assert (
        await break_off_everywhere(
            lambda here: delete_snapshot(DELETE, here), machines, images, before=make, after=is_gone
        )
        == 2 + 2
    )


async def test_going_back_is_not_done_twice_once_the_guest_runs_on(
    make_domain: MakeDomain, machines: LibvirtMachines, images: Path
) -> None:
    guest = make_domain("m", disk=qcow2(images / "d.qcow2"), words=(TICKING,))
    guest.start_and_wait()
    await create_snapshot(CREATE, host(machines, images))
    job = RehearsedJob(break_at=4)  # run written down: 2, reverted: 2
    with pytest.raises(Crash):
        await revert_snapshot(REVERT, crashy_host(machines, images, job))
    reached = (ticks(guest) or [0])[-1] + 8
    guest.wait_for(f"{TICK_MARKER} {reached}")
    assert await revert_snapshot(REVERT, host(machines, images, RehearsedJob(job.records))) == 0
    guest.wait_for(f"{TICK_MARKER} {reached + 3}")
    assert ticks(guest) == sorted(ticks(guest))


async def test_half_a_snapshot_that_the_hypervisor_left_is_made_whole(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    """libvirt died when the first of two images had its part, and nobody knows of it."""
    disks = [qcow2(images / "a.qcow2"), qcow2(images / "b.qcow2")]
    virt.defineXML(small_xml("m", devices=drive(disks[0]) + drive(disks[1], "vdb")))
    qemu_img("snapshot", "-c", "s", disks[0])
    resumed = RehearsedJob({"begun": '"shutdown"'})
    assert await create_snapshot(CREATE, host(machines, images, resumed)) == 0
    assert in_image(disks[0]) == in_image(disks[1]) == ["s"]


async def test_a_machine_that_went_off_while_it_was_kept_has_no_snapshot_and_that_is_told(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    disk = qcow2(images / "d.qcow2")
    virt.defineXML(small_xml("m", devices=drive(disk)))
    qemu_img("snapshot", "-c", "s", disk)
    resumed = RehearsedJob({"begun": '"running"'})
    with pytest.raises(JobInterrupted, match="the hypervisor broke off and it went off"):
        await create_snapshot(CREATE, host(machines, images, resumed))
    assert in_image(disk) == virt.lookupByName("m").snapshotListNames(0) == []


async def test_a_machine_that_stands_still_since_libvirtd_died_is_let_go_on_and_kept(
    make_libvirtd: Callable[[], PrivateLibvirtd], guest_image: GuestImage, images: Path
) -> None:
    daemon, console, disk = make_libvirtd(), images / "console", qcow2(images / "d.qcow2")
    xml = domain_xml("m", memory_mb=512, vcpu=1, console=console, disk=disk, image=guest_image, words=(FULL,))
    guest = Guest(daemon.connect().defineXML(xml), console)
    guest.start_and_wait()
    async with connected(daemon.uri) as machines:
        job = RehearsedJob()
        first = asyncio.ensure_future(create_snapshot(CREATE, host(machines, images, job)))
        while disk.stat().st_blocks * 512 < 20 * 1024 * 1024:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        daemon.kill()
        with pytest.raises(HypervisorUnavailable):
            await first
        while in_image(disk) != ["s"]:  # noqa: ASYNC110 - the machine's process ends what it began
            await asyncio.sleep(0.05)
        daemon.start()
        assert daemon.connect().lookupByName("m").state()[0] == libvirt.VIR_DOMAIN_PAUSED
        await asyncio.sleep(1)  # as the agent does, until libvirtd is heard of again
        assert await create_snapshot(CREATE, host(machines, images, RehearsedJob(job.records))) == 0
        found = await machines.find("m")
        assert found.state == "running"
        assert [snapshot.name for snapshot in await machines.snapshots(found.uuid)] == ["s"]
    assert in_image(disk) == ["s"]
