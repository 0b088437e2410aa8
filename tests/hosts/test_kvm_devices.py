"""Drives and interfaces put into real machines and taken out, CDs changed: at once and for good, or neither."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.host.links import bridges
from oms.agent.kvm import devices
from oms.agent.kvm.devices import attach_disk, attach_nic, change_cdrom, detach_disk, detach_nic
from oms.agent.kvm.domain_xml import NewMachine, domain_xml
from oms.contract.errors import AlreadyThere, FuncManError, GuestDidNotReact, InUse, NotThere, Unusable
from oms.contract.kvm import devices as api
from tests.hosts.conftest import MakeDomain
from tests.hosts.kvm_job import RehearsedJob, break_off_everywhere, host
from tests.hosts.kvm_machines import disk_xml, small_xml

ATTACH = api.AttachDisk("m", "d.qcow2")
MAC = "52:54:00:00:00:01"
NIC = api.AttachNic("m", "network", "quiet", mac_address=MAC)
EMPTY_DRIVE = "<disk type='file' device='cdrom'><target dev='hda' bus='ide'/><readonly/></disk>"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("images", "images/.formats", "iso"):
        (tmp_path / name).mkdir()
    return tmp_path / "images"


@pytest.fixture
def bridge() -> Iterator[str]:
    subprocess.run(["ip", "link", "add", "omstest0", "type", "bridge"], check=True)
    yield "omstest0"
    subprocess.run(["ip", "link", "del", "omstest0"], check=True)


def image(images: Path, name: str = "d.qcow2", recorded: str = "qcow2") -> Path:
    path = images / name
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "8M"], check=True)
    if recorded:
        record = f'{{"format":"{recorded}","inode":{path.stat().st_ino}}}'
        (images / ".formats" / name).write_text(record)
    return path


async def parts(machines: LibvirtMachines, name: str = "m") -> tuple[Any, Any]:
    """The drives (target, file, format) of both definitions, as it runs and as it will start."""
    machine = await machines.find(name)
    return tuple(
        {(disk.target, disk.file and disk.file.name, disk.format) for disk in definition.disks}
        if definition else None for definition in (machine.live, machine.kept)
    )  # type: ignore[return-value]  # fmt: skip


async def addresses(machines: LibvirtMachines) -> list[set[str] | None]:
    machine = await machines.find("m")
    return [
        {nic.mac for nic in definition.nics} if definition else None for definition in (machine.live, machine.kept)
    ]


async def test_a_disk_comes_and_goes_while_a_guest_runs_and_stays_for_its_next_starts(
    make_domain: MakeDomain, machines: LibvirtMachines, images: Path
) -> None:
    guest = make_domain("m")
    guest.start_and_wait()
    image(images)
    job = RehearsedJob()
    assert await attach_disk(ATTACH, host(machines, images, job)) == "vda"
    there = {("vda", "d.qcow2", "qcow2")}
    assert await parts(machines) == (there, there)
    assert job.notes == {"change": "changed now and for the next starts"}
    with pytest.raises(InUse, match=r"'d\.qcow2' is needed by machine 'm'"):
        await attach_disk(ATTACH, host(machines, images))
    assert await detach_disk(api.DetachDisk("m", "vda"), host(machines, images)) == 0
    assert await parts(machines) == (set(), set())
    assert (images / "d.qcow2").exists()
    with pytest.raises(NotThere, match="no drive 'vda'; it has: none"):
        await detach_disk(api.DetachDisk("m", "vda"), host(machines, images))


async def test_what_a_guest_does_not_let_go_of_stays_in_both(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firmware that idles knows nothing of taking parts out."""
    monkeypatch.setattr(devices, "LET_GO_SECONDS", 1.0)
    virt.defineXML(small_xml("m", devices=disk_xml(image(images)).replace("'raw'", "'qcow2'"))).create()
    for _ in range(2):
        with pytest.raises(GuestDidNotReact, match="'m' did not let go of drive vda within 1 s"):
            await detach_disk(api.DetachDisk("m", "vda"), host(machines, images))
    there = {("vda", "d.qcow2", "qcow2")}
    assert await parts(machines) == (there, there)


