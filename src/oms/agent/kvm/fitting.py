"""Which hardware a new machine gets, so that its operating system can be installed and runs well. Pure.

The board is the old one with IDE for all: every system for PCs boots from its CD drive, be it of 1996 or a small
kernel of today's clouds that knows no AHCI, and only on this one does leaving ACPI out have an effect. Disk and
network are paravirtual where the system brings the drivers along, and otherwise what it has always had.
"""

from typing import Final, Literal

import msgspec

from oms.agent.guests import DomainType
from oms.agent.kvm.domain_xml import Bus, Chipset, NicModel, VideoModel
from oms.agent.kvm.osinfo import OperatingSystem
from oms.contract.kvm.install import OsType

PCI: Final = "http://pcisig.com/pci"
VIRTIO_DISKS: Final = frozenset({f"{PCI}/1af4/1001", f"{PCI}/1af4/1042"})
NICS: Final[dict[NicModel, frozenset[str]]] = {
    "virtio": frozenset({f"{PCI}/1af4/1000", f"{PCI}/1af4/1041"}),
    "e1000": frozenset({f"{PCI}/8086/100e"}),
    "rtl8139": frozenset({f"{PCI}/10ec/8139"}),
    "pcnet": frozenset({f"{PCI}/1022/2000"}),
    "ne2k_pci": frozenset({f"{PCI}/10ec/8029"}),
}
"""The best first."""
ANY_NIC: Final[NicModel] = "e1000"
"""What nearly all systems of 2000 to today drive."""
MICROSOFT: Final = frozenset({"winnt", "win9x", "win16", "msdos"})
FAMILIES: Final[dict[OsType, str]] = {"windows": "winnt", "linux": "linux"}
VISTA: Final = 6  # the major version with which Windows got a display driver for any VGA, and knew of hypervisors


class Fitting(msgspec.Struct, frozen=True):
    """The hardware. `keeps_cd`: its installer goes on from the CD after the first reboot."""

    chipset: Chipset
    acpi: bool
    apic: bool
    hyperv: bool
    clock: Literal["utc", "localtime"]
    disk_bus: Bus
    cd_bus: Bus
    nic: NicModel
    video: VideoModel
    virtual_devices: bool
    """Balloon, random numbers, and the channel of the guest agent."""
    os_id: str
    keeps_cd: bool


def fitting(
    system: OperatingSystem | None, os_type: OsType, domain_type: DomainType, *, noapic: bool, noacpi: bool
) -> Fitting:
    """For a system that is known, or else for what its type says of it."""
    family = system.family if system else FAMILIES.get(os_type, "")
    microsoft = family in MICROSOFT
    old = microsoft and system is not None and _is_old(system)
    virtio = bool(system.devices & VIRTIO_DISKS) if system else family == "linux"
    return Fitting(
        chipset="pc",
        acpi=not noacpi,
        apic=not noapic,
        hyperv=family == "winnt" and not old and domain_type == "kvm",
        clock="localtime" if microsoft else "utc",
        disk_bus="virtio" if virtio else "ide",
        cd_bus="ide",
        nic=_nic(system, virtio=virtio),
        video="cirrus" if old else "vga",
        virtual_devices=not old,
        os_id=system.id if system else "",
        keeps_cd=microsoft or (system is not None and system.installer_reboots > 1),
    )


def _nic(system: OperatingSystem | None, *, virtio: bool) -> NicModel:
    if system is None:
        return "virtio" if virtio else ANY_NIC
    return next((model for model, devices in NICS.items() if devices & system.devices), ANY_NIC)


def _is_old(system: OperatingSystem) -> bool:
    major = system.version.partition(".")[0]
    return system.family != "winnt" or (major.isdecimal() and int(major) < VISTA)
