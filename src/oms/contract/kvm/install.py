"""KVMService: a machine from an installation medium."""

from typing import Annotated, Literal

from msgspec import Meta

from oms.contract.errors import AlreadyThere, InUse, NoMemory, NoSpace, NotThere
from oms.contract.kvm import SERVICE
from oms.contract.operation import HostOperation, Permission, operation
from oms.contract.types import FileName, VmName, text

MOST_GB = 65_536
MOST_MB = 16 * 1024 * 1024

OsVariant = Annotated[
    str,
    text(
        r"(?:[A-Za-z0-9][A-Za-z0-9._-]*)?",
        "an operating system by its short name in osinfo-db, at most 64 characters; empty for any",
        64,
        "winxp",
        shortest=0,
    ),
]

OsType = Annotated[
    Literal["", "linux", "windows", "unix", "solaris", "other"],
    Meta(
        description='the kind of operating system, where os_variant names none: "linux", "windows", "unix", '
        '"solaris", "other", or empty',
        examples=["windows"],
    ),
]


SizeGb = Annotated[
    Annotated[str, Meta(pattern=r"\A(?:[0-9]{0,5})\Z")] | Annotated[int, Meta(ge=0, le=MOST_GB)],
    Meta(
        description=f"the size of the new disk in GB (1024 MB each), 1 to {MOST_GB}; may be text; not looked at "
        "where a block device is given",
        examples=["10"],
    ),
]

BlockDevicePath = Annotated[
    str,
    text(
        r"(?:/dev(?:/[A-Za-z0-9][A-Za-z0-9._+:@-]*)+)?",
        "the path of a block device to be the disk, as in /dev/GROUP/VOLUME; empty: a new disk image is made",
        255,
        "",
        shortest=0,
    ),
]

SizeMb = Annotated[
    Annotated[str, Meta(pattern=r"\A(?:[0-9]{1,8})\Z")] | Annotated[int, Meta(ge=1, le=MOST_MB)],
    Meta(description="the machine's memory in MB; may be text", examples=["512"]),
]


def _switch(what: str, example: str) -> Meta:
    return Meta(
        max_length=64, description=f"any text: the machine has no {what}; empty: it has", examples=[example]
    )


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=120,
    changes=True,
    target="kvm_vm_name",
    raises=(AlreadyThere, NotThere, NoSpace, NoMemory, InUse),
)
class CreateVmFromIso(HostOperation[int], frozen=True):
    """Make a machine and start it from an ISO image, to be installed; answers 0 once it runs.

    The job goes on until the installer restarts the machine, which then starts from its disk; where the installer
    turns it off instead, it stays off. To cancel the job until then removes the machine with the disk image that
    was made for it. It has one CPU, and as much memory as the host can give now at most (`parse_system_min_max`).
    """

    kvm_vm_name: VmName
    os_variant: OsVariant
    os_type: OsType
    cdrom_iso: FileName
    file_based_disk_size: SizeGb
    block_device_based_disk_path: BlockDevicePath
    memory_size: SizeMb
    noapic_on_off: Annotated[str, _switch("APIC", "yes")]
    noacpi_on_off: Annotated[str, _switch("ACPI", "")]