async def test_drives_are_named_in_turn_or_as_wanted(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    virt.defineXML(small_xml("m"))
    for number, (bus, wanted, given) in enumerate(
        (
            ("virtio", "", "vda"),
            ("virtio", "vdc", "vdc"),
            ("virtio", "", "vdb"),
            ("ide", "", "hda"),
            ("sata", "", "sda"),
        )
    ):
        image(images, f"{number}.qcow2")
        op = api.AttachDisk("m", f"{number}.qcow2", bus, wanted)  # type: ignore[arg-type]
        assert await attach_disk(op, host(machines, images)) == given
    image(images)
    with pytest.raises(AlreadyThere, match="'m' has a drive 'vdc' already"):
        await attach_disk(api.AttachDisk("m", "d.qcow2", "virtio", "vdc"), host(machines, images))
    with pytest.raises(FuncManError, match="on the bus ide is called hda, hdb and so on, not 'vdx'"):
        await attach_disk(api.AttachDisk("m", "d.qcow2", "ide", "vdx"), host(machines, images))


async def test_what_cannot_be_a_drive_now_is_refused_and_nothing_changes(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    domain = virt.defineXML(small_xml("m"))
    other = virt.defineXML(small_xml("other", devices=disk_xml(image(images, "taken.qcow2"))))
    image(images, "unknown.qcow2", recorded="")
    image(images)
    domain.create()
    for name, error, words in (
        ("nothing.qcow2", NotThere, "no disk image 'nothing.qcow2'"),
        ("taken.qcow2", InUse, "'taken.qcow2' is needed by machine 'other'"),
        ("unknown.qcow2", Unusable, "never told to OMS"),
    ):
        with pytest.raises(error, match=words):
            await attach_disk(api.AttachDisk("m", name), host(machines, images))
    with pytest.raises(FuncManError, match="'m' runs, and a drive on the bus ide cannot be given to it meanwhile"):
        await attach_disk(api.AttachDisk("m", "d.qcow2", "ide"), host(machines, images))
    with pytest.raises(FuncManError, match="'m' has no drive on the bus scsi, and so no controller for it"):
        await attach_disk(api.AttachDisk("m", "d.qcow2", "scsi"), host(machines, images))
    assert await parts(machines) == (set(), set())
    domain.managedSave(0)
    for call in (attach_disk(ATTACH, host(machines, images)), attach_nic(NIC, host(machines, images))):
        with pytest.raises(FuncManError, match="'m' is saved, and what was saved knows its parts"):
            await call
    other.undefine()


async def test_a_machine_of_ours_has_room_for_more_while_it_runs(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    new = NewMachine("11111111-1111-4111-8111-111111111111", "m", "qemu", 1, 64, graphics=None)
    virt.defineXML(domain_xml(new)).create()
    for number in range(6):
        image(images, f"{number}.qcow2")
        await attach_disk(api.AttachDisk("m", f"{number}.qcow2"), host(machines, images))
    assert len((await parts(machines))[0]) == 6


async def test_an_interface_comes_and_goes(
    make_domain: MakeDomain, machines: LibvirtMachines, images: Path, bridge: str
) -> None:
    guest = make_domain("m")
    guest.start_and_wait()
    on_bridge = api.AttachNic("m", "bridge", bridge)
    chosen = await attach_nic(on_bridge, host(machines, images))
    assert chosen.startswith("52:54:00:")
    assert await addresses(machines) == [{chosen}, {chosen}]
    live = (await machines.find("m")).live
    assert live is not None
    assert (live.nics[0].kind, live.nics[0].source, live.nics[0].model) == ("bridge", bridge, "virtio")
    with pytest.raises(AlreadyThere, match=f"'m' has the address {chosen} already"):
        await attach_nic(api.AttachNic("m", "bridge", bridge, "e1000", chosen.upper()), host(machines, images))
    assert await detach_nic(api.DetachNic("m", chosen.upper()), host(machines, images)) == 0
    assert await addresses(machines) == [set(), set()]
    with pytest.raises(NotThere, match=rf"no network interface {chosen}; it has: none"):
        await detach_nic(api.DetachNic("m", chosen), host(machines, images))
    assert "nosuch0" not in bridges()
    with pytest.raises(NotThere, match=r"no bridge 'nosuch0'; it has: .*omstest0"):
        await attach_nic(api.AttachNic("m", "bridge", "nosuch0"), host(machines, images))
    with pytest.raises(NotThere, match="no active network 'nosuch0'"):
        await attach_nic(api.AttachNic("m", "network", "nosuch0"), host(machines, images))


async def test_a_cd_is_put_in_and_taken_out_on_and_off(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    domain = virt.defineXML(small_xml("m", devices=EMPTY_DRIVE))
    for name in ("a.iso", "b.iso"):
        (images.parent / "iso" / name).write_bytes(bytes(2048))
    for on in (False, True):
        if on:
            domain.create()
            await asyncio.sleep(1)  # its firmware resets the drive, which libvirt takes for an open tray
        for medium in ("a.iso", "b.iso", "b.iso", ""):
            assert await change_cdrom(api.ChangeCdrom("m", medium), host(machines, images)) == 0
            live, kept = await parts(machines)
            assert [name for _, name, _ in kept] == [medium or None]
            assert live == (kept if on else None)
    with pytest.raises(NotThere, match=r"no ISO image 'c\.iso'"):
        await change_cdrom(api.ChangeCdrom("m", "c.iso"), host(machines, images))
    with pytest.raises(NotThere, match="no CD drive 'hdb'; it has: hda"):
        await change_cdrom(api.ChangeCdrom("m", "a.iso", "hdb"), host(machines, images))
    with pytest.raises(FuncManError, match="'hda' of machine 'm' is no disk: change_cdrom"):
        await detach_disk(api.DetachDisk("m", "hda"), host(machines, images))
    virt.defineXML(small_xml("bare"))
    with pytest.raises(NotThere, match="'bare' has no CD drive"):
        await change_cdrom(api.ChangeCdrom("bare", "a.iso"), host(machines, images))


@pytest.mark.parametrize("on", [False, True])
async def test_each_may_be_broken_off_anywhere(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path, on: bool
) -> None:
    (images.parent / "iso" / "a.iso").write_bytes(bytes(2048))
    path = image(images)
    domain = virt.defineXML(small_xml("m", devices=EMPTY_DRIVE))

    def once_in_both(words: str) -> None:
        texts = [domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), *([domain.XMLDesc(0)] if on else [])]
        assert {text.count(words) for text in texts} == {1}

    def begin() -> None:
        if domain.isActive():
            domain.destroy()
        virt.defineXML(small_xml("m", devices=EMPTY_DRIVE).replace("<memory", f"<uuid>{uuid}</uuid><memory", 1))
        if on:
            domain.create()

    uuid = domain.UUIDString()
    assert await break_off_everywhere(
        lambda here: attach_disk(ATTACH, here), machines, images, before=begin,
        after=lambda: once_in_both(str(path)),
    ) == 2 + 2  # fmt: skip
    await asyncio.sleep(on)

    def eject() -> None:
        flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG | (libvirt.VIR_DOMAIN_AFFECT_LIVE if on else 0)
        domain.updateDeviceFlags(EMPTY_DRIVE, flags)

    put_in = api.ChangeCdrom("m", "a.iso")
    assert await break_off_everywhere(
        lambda here: change_cdrom(put_in, here), machines, images, before=eject,
        after=lambda: once_in_both("a.iso"),
    ) == 2  # fmt: skip


async def test_taking_out_of_a_machine_that_is_off_may_be_broken_off_anywhere(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    nic = f"<interface type='user'><mac address='{MAC}'/></interface>"
    disk = disk_xml(image(images)).replace("'raw'", "'qcow2'")

    def begin() -> None:
        for domain in virt.listAllDomains(0):
            domain.undefine()
        virt.defineXML(small_xml("m", devices=disk + nic))

    def is_gone(words: str) -> None:
        assert words not in virt.lookupByName("m").XMLDesc(0)

    disk_op, nic_op = api.DetachDisk("m", "vda"), api.DetachNic("m", MAC)
    assert await break_off_everywhere(
        lambda here: detach_disk(disk_op, here), machines, images, before=begin, after=lambda: is_gone("d.qcow2")
    ) == 2 + 2  # fmt: skip
    assert await break_off_everywhere(
        lambda here: detach_nic(nic_op, here), machines, images, before=begin, after=lambda: is_gone(MAC)
    ) == 2 + 2  # fmt: skip
