"""Definitions are read as they are meant, hostile ones refused, and only what was to change is changed."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.agent.guests import Disk, Nic
from oms.agent.guests.libvirt.definition import BadDefinition, definition, parse, with_settings
from tests.little_time import little_time

MIB = 1024
PLAIN = "<domain type='qemu'><name>a</name><memory unit='MiB'>512</memory><vcpu>2</vcpu><devices/></domain>"
RICH = """
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>&lt;img src=x onerror=alert(1)&gt;</name>
  <memory unit='KiB'>1048576</memory>
  <currentMemory unit='KiB'>524288</currentMemory>
  <vcpu placement='static' cpuset='0-3' current='1'>4</vcpu>
  <vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/></vcpus>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/images/top.qcow2'/>
      <backingStore type='file'><format type='qcow2'/><source
      file='/images/base.qcow2'/><backingStore/></backingStore> <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='hda'/><readonly/></disk>
    <disk type='block' device='lun'><source dev='/dev/vg/lv'/><target dev='sda'/></disk>
    <disk type='volume' device='disk'><source pool='p' volume='v'/><target dev='vdb'/></disk>
    <disk type='network' device='disk'><source protocol='rbd' name='pool/x'/><target dev='vdc'/></disk>
    <interface type='bridge'><mac address='52:54:00:AA:bb:cc'/><source bridge='vmbr0'/><target
    dev='vnet3'/><model type='e1000'/></interface>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
    <interface type='user'/>
    <memballoon model='virtio'/>
  </devices>
  <qemu:commandline><qemu:arg value='-nothing'/></qemu:commandline>
