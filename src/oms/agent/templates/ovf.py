"""An .ovf file, read into an `Appliance`. Pure.

What others write is taken as it is meant where that is clear, and refused in words where it is not: nothing is
guessed that decides about a disk.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from oms.agent import foreign_xml
from oms.agent.foreign_xml import BadXml
from oms.agent.kvm.domain_xml import Bus
from oms.agent.templates import ours
from oms.agent.templates.appliance import (
    Amount,
    Appliance,
    BadPackage,
    Firmware,
    ForeignFormat,
    PackedDisk,
    PackedFile,
    PackedNic,
)
from oms.agent.templates.vocabulary import (
    BUSES,
    CPU,
    DISK,
    ENDINGS,
    ETHERNET,
    FORMATS,
    MEMORY,
    NIC_MODELS,
    OLD_UNITS,
    OVF,
    OVF_2,
    RASD,
    USUAL_NIC,
    VBOX,
    VMW,
    VSSD,
)

LARGEST_BYTES: Final = 1024 * 1024
"""Of the file; those of the largest known appliances have a fifth of that."""
MOST_FILES: Final = 64
MOST_DISKS: Final = 24
MOST_NICS: Final = 16
LARGEST_NUMBER: Final = 2**63
SHOWN: Final = 60
MIB: Final = 1024 * 1024
_DISK_ADDRESS = re.compile(r"(?:ovf:)?/{1,2}disk/(.+)")
_UNITS = re.compile(r"\s*byte\s*(?:\*\s*(\d+)\s*(?:\^\s*(\d+))?\s*)?")
T = TypeVar("T")
Reading = Callable[[ET.Element], int]


def read(text: bytes) -> Appliance:
    """The machine that an .ovf describes. Raises BadPackage."""
    if len(text) > LARGEST_BYTES:
        raise BadPackage(f"its .ovf has {len(text)} bytes; {LARGEST_BYTES} are legal")
    envelope = _envelope(text)
    system = _system(envelope)
    hardware = _hardware(system)
    items = list(_items(envelope, hardware))
    files = _files(envelope)
    firmware = _firmware(system, hardware)
    appliance = Appliance(
        name=_words(system.find(f"{{{OVF}}}Name")) or _attribute(system, "id"),
        vcpus=_amount(items, CPU, _count),
        memory_mb=_amount(items, MEMORY, _memory_mb),
        disks=_few(_disks(envelope, items, files), MOST_DISKS, "disks"),
        nics=_few(_nics(items), MOST_NICS, "network interfaces"),
        files=tuple(files.values()),
        description=_words(system.find(f"{{{OVF}}}AnnotationSection/{{{OVF}}}Annotation")),
        system=_words(system.find(f"{{{OVF}}}OperatingSystemSection/{{{OVF}}}Description")),
        system_id=_system_id(system),
        firmware=firmware,
        chipset="q35" if firmware == "efi" else "pc",
    )
    return ours.applied(appliance, system)


def _envelope(text: bytes) -> ET.Element:
    try:
        envelope = foreign_xml.tree(text, namespaces=True)
    except BadXml as error:
        raise BadPackage(f"its .ovf cannot be read: {error}") from error
    if envelope.tag == f"{{{OVF_2}}}Envelope":
        raise BadPackage("its .ovf is of OVF 2; legal is OVF 1: export it anew as OVF 1.0 or 1.1")
    if envelope.tag != f"{{{OVF}}}Envelope":
        raise BadPackage(f"its .ovf begins with {envelope.tag[:SHOWN]}, not with the envelope of OVF 1")
    return envelope


def _system(envelope: ET.Element) -> ET.Element:
    """The one machine of the package."""
    systems = list(envelope.iter(f"{{{OVF}}}VirtualSystem"))
    if len(systems) != 1:
        raise BadPackage(f"it describes {len(systems)} machines; legal is one")
    return systems[0]


def _hardware(system: ET.Element) -> ET.Element:
    """The description of its hardware; of several, the one for this hypervisor, or the first."""
    sections = system.findall(f"{{{OVF}}}VirtualHardwareSection")
    if not sections:
        raise BadPackage("it does not describe the machine's hardware (VirtualHardwareSection)")

    def is_for_us(section: ET.Element) -> bool:
        kinds = _words(section.find(f"{{{OVF}}}System/{{{VSSD}}}VirtualSystemType")).lower()
        return any(kind.startswith("kvm") for kind in kinds.replace(",", " ").split())

    return next(filter(is_for_us, sections), sections[0])


def _items(envelope: ET.Element, hardware: ET.Element) -> Iterator[ET.Element]:
    """The parts of the hardware, of several configurations those of the one that is the default."""
    configurations = envelope.findall(f"{{{OVF}}}DeploymentOptionSection/{{{OVF}}}Configuration")
    default = next((c for c in configurations if _attribute(c, "default") == "true"), None)
    if default is None and configurations:
        default = configurations[0]
    chosen = "" if default is None else _attribute(default, "id")
    every = hardware.findall(f"{{{OVF}}}Item")
    special = {_rasd(item, "InstanceID") for item in every if chosen in _attribute(item, "configuration").split()}
    for item in every:
        configured = _attribute(item, "configuration").split()
        if chosen in configured if configured else _rasd(item, "InstanceID") not in special:
            yield item


def _files(envelope: ET.Element) -> dict[str, PackedFile]:
    """The files of the package by their ids."""
    files: dict[str, PackedFile] = {}
    for file in envelope.iterfind(f"{{{OVF}}}References/{{{OVF}}}File"):
        name, packing = _attribute(file, "href"), _attribute(file, "compression").lower()
        if packing not in ("", "identity", "gzip"):
            raise BadPackage(
                f"its file {_shown(name)} is packed by {_shown(packing)}; legal is gzip, or not at all"
            )
        if _attribute(file, "chunkSize"):
            raise BadPackage(f"its file {_shown(name)} comes in pieces: export it as one")
        size = _attribute(file, "size")
        declared = _number(size, f"the size of {_shown(name)}") if size else None
        files[_attribute(file, "id")] = PackedFile(name, declared, packing == "gzip")
    if len(files) > MOST_FILES:
        raise BadPackage(f"it has {len(files)} files; {MOST_FILES} are legal")
    return files


def _disks(envelope: ET.Element, items: list[ET.Element], files: dict[str, PackedFile]) -> Iterator[PackedDisk]:
    """The machine's disks, in the order in which their controllers have them."""
    declared = {_attribute(d, "diskId"): d for d in envelope.iterfind(f"{{{OVF}}}DiskSection/{{{OVF}}}Disk")}
    drives = [item for item in items if _kind(item) == DISK and _disk_id(item)]
    if not drives:  # OpenNode's first templates tell of no drives
        for disk_id, disk in declared.items():
            yield _disk(disk_id, disk, files, "virtio")
        return
    kinds = {_rasd(item, "InstanceID"): _kind(item) for item in items}
    controllers = list(kinds)

    def place(item: ET.Element) -> tuple[int, int]:
        parent, address = _rasd(item, "Parent"), _rasd(item, "AddressOnParent")
        return controllers.index(parent) if parent in kinds else -1, int(address) if address.isdecimal() else 0

    for item in sorted(drives, key=place):
        disk_id = _disk_id(item)
        if disk_id not in declared:
            raise BadPackage(f"its hardware has a disk {_shown(disk_id)} that it does not describe (DiskSection)")
        bus = BUSES.get(kinds.get(_rasd(item, "Parent"), 0), "virtio")
        yield _disk(disk_id, declared[disk_id], files, bus)


