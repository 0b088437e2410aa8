"""A new machine as libvirt's XML, from values that were checked before. Pure.

The tree is built by a library, so that no value can become markup. What is left out is libvirt's to choose
(addresses, controllers); what decides how a guest sees its machine is written down, so that it stays the same when
the host's defaults change.

Source: libvirt's "Domain XML format" (formatdomain).
"""

import xml.etree.ElementTree as ET
from typing import Final, Literal

import msgspec

from oms.agent.guests import DomainType

Bus = Literal["virtio", "scsi", "sata", "ide"]
BootDevice = Literal["hd", "cdrom", "network"]
Chipset = Literal["pc", "q35"]
"""`pc` is the board of 1996, with IDE; `q35` that of 2007, with PCI Express and SATA."""
NicModel = Literal["virtio", "e1000", "e1000e", "rtl8139", "pcnet", "ne2k_pci"]
VideoModel = Literal["vga", "virtio", "cirrus", "qxl"]
AtEnd = Literal["destroy", "restart"]

PREFIXES: Final[dict[Bus, str]] = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd"}
"""What a drive's name begins with, by its bus."""
GUEST_AGENT = "org.qemu.guest_agent.0"
LIBOSINFO = "http://libosinfo.org/xmlns/libvirt/domain/1.0"
"""Where others that manage machines with libvirt look for the operating system, and write it."""
MEMORY_STATS_SECONDS = 10
PORTS = 14
"""On PCI Express each device takes a port of its own. A machine has about half of them in use; the others are for
what it is given while it runs, when no port can be added."""
MAC_FRONT = (0x52, 0x54, 0x00)  # qemu's own, by its documentation
ET.register_namespace("libosinfo", LIBOSINFO)


class NewDrive(msgspec.Struct, frozen=True):
    """A disk or a CD drive. `source` is an absolute path; "" is a CD drive without a medium."""

    source: str
    target: str
    """Its name, as in `vda`: PREFIXES by its bus, then a letter."""
    bus: Bus
    kind: Literal["file", "block"] = "file"
    format: Literal["raw", "qcow2"] = "raw"
    """Always said, so that nobody looks into a disk to guess it."""
    device: Literal["disk", "cdrom"] = "disk"
    read_only: bool = False
    stands_on: str = ""
    """The qcow2 file behind it, an absolute path, where OMS made it so; "" where it stands alone."""


class NewNic(msgspec.Struct, frozen=True):
    """A network interface on a bridge of the host, or on a network of libvirt's."""

    kind: Literal["bridge", "network"]
    source: str
    mac: str
    """Chosen by us and written down, so that a machine keeps its address whatever is done again."""
    model: NicModel = "virtio"


class Vnc(msgspec.Struct, frozen=True):
    """The screen, by VNC on a Unix socket that libvirt puts where only the hypervisor's own account gets to."""

    keymap: str = ""
    """As in `et`; "" leaves the keyboard to the viewer."""


class NewMachine(msgspec.Struct, frozen=True):
    """All that makes a machine. Memory in MB."""

    uuid: str
    name: str
    domain_type: DomainType
    vcpus: int
    memory_mb: int
    chipset: Chipset = "q35"
    firmware: Literal["bios", "efi"] = "bios"
    acpi: bool = True
    apic: bool = True
    pae: bool = True
    hyperv: bool = False
    """Offer Windows what it knows of being a guest; only where the processor itself runs the machine."""
    clock: Literal["utc", "localtime"] = "utc"
    boot: tuple[BootDevice, ...] = ("hd",)
    on_poweroff: AtEnd = "destroy"
    on_reboot: AtEnd = "restart"
    on_crash: AtEnd = "destroy"
    drives: tuple[NewDrive, ...] = ()
    nics: tuple[NewNic, ...] = ()
    graphics: Vnc | None = Vnc()
    video: VideoModel = "vga"
    tablet: bool = True
    """A pointer that is where the viewer's is; without it, a mouse that moves by steps."""
    guest_agent: bool = True
    """The channel by which an agent in the guest is spoken to, whether there is one or not."""
    balloon: bool = True
    rng: bool = True
    os_id: str = ""
    """The operating system's address in libosinfo's database; "" is not known."""


