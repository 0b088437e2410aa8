"""What a template says of the machine that is made of it, in whatever file that stood. Plain values."""

from typing import Literal

import msgspec

from oms.agent.kvm.domain_xml import AtEnd, BootDevice, Bus, Chipset, NicModel

ForeignFormat = Literal["vmdk", "vdi", "qcow2", "raw"]
"""How a disk may lie in a package."""

Firmware = Literal["bios", "efi"]
Feature = Literal["acpi", "apic", "pae"]


class BadPackage(ValueError):
    """Why a package is refused: a sentence for whoever made it or brought it."""


class Amount(msgspec.Struct, frozen=True):
    """A quantity with its limits; None where the template declares none."""

    normal: int
    least: int | None = None
    most: int | None = None


class PackedFile(msgspec.Struct, frozen=True):
    """A file that belongs to a package. `size` in bytes, as declared, if it is."""

    name: str
    size: int | None = None
    gzip: bool = False


class PackedDisk(msgspec.Struct, frozen=True):
    """A disk of the machine. `file` is None for one that begins empty."""

    id: str
    file: PackedFile | None
    capacity_bytes: int
    format: ForeignFormat
    bus: Bus = "virtio"

    @property
    def name(self) -> str:
        """How people call it: by its file."""
        return self.file.name if self.file else self.id


class PackedNic(msgspec.Struct, frozen=True):
    """A network interface, on a network of the template's own naming."""

    network: str
    model: NicModel = "virtio"


class Appliance(msgspec.Struct, frozen=True):
    """A machine as a template describes it. Memory in MB."""

    name: str
    vcpus: Amount
    memory_mb: Amount
    disks: tuple[PackedDisk, ...]
    nics: tuple[PackedNic, ...]
    files: tuple[PackedFile, ...] = ()
    """All that belong to the package, those of disks among them."""
    description: str = ""
    system: str = ""
    """The operating system, in words."""
    system_id: int = 0
    """The same as CIM_OperatingSystem.OsType, 0 where unknown."""
    arch: str = "x86_64"
    chipset: Chipset = "pc"
    firmware: Firmware = "bios"
    features: tuple[Feature, ...] = ("acpi", "apic", "pae")
    clock: Literal["utc", "localtime"] = "utc"
    boot: BootDevice = "hd"
    on_poweroff: AtEnd = "destroy"
    on_reboot: AtEnd = "restart"
    on_crash: AtEnd = "destroy"
    mouse: Literal["ps2", "usb"] = "usb"
    keymap: str = ""