def _disk(disk_id: str, disk: ET.Element, files: dict[str, PackedFile], bus: Bus) -> PackedDisk:
    if _attribute(disk, "parentRef"):
        raise BadPackage(f"its disk {_shown(disk_id)} stands upon another: export it as one")
    reference = _attribute(disk, "fileRef")
    if reference and reference not in files:
        raise BadPackage(f"its disk {_shown(disk_id)} is in a file {_shown(reference)} that it does not list")
    file = files.get(reference)
    what = f"the capacity of its disk {_shown(disk_id)}"
    capacity = _number(_attribute(disk, "capacity"), what) * _unit(_attribute(disk, "capacityAllocationUnits"), 1)
    if not 0 < capacity < LARGEST_NUMBER:
        raise BadPackage(f"{what} is {capacity} bytes")
    packing = _format(_attribute(disk, "format"), file.name) if file else "raw"
    return PackedDisk(disk_id, file, capacity, packing, bus)


def _format(address: str, name: str) -> ForeignFormat:
    named = address.lower()
    found = next((packing for word, packing in FORMATS.items() if word in named), None)
    if found is None and not named:
        found = ENDINGS.get(name.removesuffix(".gz").rpartition(".")[2].lower())
    if found is None:
        raise BadPackage(
            f"the format of {_shown(name)} is {_shown(address) or 'not said'}; legal are vmdk, vdi, qcow2, raw"
        )
    return found