def domain_xml(machine: NewMachine) -> str:
    """The `<domain>`."""
    root = ET.Element("domain", type=machine.domain_type)
    _text(root, "name", machine.name)
    _text(root, "uuid", machine.uuid)
    if machine.os_id:
        information = ET.SubElement(ET.SubElement(root, "metadata"), f"{{{LIBOSINFO}}}libosinfo")
        ET.SubElement(information, f"{{{LIBOSINFO}}}os", id=machine.os_id)
    _text(root, "memory", str(machine.memory_mb), unit="MiB")
    _text(root, "vcpu", str(machine.vcpus))
    _system(root, machine)
    _features(root, machine)
    if machine.domain_type == "kvm":
        ET.SubElement(root, "cpu", mode="host-model")
    _clock(root, machine)
    for name in ("on_poweroff", "on_reboot", "on_crash"):
        _text(root, name, getattr(machine, name))
    _devices(ET.SubElement(root, "devices"), machine)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def drive(new: NewDrive) -> str:
    """One `<disk>`, for a machine that is there already."""
    devices = ET.Element("devices")
    _drive(devices, new)
    return ET.tostring(devices[0], encoding="unicode")


def cd_drive(source: str, name: str, bus: str) -> str:
    """The `<disk>` of a CD drive that is there, with another medium, or none ("")."""
    element = ET.Element("disk", type="file", device="cdrom")
    ET.SubElement(element, "driver", name="qemu", type="raw")
    if source:
        ET.SubElement(element, "source", file=source)
    ET.SubElement(element, "target", dev=name, bus=bus)
    ET.SubElement(element, "readonly")
    return ET.tostring(element, encoding="unicode")


def drive_to_detach(name: str, bus: str) -> str:
    """So much of a `<disk>` as it takes to know it again."""
    element = ET.Element("disk", type="file", device="disk")
    ET.SubElement(element, "target", dev=name, bus=bus)
    return ET.tostring(element, encoding="unicode")


def nic(new: NewNic) -> str:
    """One `<interface>`, for a machine that is there already."""
    devices = ET.Element("devices")
    _nic(devices, new)
    return ET.tostring(devices[0], encoding="unicode")


def nic_to_detach(mac: str) -> str:
    """So much of an `<interface>` as it takes to know it again."""
    element = ET.Element("interface", type="user")
    ET.SubElement(element, "mac", address=mac)
    return ET.tostring(element, encoding="unicode")


