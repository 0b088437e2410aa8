"""A spread of new machines, for what is said of all of them, and calls that ask for one."""

from typing import Any

from oms.agent.kvm.domain_xml import NewDrive, NewMachine, NewNic, Vnc
from oms.contract.kvm.install import CreateVmFromIso

UUID = "0f0e0d0c-0b0a-4908-8706-050403020100"
DISK = NewDrive("/var/lib/oms/storage/images/m.qcow2", "vda", "virtio", format="qcow2")
NIC = NewNic("bridge", "vmbr0", "52:54:00:12:34:56")

LINUX = NewMachine(UUID, "m", "kvm", 2, 1024, drives=(DISK,), nics=(NIC,))

INSTALLING = NewMachine(
    UUID,
    "m",
    "qemu",
    1,
    512,
    chipset="pc",
    boot=("cdrom",),
    on_reboot="destroy",
    drives=(DISK, NewDrive("/var/lib/oms/storage/iso/debian.iso", "hdc", "ide", device="cdrom")),
    nics=(NewNic("network", "default", "52:54:00:12:34:56"),),
    os_id="http://debian.org/debian/12",
)

WINDOWS = NewMachine(
    UUID,
    "winxp2",
    "kvm",
    1,
    512,
    chipset="pc",
    acpi=False,
    apic=False,
    hyperv=True,
    clock="localtime",
    boot=("hd", "cdrom"),
    drives=(
        NewDrive("/dev/vg0/winxp2", "hda", "ide", kind="block"),
        NewDrive("", "hdc", "ide", device="cdrom"),
    ),
    nics=(NewNic("bridge", "vmbr1", "52:54:00:12:34:56", "rtl8139"),),
    graphics=Vnc(keymap="et"),
    video="cirrus",
    guest_agent=False,
    balloon=False,
    rng=False,
    os_id="http://microsoft.com/win/xp",
)

MANY_DRIVES = NewMachine(
    UUID,
    "store",
    "qemu",
    4,
    4096,
    boot=("network", "hd"),
    on_crash="restart",
    drives=(
        NewDrive("/images/a.img", "sda", "scsi"),
        NewDrive("/images/b.img", "sdb", "sata"),
        NewDrive("/dev/vg0/c", "vda", "virtio", kind="block", read_only=True),
    ),
    nics=(
        NewNic("bridge", "vmbr0", "52:54:00:00:00:01", "e1000"),
        NewNic("bridge", "vmbr0", "52:54:00:00:00:02", "e1000e"),
    ),
    video="qxl",
)

LINKED = NewMachine(
    UUID,
    "linked",
    "qemu",
    1,
    64,
    drives=(NewDrive("/images/top.qcow2", "vda", "virtio", format="qcow2", stands_on="/templates/disk1.qcow2"),),
)

BARE = NewMachine(UUID, "bare", "qemu", 1, 32, boot=(), pae=False, graphics=None, tablet=False, clock="localtime")

HOSTILE = NewMachine(
    UUID,
    "<x/>&\"'",
    "qemu",
    1,
    64,
    drives=(NewDrive("/images/'/><source file='/etc/shadow", "vda", "virtio"),),
    nics=(NewNic("bridge", "br'/><x", "52:54:00:12:34:56"),),
)
"""What the checks before would never let through."""

MACHINES = {
    "linux": LINUX,
    "installing": INSTALLING,
    "windows": WINDOWS,
    "many-drives": MANY_DRIVES,
    "linked": LINKED,
    "bare": BARE,
    "hostile": HOSTILE,
}


def asked(**changes: Any) -> CreateVmFromIso:
    """A call for a small Linux named `m`, from `cd.iso`, but for what is given."""
    values = {
        "kvm_vm_name": "m", "os_variant": "", "os_type": "linux", "cdrom_iso": "cd.iso",
        "file_based_disk_size": "1", "block_device_based_disk_path": "", "memory_size": "64", "noapic_on_off": "",
        "noacpi_on_off": "",
    }  # fmt: skip
    return CreateVmFromIso(**(values | changes))
