"""LVMService: the volume groups and logical volumes of one host."""

from typing import Annotated

from msgspec import Meta

from oms.contract.errors import AlreadyThere, InUse, NoSpace, NotThere
from oms.contract.operation import HostOperation, Permission, Service, operation
from oms.contract.types import text

SERVICE = Service(
    "lvmservices",
    "LVMService",
    "Volume groups and logical volumes of a host. A volume can be a machine's disk.",
)

VolumeGroup = Annotated[
    str,
    text(
        r"[A-Za-z0-9][A-Za-z0-9._+-]*",
        "a volume group's name: letters, digits and . _ + -, first a letter or digit, at most 127 characters",
        127,
        "VolGroup00",
    ),
]

LogicalVolume = Annotated[
    str,
    text(
        r"[A-Za-z0-9][A-Za-z0-9._+-]*",
        "a logical volume's name: letters, digits and . _ + -, first a letter or digit, at most 100 characters",
        100,
        "openfiler",
    ),
]

SizeMb = Annotated[
    int,
    Meta(
        ge=1,
        le=1024**3,
        description="the size in MB (1024 KB each), 1 to 1073741824; rounded up to whole extents",
        examples=[10240],
    ),
]

Display = list[list[list[str]]]
"""One list for each group or volume, in it a list of words for each line that LVM says of it, in the C locale."""


@operation(SERVICE, Permission.VIEWER)
class ListVg(HostOperation[Display], frozen=True):
    """List the volume groups of a host, in the words of `vgdisplay`."""


@operation(SERVICE, Permission.VIEWER)
class ListLv(HostOperation[Display], frozen=True):
    """List the logical volumes of a host, in the words of `lvdisplay`."""


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=60,
    changes=True,
    target="logical_volume_name",
    raises=(AlreadyThere, NotThere, NoSpace),
)
class CreateLv(HostOperation[int], frozen=True):
    """Make a logical volume; answers 0. It bears the LVM tag `oms`, by which OMS knows its own."""

    volume_group_name: VolumeGroup
    logical_volume_name: LogicalVolume
    size_mb: SizeMb


@operation(
    SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="logical_volume_name", raises=(NotThere, InUse)
)
class DeleteLv(HostOperation[int], frozen=True):
    """Remove a logical volume with all that is on it; answers 0.

    Only one that OMS made (its LVM tag `oms` says so), that is not open, and that no machine has.
    """

    volume_group_name: VolumeGroup
    logical_volume_name: LogicalVolume
