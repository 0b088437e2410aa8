"""Templates on a real hypervisor."""

import os
from pathlib import Path

import pytest

from oms.agent.context import Host
from oms.agent.guests.libvirt import LibvirtMachines
from oms.agent.templates import unpacking
from oms.agent.templates.handlers import list_templates, parse_template_for_vm
from oms.contract.errors import NotThere, Unusable
from oms.contract.kvm import templates as api
from tests.agent.templates.packages import appliance, image, member, ova, ovf_of, packed, small_template, tar
from tests.hosts.kvm_job import host


@pytest.fixture
def here(machines: LibvirtMachines, tmp_path: Path) -> Host:
    for name in ("images", "templates"):
        (tmp_path / name).mkdir()
    return host(machines, tmp_path / "images")


async def parsed(here: Host, name: str) -> api.TemplateSettings:
    return await parse_template_for_vm(api.ParseTemplateForVm(name, "vm1"), here)


async def test_templates_are_listed_before_and_after_they_were_unpacked(here: Host) -> None:
    assert await list_templates(api.ListTemplates(), here) == []
    small_template(here.storage.templates, "b")
    small_template(here.storage.templates, "a")
    assert await list_templates(api.ListTemplates(), here) == ["a", "b"]
    await parsed(here, "a")
    assert len(list((here.storage.templates / unpacking.UNPACKED).iterdir())) == 1
    assert await list_templates(api.ListTemplates(), here) == ["a", "b"]


async def test_settings_are_the_templates_in_the_limits_of_this_host(here: Host) -> None:
    small_template(here.storage.templates, "a")
    found = await parsed(here, "a")
    assert (found.template_name, found.vm_name, found.domain_type) == ("a", "vm1", "kvm")
    assert (found.memory, found.min_memory, found.max_memory) == ("64", "48", "256")
    assert (found.vcpu, found.min_vcpu, found.max_vcpu) == ("1", "1", str(min(os.cpu_count() or 1, 2)))
    assert Path(found.emulator).name == "qemu-system-x86_64"
    assert [disk.source_file for disk in found.disks] == ["vm1.qcow2"]
    assert await parsed(here, "a") == found


async def test_a_package_of_another_product_is_read(here: Host, tmp_path: Path) -> None:
    disks = [image(tmp_path / f"{n}.vmdk", size_mb=size) for n, size in ((1, 64), (2, 32))]
    files: dict[str, bytes | Path] = {f"small box-disk00{n}.vmdk": disk for n, disk in enumerate(disks, 1)}
    tar(here.storage.templates / "box.ova", {"small box.ovf": ovf_of("virtualbox"), **files})
    found = await parsed(here, "box")
    assert [(disk.template_name, disk.target_dev) for disk in found.disks] == [
        ("small box-disk001.vmdk", "sda"), ("small box-disk002.vmdk", "sdb"),
    ]  # fmt: skip
    assert (found.memory, found.max_vcpu) == ("512", str(os.cpu_count()))


async def test_what_is_wrong_with_a_package_is_told_by_the_first_look(here: Host, tmp_path: Path) -> None:
    with pytest.raises(NotThere):
        await parsed(here, "a")
    (here.storage.templates / "a.ova").write_bytes(member(b"/etc/passwd", b"x") + bytes(1024))
    with pytest.raises(Unusable, match="'/etc/passwd' has a path for a name"):
        await parsed(here, "a")
    disk = image(tmp_path / "d.vmdk")
    ova(here.storage.templates / "b.ova", appliance(packed("d.vmdk", disk)), {"d.vmdk": disk})
    content = (here.storage.templates / "b.ova").read_bytes()
    place = content.index(b"KDMV") + 70_000
    (here.storage.templates / "b.ova").write_bytes(content[:place] + b"?" + content[place + 1 :])
    with pytest.raises(Unusable, match=r"'d\.vmdk' was changed or damaged"):
        await parsed(here, "b")
    assert not list((here.storage.templates / ".staging").iterdir())
