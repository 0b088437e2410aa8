"""KVMService: disk images, the files behind machines' disks, in OMS's own storage on a host."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from oms.contract.errors import AlreadyThere, InUse, NoSpace, NotFetched, NotThere, Unusable
from oms.contract.incoming import OptionalSha256, Received, SizeBytes, Upload, Url
from oms.contract.kvm import SERVICE
from oms.contract.operation import HostOperation, Permission, operation
from oms.contract.types import DiskFormat, FileName

SizeMb = Annotated[
    int,
    Meta(
        ge=1,
        le=16 * 1024**2,
        description='the size in MB (1024 KB each), a whole number from 1 to 16777216; the text "10" is none',
        examples=[10],
    ),
]

Done = tuple[int, str, str]
"""`[0, "", ""]`: as a program's status, output and errors."""


class DiskImage(msgspec.Struct, frozen=True):
    """A disk image. KB; `used_kb` is what it takes on the host's disk. `format` is "" where nobody has told OMS.

    `backing` is the image that it stands upon, or ""; `machines` have it, or have one that stands upon it.
    """

    name: str
    format: DiskFormat | Literal[""]
    size_kb: int
    used_kb: int
    backing: str
    machines: list[str]


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=60,
    changes=True,
    target="diskimage_name",
    raises=(AlreadyThere, NoSpace),
)
class CreateFileBasedImage(HostOperation[int], frozen=True):
    """Make an empty disk image; answers 0. It takes room only as it is written.

    The format is the host's setting where none is given. The host must have room for all of the disk.
    """

    diskimage_name: FileName
    diskimage_size_megabytes: SizeMb
    diskimage_format: DiskFormat | Literal[""] = ""


@operation(
    SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="diskimage_name", raises=(NotThere, InUse)
)
class DeleteFileBasedImage(HostOperation[Done], frozen=True):
    """Delete a disk image; answers `[0, "", ""]`.

    One that a machine has, or that another image stands upon, is not deleted: the error names who needs it.
    """

    diskimage_name: FileName


@operation(SERVICE, Permission.VIEWER, aliases=("list_file_based_image",))
class ListFileBasedImages(HostOperation[list[str]], frozen=True):
    """List the disk images in OMS's storage on a host."""


@operation(SERVICE, Permission.VIEWER, aliases=("list_file_based_image_used",))
class ListFileBasedImagesUsed(HostOperation[list[str]], frozen=True):
    """List the disk images that the host's machines use, those behind others too.

    A machine may name one that is not there any more, so the list can have names that `list_file_based_images`
    does not.
    """


@operation(SERVICE, Permission.VIEWER)
class DescribeFileBasedImages(HostOperation[list[DiskImage]], frozen=True):
    """Tell format, sizes and users of each disk image."""


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=120,
    changes=True,
    target="diskimage_name",
    raises=(NotThere, AlreadyThere, InUse, Unusable),
)
class AdoptFileBasedImage(HostOperation[int], frozen=True):
    """Tell in which format a disk image is that was put into the storage by other ways; answers 0.

    What was told once stays. A qcow2 image must stand for itself: no other file behind it, no snapshots, no
    encryption.
    """

    diskimage_name: FileName
    diskimage_format: DiskFormat


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=30,
    changes=True,
    target="diskimage_name",
    raises=(AlreadyThere, NoSpace, Unusable),
)
class UploadFileBasedImage(HostOperation[Upload], frozen=True):
    """Begin to bring a disk image; answers at once where its bytes are to be PUT.

    All is as with `isoservices.upload_image`; what has come is checked as with `adopt_file_based_image`.
    """

    diskimage_name: FileName
    diskimage_format: DiskFormat
    size_bytes: SizeBytes
    sha256: OptionalSha256 = ""


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=60,
    changes=True,
    target="diskimage_name",
    raises=(AlreadyThere, NoSpace, NotFetched, Unusable),
)
class FetchFileBasedImage(HostOperation[Received], frozen=True):
    """Have the host fetch a disk image from the web; answers its size and checksum.

    All is as with `isoservices.fetch_image`; what has come is checked as with `adopt_file_based_image`.
    """

    diskimage_name: FileName
    diskimage_format: DiskFormat
    url: Url
    sha256: OptionalSha256 = ""