def _nics(items: list[ET.Element]) -> Iterator[PackedNic]:
    for item in items:
        if _kind(item) == ETHERNET:
            model = _rasd(item, "ResourceSubType").lower().split(" ")[0].split(",")[0]
            yield PackedNic(_rasd(item, "Connection"), NIC_MODELS.get(model, USUAL_NIC))


def _amount(items: list[ET.Element], kind: int, value: Reading) -> Amount:
    """A quantity, and the limits that stand beside it as items of their own (ovf:bound)."""
    found: dict[str, int] = {}
    for item in items:
        if _kind(item) == kind:
            bound = _attribute(item, "bound") or item.get(f"{{{RASD}}}bound", "")
            found.setdefault(bound or "normal", value(item))
    normal = found.get("normal", found.get("min", found.get("max")))
    if normal is None:
        raise BadPackage(f"its hardware has no {'memory' if kind == MEMORY else 'CPU'}")
    return Amount(normal, found.get("min"), found.get("max"))


def _count(item: ET.Element) -> int:
    return _number(_rasd(item, "VirtualQuantity"), "its number of CPUs")


def _memory_mb(item: ET.Element) -> int:
    amount = _number(_rasd(item, "VirtualQuantity"), "its memory")
    return -(-amount * _unit(_rasd(item, "AllocationUnits"), MIB) // MIB)


def _unit(text: str, otherwise: int) -> int:
    """Bytes in a unit, as in `byte * 2^20`."""
    if not text:
        return otherwise
    if found := _UNITS.fullmatch(text.lower()):
        base, power = int(found[1] or 1), int(found[2] or 1)
        if base in (1, 2, 10, 1000, 1024) and power <= 63:
            return int(base**power)
    if (unit := OLD_UNITS.get(text.strip().lower().removesuffix("s"))) is not None:
        return unit
    raise BadPackage(f"it counts in {_shown(text)}, which is no unit of bytes")


def _firmware(system: ET.Element, hardware: ET.Element) -> Firmware:
    """Each product has words of its own for it, in a section of its own."""
    settings = {
        c.get(f"{{{VMW}}}key", ""): c.get(f"{{{VMW}}}value", "") for c in hardware.iter(f"{{{VMW}}}Config")
    }
    kinds = [element.get("type", "") for element in system.iter(f"{{{VBOX}}}Firmware")]
    return (
        "efi" if any(kind.lower().startswith("efi") for kind in (settings.get("firmware", ""), *kinds)) else "bios"
    )


def _system_id(system: ET.Element) -> int:
    section = system.find(f"{{{OVF}}}OperatingSystemSection")
    number = "" if section is None else _attribute(section, "id")
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 6 else 0


def _few(found: Iterator[T], most: int, what: str) -> tuple[T, ...]:
    every = tuple(found)
    if len(every) > most:
        raise BadPackage(f"it has {len(every)} {what}; {most} are legal")
    return every


def _kind(item: ET.Element) -> int:
    kind = _rasd(item, "ResourceType")
    return int(kind) if kind.isascii() and kind.isdecimal() and len(kind) < 6 else 0


def _disk_id(item: ET.Element) -> str:
    found = _DISK_ADDRESS.fullmatch(_rasd(item, "HostResource"))
    return found[1] if found else ""


def _rasd(item: ET.Element, name: str) -> str:
    text = _words(item.find(f"{{{RASD}}}{name}"))
    return text or (_words(item.find(f"{{{RASD}}}InstanceId")) if name == "InstanceID" else "")


def _attribute(element: ET.Element, name: str) -> str:
    return element.get(f"{{{OVF}}}{name}") or element.get(name) or ""


def _number(text: str, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text.strip()):
        raise BadPackage(f"{what} is {_shown(text) or 'not said'}, which is no whole number")
    return int(text)


def _words(element: ET.Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def _shown(text: str) -> str:
    return repr(text[:SHOWN]) if text else ""
