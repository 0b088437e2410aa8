"""Descriptions of machines: read as other products mean them, written so that others read them."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.agent.templates import ovf, ovf_writing
from oms.agent.templates.appliance import Amount, Appliance, BadPackage, PackedDisk, PackedFile, PackedNic
from tests.agent.templates.packages import MIB, ovf_of
from tests.little_time import little_time


def test_a_machine_of_virtualbox() -> None:
    found = ovf.read(ovf_of("virtualbox"))
    assert (found.name, found.system, found.system_id) == ("small box", "Debian_64", 96)
    assert (found.vcpus, found.memory_mb) == (Amount(2), Amount(512))
    first, second = PackedFile("small box-disk001.vmdk"), PackedFile("small box-disk002.vmdk")
    assert found.disks == (
        PackedDisk("vmdisk1", first, 64 * MIB, "vmdk", "sata"),
        PackedDisk("vmdisk2", second, 32 * MIB, "vmdk", "sata"),
    )
    assert found.nics == (PackedNic("NAT", "e1000"),)
    assert (found.firmware, found.files) == ("bios", (first, second))


def test_a_machine_of_vmware() -> None:
    found = ovf.read(ovf_of("vmware", size=131072))
    assert (found.name, found.description) == ("web01", "Serves the web")
    assert (found.vcpus, found.memory_mb) == (Amount(2), Amount(1024))  # of the default configuration
    assert found.disks == (
        PackedDisk("vmdisk1", PackedFile("web01-disk1.vmdk", 131072), 64 * MIB, "vmdk", "sata"),
        PackedDisk("vmdisk2", None, 32 * MIB, "raw", "sata"),
    )
    assert found.nics == (PackedNic("VM Network", "e1000"),)
    assert found.firmware == "efi"
    assert [file.name for file in found.files] == ["web01-disk1.vmdk", "web01-file1.nvram"]


def test_a_template_of_the_first_opennode() -> None:
    found = ovf.read(ovf_of("opennode-2010"))
    assert (found.vcpus, found.memory_mb) == (Amount(2, 1, 4), Amount(256, 128))
    assert found.disks == (PackedDisk("vmdisk1.img", PackedFile("openfiler1.img", 65536), 65536, "qcow2"),)
    assert found.features == ("acpi", "pae")
    assert found.nics[0].network == "vmbr0"


FILE = PackedFile("a-disk1.vmdk", 1000)
RICH = Appliance(
    name="web <&> \"01\" é",
    vcpus=Amount(2, 1, 4),
    memory_mb=Amount(512, 256, 4096),
    disks=tuple(PackedDisk(f"vmdisk{n}", FILE if n < 9 else None, n * MIB, "vmdk" if n < 9 else "raw", "sata")
                for n in range(1, 10)),
    nics=(PackedNic("vmbr0"), PackedNic("vmbr1", "e1000e"), PackedNic("vmbr0")),
    files=(FILE,),
    description="a ]]> b",
    system="Debian GNU/Linux 12",
    system_id=96,
    chipset="q35",
    firmware="efi",
    features=("acpi",),
    clock="localtime",
    boot="network",
    on_poweroff="restart",
    on_reboot="destroy",
    on_crash="restart",
    mouse="ps2",
    keymap="et",
)  # fmt: skip


def test_what_is_written_is_read_again_as_it_was() -> None:
    assert ovf.read(ovf_writing.written(RICH)) == RICH


def test_what_is_written_keeps_to_what_other_products_ask_for() -> None:
    text = ovf_writing.written(RICH).decode()
    assert "<Envelope " in text
    assert 'xmlns="http://schemas.dmtf.org/ovf/envelope/1"' in text
    assert text.index("<References>") < text.index("<DiskSection>") < text.index("<NetworkSection>")
    assert text.count("<Network ") == 2
    assert "<rasd:AddressOnParent>7</rasd:AddressOnParent>" not in text  # the controller's own
    assert 'oms:TemplateSection ovf:required="false"' in text
    for item in text.split("<Item>")[1:]:
        names = [part.split(">")[0] for part in item.split("</Item>")[0].split("<rasd:")[1:]]
        assert names == sorted(names)


@given(st.sampled_from(["name", "description", "system"]), st.text(st.characters(codec="utf-8"), max_size=50))
def test_no_text_becomes_markup(field: str, text: str) -> None:
    made = ovf_writing.written(msgspec.structs.replace(RICH, **{field: text}))
    if any(ord(character) < 32 or ord(character) in {0xFFFE, 0xFFFF} for character in text):
        with contextlib.suppress(BadPackage):  # a character that no XML can hold
            ovf.read(made)
        return
    found = ovf.read(made)
    assert found.disks == RICH.disks
    assert getattr(found, field) == text.strip() or (field == "name" and not text.strip())


def changed(old: str, new: str, product: str = "virtualbox") -> bytes:
    text = ovf_of(product)
    assert old.encode() in text
    return text.replace(old.encode(), new.encode())


REFUSED: list[tuple[bytes, str]] = [
    (b"", "cannot be read"),
    (b"<a/>", "begins with a"),
    (b"x" * (ovf.LARGEST_BYTES + 1), "bytes; 1048576 are legal"),
    (changed("<Envelope ", "<!DOCTYPE Envelope><Envelope "), "document type"),
    (changed("http://schemas.dmtf.org/ovf/envelope/1", "http://schemas.dmtf.org/ovf/envelope/2"), "OVF 2"),
    (changed("</VirtualSystem>", '</VirtualSystem><VirtualSystem ovf:id="b"/>'), "2 machines"),
    (changed("VirtualHardwareSection>", "HardSection>"), "VirtualHardwareSection"),
    (changed('ovf:capacity="67108864"', 'ovf:capacity="-1"'), "capacity of its disk 'vmdisk1' is '-1'"),
    (changed('ovf:capacity="67108864"', 'ovf:capacity="${size}"'), "no whole number"),
    (changed('ovf:capacity="67108864"', 'ovf:capacity="0"'), "is 0 bytes"),
    (changed('ovf:capacity="67108864"', 'ovf:capacity="9999999999999999999"'), "bytes"),
    (changed('ovf:capacity="67108864"', 'ovf:capacity="1" ovf:capacityAllocationUnits="byte * 3^9"'), "no unit"),
    (changed('ovf:capacity="67108864"', 'ovf:capacity="1" ovf:parentRef="vmdisk2"'), "stands upon another"),
    (changed('ovf:fileRef="file1"', 'ovf:fileRef="file9"'), "does not list"),
    (changed("/disk/vmdisk1", "/disk/vmdisk9"), "does not describe"),
    (changed("vmdk.html#streamOptimized", "vhdx"), "legal are vmdk, vdi, qcow2, raw"),
    (changed('ovf:id="file1"', 'ovf:id="file1" ovf:compression="bzip2"'), "packed by 'bzip2'"),
    (changed('ovf:id="file1"', 'ovf:id="file1" ovf:chunkSize="1000"'), "in pieces"),
    (changed('ovf:id="file1"', 'ovf:id="file1" ovf:size="many"'), "the size of"),
    (changed("<rasd:VirtualQuantity>2<", "<rasd:VirtualQuantity>two<"), "number of CPUs is 'two'"),
    (changed("<rasd:VirtualQuantity>512<", "<rasd:VirtualQuantity>٥<"), "its memory"),
    (changed("<rasd:ResourceType>4<", "<rasd:ResourceType>44<"), "no memory"),
    (changed("MegaBytes", "fathoms"), "no unit"),
    (changed("</References>", "".join(
        f'<File ovf:id="x{n}" ovf:href="y{n}"/>' for n in range(70)) + "</References>"), "72 files"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_what_is_not_clear_or_not_safe_is_refused_in_words(text: bytes, why: str) -> None:
    with pytest.raises(BadPackage, match=why.replace("$", r"\$")):
        ovf.read(text)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('chipset="q35"', 'chipset="q36"', "not legal"),
        ('features="acpi"', 'features="acpi evil"', "not legal"),
        ('min_vcpu="1"', 'min_vcpu="-1"', "no whole number"),
        ('bus="sata"', 'bus="sata,readonly=off"', "not legal"),
        ('keymap="et"', f'keymap="{"e" * 65}"', "more than 64"),
    ],
)
def test_our_own_section_is_believed_no_more_than_the_rest(old: str, new: str, why: str) -> None:
    text = ovf_writing.written(RICH).decode()
    assert old in text
    with pytest.raises(BadPackage, match=why):
        ovf.read(text.replace(old, new).encode())


def bomb() -> bytes:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha"}">' for n in range(10))
    return f"<!DOCTYPE b [{entities}]><b>&a9;</b>".encode()


@pytest.mark.parametrize(
    "text",
    [
        bomb(),
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><Envelope>&b;</Envelope>',
        b"<a>" * 300_000,
        b"<a " + b" ".join(b'b%d="1"' % n for n in range(90_000)) + b"/>",
    ],
    ids=["a thousand million laughs", "a file from outside", "depth", "attributes"],
)
def test_a_text_made_to_hurt_is_refused_at_once(text: bytes) -> None:
    with little_time(), pytest.raises(BadPackage) as refused:
        ovf.read(text)
    assert "root:" not in str(refused.value)


@given(st.binary(max_size=400))
def test_garbage_is_refused_and_nothing_else_happens(text: bytes) -> None:
    with pytest.raises(BadPackage):
        ovf.read(text)


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        ("byte", 1), ("byte * 2^20", MIB), ("byte*2^10", 1024), ("byte * 1024", 1024), ("byte * 10^6", 10**6),
        ("MegaBytes", MIB), ("megabyte", MIB), ("GB", 1024**3), ("Bytes", 1), ("", 7),
    ],
)  # fmt: skip
def test_units(unit: str, size: int) -> None:
    reading: Any = ovf._unit(unit, 7)
    assert reading == size
