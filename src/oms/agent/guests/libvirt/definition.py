"""libvirt's domain XML: read into a `Definition`, and changed in the few places that settings touch.

Pure. The text comes from libvirt, but what stands in it was written by whoever defined the machine: document types
and with them entities are refused, and nothing is ever put into XML but through the library.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, get_args

from oms.agent import foreign_xml
from oms.agent.foreign_xml import BadXml
from oms.agent.guests import Definition, Disk, Nic, VncServer

KB_PER_UNIT = {
    "b": 1 / 1024, "bytes": 1 / 1024, "KB": 1000 / 1024, "k": 1, "KiB": 1, "MB": 1000**2 / 1024, "M": 1024,
    "MiB": 1024, "GB": 1000**3 / 1024, "G": 1024**2, "GiB": 1024**2, "TB": 1000**4 / 1024, "T": 1024**3,
    "TiB": 1024**3,
}  # fmt: skip
GUEST_AGENT = "org.qemu.guest_agent.0"  # the channel's name, as qemu-guest-agent looks for it

Drive = Literal["disk", "cdrom", "floppy", "lun"]


class BadDefinition(ValueError):
    """The text is no definition of a machine, or one that nobody honest writes."""


def definition(text: str, locate: Callable[[str, str], Path] = lambda _pool, volume: Path(volume)) -> Definition:
    """What stands in a `<domain>`. Raises BadDefinition.

    `locate` finds the file of a storage pool's volume; where it cannot, the volume's bare name stands for it.
    """
    root = parse(text)
    most = _kb(root.find("memory"))
    vcpu = root.find("vcpu")
    max_vcpus = int(_words(vcpu) or 1)
    present = vcpu.get("current") if vcpu is not None else None
    numa = root.find("cpu/numa/cell") is not None
    current = root.find("currentMemory")
    balloon = root.find("devices/memballoon")
    return Definition(
        vcpus=int(present or max_vcpus),
        max_vcpus=max_vcpus,
        memory_kb=most if current is None else _kb(current),
        max_memory_kb=most,
        vcpus_pinned=numa or root.find("cpu/topology") is not None,
        memory_pinned=numa or root.find("maxMemory") is not None,
        balloon=balloon is not None and balloon.get("model") != "none",
        disks=tuple(_disk(disk, locate) for disk in root.iterfind("devices/disk")),
        nics=tuple(_nic(nic) for nic in root.iterfind("devices/interface")),
        guest_agent=any(
            target.get("name") == GUEST_AGENT and target.get("state") == "connected"
            for target in root.iterfind("devices/channel/target")
        ),
        boot=tuple(_boot(root)),
        graphics=tuple(graphics.get("type", "") for graphics in root.iterfind("devices/graphics")),
        vnc=_vnc(root),
        serial=any(console.get("type") == "pty" for console in root.iterfind("devices/console")),
    )


def with_settings(text: str, *, vcpus: int | None, memory_kb: int | None) -> str:
    """The same machine with other settings; what is None stays.

    The maximum of CPUs is only ever raised: room above costs nothing and lets CPUs be added to a running machine.
    The maximum of memory follows the memory, because a guest without a balloon driver takes the maximum; only
    where it stood above already, somebody wanted room to grow, and it is left as long as it suffices.
    """
    root = parse(text)
    if vcpus is not None:
        _set_vcpus(root, vcpus)
    if memory_kb is not None:
        _set_memory(root, memory_kb)
    return ET.tostring(root, encoding="unicode")


def parse(text: str) -> ET.Element:
    """The tree of a definition, its names as they are written. Raises BadDefinition."""
    try:
        return foreign_xml.tree(text)
    except BadXml as error:
        raise BadDefinition(str(error)) from error


def _boot(root: ET.Element) -> Iterator[str]:
    """libvirt takes either the one order, of kinds, or the other, of devices; never both."""
    for kind in root.iterfind("os/boot"):
        yield kind.get("dev", "")
    ordered = [device for device in root.iterfind("devices/*") if device.find("boot") is not None]
    for device in sorted(ordered, key=_place):
        target, mac = device.find("target"), device.find("mac")
        name = mac.get("address", "") if mac is not None else target.get("dev", "") if target is not None else ""
        yield name or device.tag


def _vnc(root: ET.Element) -> VncServer | None:
    """A port is there only while the machine runs."""
    for graphics in root.iterfind("devices/graphics[@type='vnc']"):
        listen = graphics.find("listen[@type='socket']")
        socket = graphics.get("socket") or (listen.get("socket") if listen is not None else None)
        port = graphics.get("port", "")
        if socket:
            return VncServer(Path(socket))
        if port.isdecimal():
            return VncServer(None, int(port))
    return None


def _place(device: ET.Element) -> int:
    boot = device.find("boot")
    order = boot.get("order", "") if boot is not None else ""
    return int(order) if order.isdecimal() else 0


def _disk(disk: ET.Element, locate: Callable[[str, str], Path]) -> Disk:
    target, driver = disk.find("target"), disk.find("driver")
    device = disk.get("device", "disk")
    source = disk.find("source")
    file = source.get("file") if source is not None and disk.get("type") == "file" else None
    return Disk(
        target=target.get("dev", "") if target is not None else "",
        device=next((known for known in get_args(Drive) if known == device), "disk"),
        file=Path(file) if file else None,
        sources=tuple(_sources(disk, locate)),
        bus=target.get("bus", "") if target is not None else "",
        format=driver.get("type", "") if driver is not None else "",
        read_only=disk.find("readonly") is not None,
    )


def _sources(disk: ET.Element, locate: Callable[[str, str], Path]) -> Iterator[Path]:
    """Every file or device under a disk: its source, backing stores, mirrors, and wherever else one is named."""
    for source in disk.iter("source"):
        for kind in ("file", "dev"):
            if name := source.get(kind):
                yield Path(name)
        if (pool := source.get("pool")) and (volume := source.get("volume")):
            yield locate(pool, volume)


def _nic(nic: ET.Element) -> Nic:
    mac, source, target, model = (nic.find(part) for part in ("mac", "source", "target", "model"))
    attributes = source.attrib if source is not None else {}
    named = [attributes[place] for place in ("bridge", "dev", "network") if attributes.get(place)]
    return Nic(
        mac=mac.get("address", "").lower() if mac is not None else "",
        source=named[0] if named else "",
        device=target.get("dev", "") if target is not None else "",
        kind=nic.get("type", ""),
        model=model.get("type", "") if model is not None else "",
    )


def _kb(amount: ET.Element | None) -> int:
    if amount is None:
        return 0
    unit = amount.get("unit", "KiB")
    if unit not in KB_PER_UNIT:
        raise BadDefinition(f"{unit[:20]!r} is no unit of memory")
    return int(int(_words(amount) or 0) * KB_PER_UNIT[unit])


def _words(element: ET.Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def _set_vcpus(root: ET.Element, vcpus: int) -> None:
    element = _child(root, "vcpu")
    most = max(int(_words(element) or 1), vcpus)
    element.text = str(most)
    element.set("current", str(vcpus))
    for listed in root.findall("vcpus"):  # one by one: libvirt lists them anew
        root.remove(listed)


def _set_memory(root: ET.Element, memory_kb: int) -> None:
    most, current = _child(root, "memory"), _child(root, "currentMemory")
    most_kb = _kb(most)
    has_room = _kb(current) < most_kb and bool(_words(current))
    pinned = root.find("cpu/numa/cell") is not None or root.find("maxMemory") is not None
    keeps = pinned or (has_room and memory_kb <= most_kb)
    for element, kb in ((most, most_kb if keeps else memory_kb), (current, memory_kb)):
        element.text = str(kb)
        element.set("unit", "KiB")


def _child(root: ET.Element, name: str) -> ET.Element:
    found = root.find(name)
    return ET.SubElement(root, name) if found is None else found