</domain>
"""


def test_a_plain_definition_has_its_memory_and_cpus_from_the_start() -> None:
    found = definition(PLAIN)
    assert (found.memory_kb, found.max_memory_kb) == (512 * MIB, 512 * MIB)
    assert (found.vcpus, found.max_vcpus) == (2, 2)
    assert not found.balloon
    assert not found.vcpus_pinned
    assert not found.memory_pinned


def test_a_rich_definition_is_read_in_full() -> None:
    found = definition(RICH, lambda pool, volume: Path("/pools", pool, volume))
    assert (found.memory_kb, found.max_memory_kb) == (512 * MIB, 1024 * MIB)
    assert (found.vcpus, found.max_vcpus) == (1, 4)
    assert found.balloon
    top, base = Path("/images/top.qcow2"), Path("/images/base.qcow2")
    assert found.disks == (
        Disk("vda", "disk", top, (top, base), bus="virtio", format="qcow2"),
        Disk("hda", "cdrom", None, (), read_only=True),
        Disk("sda", "lun", None, (Path("/dev/vg/lv"),)),
        Disk("vdb", "disk", None, (Path("/pools/p/v"),)),
        Disk("vdc", "disk", None, ()),
    )
    assert found.nics == (
        Nic("52:54:00:aa:bb:cc", "vmbr0", "vnet3", kind="bridge", model="e1000"),
        Nic("", "", "", kind="user"),
    )
    assert found.guest_agent


@pytest.mark.parametrize("channel", ["", "name='org.qemu.guest_agent.0'", "name='other' state='connected'"])
def test_an_agent_is_there_only_where_it_has_opened_its_own_channel(channel: str) -> None:
    devices = f"<devices><channel type='unix'><target type='virtio' {channel}/></channel></devices>"
    assert not definition(PLAIN.replace("<devices/>", devices)).guest_agent


@pytest.mark.parametrize(
    ("amount", "kb"),
    [("<memory>2048</memory>", 2048), ("<memory unit='bytes'>1048576</memory>", 1024),
     ("<memory unit='GiB'>1</memory>", 1024**2), ("<memory unit='k'> 7 </memory>", 7)],
)  # fmt: skip
def test_memory_is_read_in_every_unit(amount: str, kb: int) -> None:
    assert definition(f"<domain>{amount}<vcpu>1</vcpu></domain>").memory_kb == kb


@pytest.mark.parametrize(
    "layout",
    [
        "<cpu><topology sockets='1' cores='2' threads='1'/></cpu>",
        "<cpu><numa><cell cpus='0-1' memory='1'/></numa></cpu>",
    ],
)
def test_cpus_that_are_laid_out_are_pinned(layout: str) -> None:
    assert definition(PLAIN.replace("<devices/>", layout)).vcpus_pinned


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "no xml",
        "<domain>",
        "<!DOCTYPE domain><domain/>",
        "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain><name>&a;</name></domain>",
        "<domain>&undefined;</domain>",
        "<x>" * 200 + "</x>" * 200,
        "<domain><memory unit='parsec'>1</memory></domain>",
    ],
)
def test_what_is_no_honest_definition_is_refused(bad: str) -> None:
    with pytest.raises(BadDefinition):
        definition(bad)


def test_a_billion_laughs_are_refused_before_the_first() -> None:
    entities = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 10))
    with little_time(), pytest.raises(BadDefinition):
        parse(f"<!DOCTYPE d [<!ENTITY l0 'ha'>{entities}]><domain><name>&l9;</name></domain>")


@pytest.mark.parametrize(
    ("most", "current", "wanted", "then"),
    [
        (512, None, 256, (256, 256)),
        (512, 512, 256, (256, 256)),
        (512, 512, 1024, (1024, 1024)),
        (1024, 512, 256, (256, 1024)),
        (1024, 512, 1024, (1024, 1024)),
        (1024, 512, 2048, (2048, 2048)),
    ],
)
def test_the_maximum_of_memory_follows_unless_there_was_room(
    most: int, current: int | None, wanted: int, then: tuple[int, int]
) -> None:
    present = "" if current is None else f"<currentMemory unit='MiB'>{current}</currentMemory>"
    before = f"<domain><memory unit='MiB'>{most}</memory>{present}<vcpu>1</vcpu></domain>"
    once = with_settings(before, vcpus=None, memory_kb=wanted * MIB)
    found = definition(once)
    assert (found.memory_kb, found.max_memory_kb) == (then[0] * MIB, then[1] * MIB)
    again = definition(with_settings(once, vcpus=None, memory_kb=wanted * MIB))
    assert again == found


def test_memory_that_is_laid_out_keeps_its_maximum() -> None:
    pinned = PLAIN.replace("<devices/>", "<cpu><numa><cell cpus='0-1' memory='524288'/></numa></cpu>")
    found = definition(with_settings(pinned, vcpus=None, memory_kb=256 * MIB))
    assert (found.memory_kb, found.max_memory_kb) == (256 * MIB, 512 * MIB)


@pytest.mark.parametrize(("wanted", "then"), [(1, (1, 2)), (2, (2, 2)), (3, (3, 3))])
def test_the_maximum_of_cpus_is_only_raised(wanted: int, then: tuple[int, int]) -> None:
    found = definition(with_settings(PLAIN, vcpus=wanted, memory_kb=None))
    assert (found.vcpus, found.max_vcpus) == then


def test_all_else_stays_as_it_was() -> None:
    changed = with_settings(RICH, vcpus=2, memory_kb=256 * MIB)
    before, after = ET.fromstring(RICH), ET.fromstring(changed)
    for tree in (before, after):
        for name in ("memory", "currentMemory", "vcpu", "vcpus"):
            for element in tree.findall(name):
                tree.remove(element)
    assert ET.canonicalize(ET.tostring(after), strip_text=True) == ET.canonicalize(
        ET.tostring(before), strip_text=True
    )
    kept = ET.fromstring(changed).find("vcpu")
    assert kept is not None
    assert kept.get("cpuset") == "0-3"


NO_XML = "\ufffe\uffff"


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters=NO_XML), max_size=40)
)
def test_any_name_survives(name: str) -> None:
    root = ET.Element("domain")
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "memory").text = "1"
    ET.SubElement(root, "vcpu").text = "1"
    changed = with_settings(ET.tostring(root, encoding="unicode"), vcpus=1, memory_kb=2)
    assert (parse(changed).findtext("name") or "") == name


BY_DEVICE = """
<disk><target dev='vda'/><boot order='2'/></disk><disk><target dev='vdb'/></disk>
<interface><mac address='52:54:00:00:00:01'/><target dev='vnet0'/><boot order='1'/></interface>
<hostdev><boot order='x'/></hostdev>
"""


@pytest.mark.parametrize(
    ("system", "devices", "order"),
    [
        ("", "", ()),
        ("<boot dev='cdrom'/><boot dev='hd'/>", "", ("cdrom", "hd")),
        ("", BY_DEVICE, ("hostdev", "52:54:00:00:00:01", "vda")),
    ],
)
def test_from_what_it_starts_is_read_in_its_order(system: str, devices: str, order: tuple[str, ...]) -> None:
    text = f"<domain><memory>1</memory><os>{system}</os><devices>{devices}</devices></domain>"
    assert definition(text).boot == order