def target(bus: Bus, number: int) -> str:
    """The name of the drive of that number (from 0) on a bus, as in `vda`."""
    letters = ""
    number += 1
    while number:
        number, letter = divmod(number - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return PREFIXES[bus] + letters


def mac_address(three: bytes) -> str:
    """A machine's address on its network, from three random bytes."""
    return ":".join(f"{byte:02x}" for byte in (*MAC_FRONT, *three[:3]))


def _system(root: ET.Element, machine: NewMachine) -> None:
    system = ET.SubElement(root, "os", {"firmware": "efi"} if machine.firmware == "efi" else {})
    _text(system, "type", "hvm", arch="x86_64", machine=machine.chipset)
    for device in machine.boot:
        ET.SubElement(system, "boot", dev=device)


def _features(root: ET.Element, machine: NewMachine) -> None:
    features = ET.SubElement(root, "features")
    for name in ("acpi", "apic", "pae"):
        if getattr(machine, name):
            ET.SubElement(features, name)
    if machine.hyperv:
        hyperv = ET.SubElement(features, "hyperv", mode="custom")
        for name in ("relaxed", "vapic"):
            ET.SubElement(hyperv, name, state="on")
        ET.SubElement(hyperv, "spinlocks", state="on", retries="8191")


def _clock(root: ET.Element, machine: NewMachine) -> None:
    """Ticks that were missed are made up for, as guests expect them to be, and there is no HPET, which costs
    much."""
    clock = ET.SubElement(root, "clock", offset=machine.clock)
    ET.SubElement(clock, "timer", name="rtc", tickpolicy="catchup")
    ET.SubElement(clock, "timer", name="pit", tickpolicy="delay")
    ET.SubElement(clock, "timer", name="hpet", present="no")
    if machine.hyperv:
        ET.SubElement(clock, "timer", name="hypervclock", present="yes")


def _devices(devices: ET.Element, machine: NewMachine) -> None:
    _ports(devices, machine)
    for drive in machine.drives:
        _drive(devices, drive)
    if any(drive.bus == "scsi" for drive in machine.drives):
        ET.SubElement(devices, "controller", type="scsi", model="virtio-scsi")
    for nic in machine.nics:
        _nic(devices, nic)
    ET.SubElement(ET.SubElement(devices, "serial", type="pty"), "target", port="0")
    ET.SubElement(ET.SubElement(devices, "console", type="pty"), "target", type="serial", port="0")
    if machine.guest_agent:
        channel = ET.SubElement(devices, "channel", type="unix")
        ET.SubElement(channel, "target", type="virtio", name=GUEST_AGENT)
    if machine.tablet:
        ET.SubElement(devices, "input", type="tablet", bus="usb")
    if machine.graphics is not None:
        _screen(devices, machine.graphics, machine.video)
    balloon = ET.SubElement(devices, "memballoon", model="virtio" if machine.balloon else "none")
    if machine.balloon:
        ET.SubElement(balloon, "stats", period=str(MEMORY_STATS_SECONDS))
    if machine.rng:
        _text(ET.SubElement(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")


def _ports(devices: ET.Element, machine: NewMachine) -> None:
    if machine.chipset == "q35":
        ET.SubElement(devices, "controller", type="pci", index="0", model="pcie-root")
        for _ in range(PORTS):
            ET.SubElement(devices, "controller", type="pci", model="pcie-root-port")


def _drive(devices: ET.Element, drive: NewDrive) -> None:
    """What stands behind a disk is said or there is nothing: what a guest may have written is never asked."""
    element = ET.SubElement(devices, "disk", type=drive.kind, device=drive.device)
    driver = ET.SubElement(element, "driver", name="qemu", type=drive.format)
    if drive.device == "disk":
        driver.set("discard", "unmap")
    if drive.source:
        ET.SubElement(element, "source", {"file" if drive.kind == "file" else "dev": drive.source})
        _behind(element, drive.stands_on)
    ET.SubElement(element, "target", dev=drive.target, bus=drive.bus)
    if drive.read_only or drive.device == "cdrom":
        ET.SubElement(element, "readonly")


def _behind(element: ET.Element, path: str) -> None:
    behind = ET.SubElement(element, "backingStore")
    if path:
        behind.set("type", "file")
        ET.SubElement(behind, "format", type="qcow2")
        ET.SubElement(behind, "source", file=path)
        ET.SubElement(behind, "backingStore")


def _nic(devices: ET.Element, nic: NewNic) -> None:
    element = ET.SubElement(devices, "interface", type=nic.kind)
    ET.SubElement(element, "mac", address=nic.mac)
    ET.SubElement(element, "source", {nic.kind: nic.source})
    ET.SubElement(element, "model", type=nic.model)


def _screen(devices: ET.Element, graphics: Vnc, video: VideoModel) -> None:
    element = ET.SubElement(devices, "graphics", type="vnc")
    if graphics.keymap:
        element.set("keymap", graphics.keymap)
    ET.SubElement(element, "listen", type="socket")
    ET.SubElement(ET.SubElement(devices, "video"), "model", type=video)


def _text(parent: ET.Element, name: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, name, attributes).text = text
