"""An `Appliance` as an .ovf file that other products import. Pure.

What they ask for, found by trying: OVF 1, its namespace the default one; the parts of an item in the order of the
alphabet; disks on a SCSI controller whose model they all have; a network card that they all have; capacities in
bytes. How the machine really is stands in our own section.
"""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Final

from oms.agent.templates import ours
from oms.agent.templates.appliance import Appliance, PackedDisk
from oms.agent.templates.vocabulary import (
    ADDRESSES,
    CPU,
    DISK,
    ETHERNET,
    MEMORY,
    OURS,
    OVF,
    RASD,
    SCSI,
    VSSD,
    XSI,
)

SYSTEM_TYPES: Final = "vmx-13 virtualbox-2.2 kvm"
OTHER_64_BIT: Final = 102  # CIM_OperatingSystem.OsType "Other 64-Bit"
CONTROLLER: Final = 3
FIRST_DISK: Final = 10
FIRST_NIC: Final = 100
USUAL_NETWORK: Final = "Network"
PREFIXES: Final = {"ovf": OVF, "rasd": RASD, "vssd": VSSD, "xsi": XSI, "oms": OURS}


def written(appliance: Appliance) -> bytes:
    """The .ovf. Its files must have their sizes."""
    envelope = ET.Element(_ovf("Envelope"), {_ovf("version"): "1.0"})
    references = ET.SubElement(envelope, _ovf("References"))
    files = {file.name: f"file{number}" for number, file in enumerate(appliance.files, 1)}
    for file in appliance.files:
        packing = {"compression": "gzip"} if file.gzip else {}
        _element(references, "File", id=files[file.name], href=file.name, size=str(file.size), **packing)
    disks = _section(envelope, "DiskSection", "The machine's disks")
    for disk in appliance.disks:
        _disk(disks, disk, files)
    if appliance.nics:
        _networks(envelope, appliance)
    _system(envelope, appliance)
    return _bytes(envelope)


def _networks(envelope: ET.Element, appliance: Appliance) -> None:
    networks = _section(envelope, "NetworkSection", "The networks that the machine is on")
    for name in dict.fromkeys(nic.network or USUAL_NETWORK for nic in appliance.nics):
        _text(ET.SubElement(networks, _ovf("Network"), {_ovf("name"): name}), "Description", f"The network {name}")


def _system(envelope: ET.Element, appliance: Appliance) -> None:
    system = _element(envelope, "VirtualSystem", id=appliance.name)
    _text(system, "Info", "A virtual machine")
    _text(system, "Name", appliance.name)
    if appliance.description:
        _text(_section(system, "AnnotationSection", "What it is"), "Annotation", appliance.description)
    guest = _section(system, "OperatingSystemSection", "The operating system")
    guest.set(_ovf("id"), str(appliance.system_id or OTHER_64_BIT))
    if appliance.system:
        _text(guest, "Description", appliance.system)
    _hardware(system, appliance)
    system.append(ours.section(appliance))


def _hardware(system: ET.Element, appliance: Appliance) -> None:
    hardware = _section(system, "VirtualHardwareSection", "The machine's hardware")
    kind = ET.SubElement(hardware, _ovf("System"))
    for name, text in (
        ("ElementName", "Virtual Hardware Family"),
        ("InstanceID", "0"),
        ("VirtualSystemIdentifier", appliance.name),
        ("VirtualSystemType", SYSTEM_TYPES),
    ):
        ET.SubElement(kind, f"{{{VSSD}}}{name}").text = text
    vcpus, memory_mb = appliance.vcpus.normal, appliance.memory_mb.normal
    _item(hardware, CPU, 1, f"{vcpus} virtual CPUs", AllocationUnits="hertz * 10^6", VirtualQuantity=str(vcpus))
    _item(
        hardware, MEMORY, 2, f"{memory_mb} MB of memory", AllocationUnits="byte * 2^20",
        VirtualQuantity=str(memory_mb),
    )  # fmt: skip
    _item(hardware, SCSI, CONTROLLER, "SCSI controller 0", Address="0", ResourceSubType="lsilogic")
    for number, disk in enumerate(appliance.disks):
        _item(
            hardware, DISK, FIRST_DISK + number, f"Hard disk {number + 1}",
            AddressOnParent=str(_unit_number(number)), HostResource=f"ovf:/disk/{disk.id}", Parent=str(CONTROLLER),
        )  # fmt: skip
    for number, nic in enumerate(appliance.nics):
        _item(
            hardware, ETHERNET, FIRST_NIC + number, f"Network interface {number + 1}",
            AddressOnParent=str(number), AutomaticAllocation="true", Connection=nic.network or USUAL_NETWORK,
            ResourceSubType="E1000",
        )  # fmt: skip


def _unit_number(number: int) -> int:
    """7 is the controller's own."""
    return number if number < 7 else number + 1


def _disk(disks: ET.Element, disk: PackedDisk, files: Mapping[str, str]) -> None:
    element = _element(disks, "Disk", diskId=disk.id, capacity=str(disk.capacity_bytes))
    element.set(_ovf("capacityAllocationUnits"), "byte")
    if disk.file is not None:
        element.set(_ovf("fileRef"), files[disk.file.name])
        element.set(_ovf("format"), ADDRESSES[disk.format])


def _item(hardware: ET.Element, kind: int, number: int, name: str, **values: str) -> None:
    values |= {"ElementName": name, "InstanceID": str(number), "ResourceType": str(kind)}
    item = ET.SubElement(hardware, _ovf("Item"))
    for key in sorted(values):
        ET.SubElement(item, f"{{{RASD}}}{key}").text = values[key]


def _section(parent: ET.Element, name: str, info: str) -> ET.Element:
    section = ET.SubElement(parent, _ovf(name))
    _text(section, "Info", info)
    return section


def _element(parent: ET.Element, name: str, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, _ovf(name), {_ovf(key): value for key, value in attributes.items()})


def _text(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, _ovf(name)).text = text


def _ovf(name: str) -> str:
    return f"{{{OVF}}}{name}"


def _bytes(envelope: ET.Element) -> bytes:
    """With the namespace of OVF as the default one for elements: some readers look for the bare names."""
    for element in envelope.iter():
        namespace, _, name = element.tag[1:].partition("}")
        prefix = next(prefix for prefix, known in PREFIXES.items() if known == namespace)
        element.tag = name if namespace == OVF else f"{prefix}:{name}"
        element.attrib = {
            f"ovf:{key.partition('}')[2]}" if key.startswith(f"{{{OVF}}}") else key: value
            for key, value in element.attrib.items()
        }
    envelope.attrib |= {"xmlns": OVF} | {f"xmlns:{prefix}": name for prefix, name in PREFIXES.items()}
    ET.indent(envelope)
    text: bytes = ET.tostring(envelope, encoding="utf-8", xml_declaration=True)
    return text + b"\n"
