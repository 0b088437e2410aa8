"""KVMService: drives and network interfaces put into machines and taken out, and CDs changed."""

from typing import Annotated, Literal

from msgspec import Meta

from oms.contract.errors import AlreadyThere, GuestDidNotReact, InUse, NotThere, Unusable
from oms.contract.kvm import SERVICE
from oms.contract.operation import HostOperation, Permission, operation
from oms.contract.types import FileName, VmName, text

Bus = Annotated[
    Literal["virtio", "scsi", "sata", "ide"],
    Meta(
        description="how the drive is connected: `virtio` and `scsi` also while the machine runs, `sata` and "
        "`ide` only while it is off",
        examples=["virtio"],
    ),
]

Target = Annotated[
    str,
    text(
        "(?:[vsh]d[a-z]{1,2})",
        "a drive's name in its machine: vd, sd or hd and a letter or two, as describe_vm shows it",
        4,
        "vdb",
    ),
]

TargetOrNone = Annotated[
    str,
    text(
        "(?:[vsh]d[a-z]{1,2})?",
        "a drive's name in its machine: vd, sd or hd and a letter or two; empty for none in particular",
        4,
        "vdb",
        shortest=0,
    ),
]

NicModel = Annotated[
    Literal["virtio", "e1000", "e1000e", "rtl8139"],
    Meta(description="what card the guest sees", examples=["virtio"]),
]

NetworkName = Annotated[
    str,
    text(
        "[A-Za-z0-9][A-Za-z0-9._-]*",
        "the name of a bridge or network of the host: letters, digits and . _ -, at most 63 characters",
        63,
        "vmbr0",
    ),
]

MacAddress = Annotated[
    str,
    text(
        "[0-9A-Fa-f][02468ACEace](?::[0-9A-Fa-f]{2}){5}",
        "a network interface's address: six pairs of hexadecimal digits with colons, of one station (the second "
        "digit is even)",
        17,
        "52:54:00:12:34:56",
    ),
]

MacAddressOrNone = Annotated[
    str,
    text(
        "(?:[0-9A-Fa-f][02468ACEace](?::[0-9A-Fa-f]{2}){5})?",
        "a network interface's address, as in 52:54:00:12:34:56, of one station (the second digit is even); "
        "empty: one is chosen",
        17,
        "52:54:00:12:34:56",
        shortest=0,
    ),
]

IsoOrNone = Annotated[
    str,
    text(
        "(?:[A-Za-z0-9][A-Za-z0-9._+-]*)?",
        "an ISO image's file name, at most 200 characters; empty takes out what is in the drive",
        200,
        "mini.iso",
        shortest=0,
    ),
]


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=60,
    changes=True,
    target="kvm_vm_name",
    raises=(NotThere, InUse, AlreadyThere, Unusable),
)
class AttachDisk(HostOperation[str], frozen=True):
    """Give a machine a disk image as a further drive; answers the drive's name in the machine.

    At once where it runs, and for its next starts: both, or neither. The name is chosen where none is given.
    """

    kvm_vm_name: VmName
    diskimage_name: FileName
    bus: Bus = "virtio"
    drive: TargetOrNone = ""


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=60,
    changes=True,
    target="kvm_vm_name",
    raises=(NotThere, GuestDidNotReact),
)
class DetachDisk(HostOperation[int], frozen=True):
    """Take a drive out of a machine; answers 0. What is on it stays.

    The guest of a running machine must let go of it, and has 30 seconds for that.
    """

    kvm_vm_name: VmName
    drive: Target


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=60,
    changes=True,
    target="kvm_vm_name",
    raises=(NotThere, AlreadyThere),
)
class AttachNic(HostOperation[str], frozen=True):
    """Give a machine a further network interface; answers its address.

    It is on a bridge of the host, or on a network of the hypervisor's that is active. At once where the machine
    runs, and for its next starts: both, or neither. The address is chosen where none is given.
    """

    kvm_vm_name: VmName
    kind: Annotated[
        Literal["bridge", "network"],
        Meta(description="what `network_name` is the name of", examples=["bridge"]),
    ]
    network_name: NetworkName
    model: NicModel = "virtio"
    mac_address: MacAddressOrNone = ""


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=60,
    changes=True,
    target="kvm_vm_name",
    raises=(NotThere, GuestDidNotReact),
)
class DetachNic(HostOperation[int], frozen=True):
    """Take a network interface out of a machine; answers 0.

    The guest of a running machine must let go of it, and has 30 seconds for that.
    """

    kvm_vm_name: VmName
    mac_address: MacAddress


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="kvm_vm_name", raises=(NotThere,))
class ChangeCdrom(HostOperation[int], frozen=True):
    """Put an ISO image of the host into a machine's CD drive, or take out what is in it; answers 0.

    At once where it runs, and for its next starts: both, or neither. The drive need be named only where there are
    several.
    """

    kvm_vm_name: VmName
    cdrom_iso: IsoOrNone
    drive: TargetOrNone = ""
