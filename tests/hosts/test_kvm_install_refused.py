"""What cannot be installed is refused before anything is made, with the reason."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import libvirt
import pytest

from oms.agent.context import Offer
from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.host import files
from oms.agent.host.lvm import TAG, Lvm
from oms.agent.kvm.install import create_vm_from_iso
from oms.contract.errors import (
    AlreadyThere,
    FuncManError,
    InUse,
    NoMemory,
    NoSpace,
    NotSupported,
    NotThere,
    OmsError,
    ParameterMismatch,
)
from tests.agent.kvm.new_machines import asked
from tests.hosts.kvm_job import RehearsedJob, host
from tests.hosts.kvm_machines import small_xml
from tests.hosts.loop_device import loop_device
from tests.hosts.volume_groups import has_device_mapper, volume_group


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("images", "iso"):
        (tmp_path / name).mkdir()
    (tmp_path / "iso" / "cd.iso").write_bytes(bytes(2048))
    return tmp_path / "images"


async def refused(
    error: type[OmsError],
    words: str,
    machines: LibvirtMachines,
    images: Path,
    *,
    offer: Offer = Offer(),  # noqa: B008 - frozen
    lvm: Lvm = Lvm(),  # noqa: B008 - frozen
    **changes: Any,
) -> OmsError:
    """The error of a call after which all is as before, and no job has anything to take up again."""
    before = sorted(files.regular_files(images)), sorted(machine.uuid for machine in await machines.all())
    job = RehearsedJob()
    with pytest.raises(error, match=words) as caught:
        await create_vm_from_iso(asked(**changes), host(machines, images, job, offer=offer, lvm=lvm))
    after = sorted(files.regular_files(images)), sorted(machine.uuid for machine in await machines.all())
    assert after == before
    assert (job.answers, job.records) == ([], {})
    return caught.value


async def test_a_name_that_is_taken(virt: libvirt.virConnect, machines: LibvirtMachines, images: Path) -> None:
    domain = virt.defineXML(small_xml("m"))
    await refused(AlreadyThere, "There is a machine 'm' on this host already", machines, images)
    error = await refused(ParameterMismatch, "which is a UUID", machines, images, kvm_vm_name=domain.UUIDString())
    assert error.data == {"parameter": "kvm_vm_name"}


async def test_an_image_that_is_there(machines: LibvirtMachines, images: Path) -> None:
    (images / "m.qcow2").write_bytes(b"another's")
    await refused(AlreadyThere, "There is a file m.qcow2", machines, images)
    assert (images / "m.qcow2").read_bytes() == b"another's"


async def test_a_medium_that_is_not_there_or_not_ours(machines: LibvirtMachines, images: Path) -> None:
    await refused(NotThere, "There is no ISO image 'no.iso'", machines, images, cdrom_iso="no.iso")
    (images.parent / "iso" / "link.iso").symlink_to("/etc/passwd")
    await refused(NotThere, "'link.iso' .* no regular file", machines, images, cdrom_iso="link.iso")
    for name in ("../images/m.img", "/etc/passwd", ".hidden", ""):  # which no server lets through
        await refused(NotThere, "is no name of a file", machines, images, cdrom_iso=name)


async def test_memory_that_the_host_does_not_have(machines: LibvirtMachines, images: Path) -> None:
    await refused(NoMemory, "MB were asked for", machines, images, memory_size="9999999")
    error = await refused(ParameterMismatch, "32 MB at least", machines, images, memory_size=31)
    assert error.data == {"parameter": "memory_size"}


async def test_a_disk_for_which_there_is_no_room(machines: LibvirtMachines, images: Path) -> None:
    await refused(NoSpace, "The disk of machine 'm' needs", machines, images, file_based_disk_size="65536")
    error = await refused(ParameterMismatch, "legal is 1 to 65536", machines, images, file_based_disk_size="")
    assert error.data == {"parameter": "file_based_disk_size"}


async def test_a_system_that_nobody_knows(machines: LibvirtMachines, images: Path) -> None:
    error = await refused(ParameterMismatch, "did you mean debian11", machines, images, os_variant="debain11")
    assert error.data == {"parameter": "os_variant"}


async def test_a_bridge_that_was_set_and_is_not_there(machines: LibvirtMachines, images: Path) -> None:
    offer = Offer(bridge="no-such-bridge")
    await refused(NotThere, "no bridge 'no-such-bridge'", machines, images, offer=offer)


@contextmanager
def mounted(device: str, directory: Path) -> Iterator[None]:
    """A device with a file system, in use by the host."""
    subprocess.run(["mkfs.ext4", "-q", device], check=True)
    (directory / "mounted").mkdir()
    subprocess.run(["mount", device, str(directory / "mounted")], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory / "mounted")], check=True)


@pytest.mark.parametrize(
    "path", ["/dev/sda", "/dev/null", "/dev/no-such-group/volume", "/dev/disk/by-id/x", "/dev/vg/lv"]
)
async def test_a_device_that_nobody_gave_to_oms(machines: LibvirtMachines, images: Path, path: str) -> None:
    await refused(NotThere, f"{path} is no logical volume", machines, images, block_device_based_disk_path=path)


async def test_a_device_that_is_none_is_not_there_or_is_in_use(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path, tmp_path: Path
) -> None:
    with loop_device(tmp_path) as path:
        offer = Offer(block_devices=(path, "/dev/null", "/dev/no-such"))

        async def not_taken(error: type[OmsError], words: str, device: str = path) -> None:
            await refused(error, words, machines, images, offer=offer, block_device_based_disk_path=device)

        await not_taken(NotThere, "is no block device", "/dev/null")
        await not_taken(NotThere, "There is no device", "/dev/no-such")
        with mounted(path, tmp_path):
            await not_taken(InUse, "is in use on the host: mounted")
        source = f"<disk type='block'><source dev='{path}'/><target dev='vda' bus='virtio'/></disk>"
        virt.defineXML(small_xml("other", devices=source))
        await not_taken(InUse, f"{path} is the disk of machine 'other'")


async def test_a_volume_that_is_not_ours_or_has_no_device(
    machines: LibvirtMachines, images: Path, tmp_path: Path
) -> None:
    with volume_group(tmp_path) as group:
        for name, tags in (("own", (TAG,)), ("foreign", ())):
            await group.lvm.create(group.name, name, 4 * 1024 * 1024, tags)
        foreign, own = (f"/dev/{group.name}/{name}" for name in ("foreign", "own"))
        words = "was not made by OMS; to hand it over to OMS: lvchange"
        await refused(FuncManError, words, machines, images, lvm=group.lvm, block_device_based_disk_path=foreign)
        if not has_device_mapper():
            words = "no device-mapper"
            await refused(NotSupported, words, machines, images, lvm=group.lvm, block_device_based_disk_path=own)


async def test_what_the_hypervisor_refuses_leaves_nothing(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ISO image is gone when qemu wants to open it."""
    start_once = machines.start_once

    async def too_late(uuid: str, xml: str) -> None:
        (images.parent / "iso" / "cd.iso").unlink()
        await start_once(uuid, xml)

    monkeypatch.setattr(machines, "start_once", too_late)
    job = RehearsedJob()
    with pytest.raises(FuncManError, match=r"libvirt refused: .*cd\.iso"):
        await create_vm_from_iso(asked(), host(machines, images, job))
    assert virt.listAllDomains(0) == []
    assert list(files.regular_files(images)) == []
    assert job.answers == []
