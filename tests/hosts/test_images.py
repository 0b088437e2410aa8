"""Disk images that real machines have: listed as used, and not deleted."""

import os
from pathlib import Path

import libvirt
import pytest

from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.host import qemu_img
from oms.agent.images import handlers
from oms.contract.errors import InUse
from oms.contract.kvm import images as api
from tests.hosts.kvm_job import host
from tests.hosts.kvm_machines import disk_xml, small_xml

MIB = 1024 * 1024


async def used(machines: LibvirtMachines, images: Path) -> list[str]:
    return await handlers.list_file_based_images_used(api.ListFileBasedImagesUsed(), host(machines, images))


async def test_what_machines_have_is_used_with_all_that_it_stands_upon(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path, tmp_path: Path
) -> None:
    for name in ("alone.img", "raw.img", "base.img"):
        await qemu_img.create(images / name, "raw", MIB)
    await qemu_img.create(images / "middle.img", "qcow2", MIB, backing=(images / "base.img", "raw"))
    await qemu_img.create(images / "top.img", "qcow2", MIB, backing=(images / "middle.img", "qcow2"))
    (tmp_path / "link.img").symlink_to(images / "raw.img")
    (tmp_path / "foreign.img").write_bytes(bytes(MIB))
    virt.defineXML(small_xml("one", devices=disk_xml(images / "top.img")))
    virt.defineXML(
        small_xml(
            "two",
            devices=disk_xml(tmp_path / "link.img")
            + disk_xml(tmp_path / "foreign.img", "vdb")
            + disk_xml(images / "gone.img", "vdc"),
        )
    )
    assert await used(machines, images) == ["base.img", "gone.img", "middle.img", "raw.img", "top.img"]
    described = await handlers.describe_file_based_images(api.DescribeFileBasedImages(), host(machines, images))
    assert {image.name: image.machines for image in described} == {
        "alone.img": [], "base.img": ["one"], "middle.img": ["one"], "raw.img": ["two"], "top.img": ["one"],
    }  # fmt: skip


async def test_a_disk_that_was_plugged_into_a_running_machine_is_used(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path
) -> None:
    await qemu_img.create(images / "a.img", "raw", MIB)
    domain = virt.defineXML(small_xml("m"))
    domain.create()
    domain.attachDeviceFlags(disk_xml(images / "a.img"), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    assert await used(machines, images) == ["a.img"]
    domain.destroy()
    assert await used(machines, images) == []


async def test_a_disk_in_use_is_not_deleted_and_its_user_is_named(
    virt: libvirt.virConnect, machines: LibvirtMachines, images: Path, tmp_path: Path
) -> None:
    here = host(machines, images)
    await handlers.create_file_based_image(api.CreateFileBasedImage("a.img", 10, "raw"), here)
    os.link(images / "a.img", tmp_path / "another-name.img")
    domain = virt.defineXML(small_xml("openfiler", devices=disk_xml(tmp_path / "another-name.img")))
    with pytest.raises(InUse, match=r"'a\.img' is needed by machine 'openfiler': nothing was deleted") as refused:
        await handlers.delete_file_based_image(api.DeleteFileBasedImage("a.img"), host(machines, images))
    assert refused.value.data["user"] == "machine 'openfiler'"
    assert (images / "a.img").exists()
    domain.undefine()
    await handlers.delete_file_based_image(api.DeleteFileBasedImage("a.img"), host(machines, images))
    assert not (images / "a.img").exists()
