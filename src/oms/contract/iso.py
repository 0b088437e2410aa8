"""ISOService: the ISO images of one host, from which machines are installed."""

import msgspec

from oms.contract.errors import AlreadyThere, InUse, NoSpace, NotFetched, NotThere, Unusable
from oms.contract.incoming import OptionalSha256, Received, SizeBytes, Upload, Url
from oms.contract.operation import HostOperation, Permission, Service, operation
from oms.contract.types import FileName, Hostname

SERVICE = Service(
    "isoservices",
    "ISOService",
    "ISO images of a host, to install machines from. They come by upload, from the web, or from another host.",
)


class IsoImage(msgspec.Struct, frozen=True):
    """An ISO image; `machines` have it in a drive."""

    name: str
    size_kb: int
    machines: list[str]


@operation(SERVICE, Permission.VIEWER)
class ListImages(HostOperation[list[str]], frozen=True):
    """List the ISO images of a host."""


@operation(SERVICE, Permission.VIEWER)
class DescribeImages(HostOperation[list[IsoImage]], frozen=True):
    """Tell size and users of each ISO image."""


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=30,
    changes=True,
    target="image_name",
    raises=(AlreadyThere, NoSpace, Unusable),
)
class UploadImage(HostOperation[Upload], frozen=True):
    """Begin to bring an ISO image; answers at once where its bytes are to be PUT.

    The job goes on until all of them have come and the checksum is right; only then the image is there. It may be
    gone on with after any break, and is given up after an hour in which nothing comes. The same call again, while
    it is under way, answers the same.
    """

    image_name: FileName
    size_bytes: SizeBytes
    sha256: OptionalSha256 = ""


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=60,
    changes=True,
    target="image_name",
    raises=(AlreadyThere, NoSpace, NotFetched, Unusable),
)
class FetchImage(HostOperation[Received], frozen=True):
    """Have the host fetch an ISO image from the web; answers its size and checksum.

    Over http the checksum is needed. Addresses inside the own network are refused unless the host's setting
    `fetch_private` allows them.
    """

    image_name: FileName
    url: Url
    sha256: OptionalSha256 = ""


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=60,
    changes=True,
    target="image_name",
    raises=(AlreadyThere, NotThere, NoSpace, Unusable),
)
class CopyImage(HostOperation[Received], frozen=True):
    """Copy an ISO image from another host to this one, through OMS; answers its size and checksum."""

    image_name: FileName
    from_hostname: Hostname


@operation(SERVICE, Permission.OPERATOR, timeout=60, changes=True, target="image_name", raises=(NotThere, InUse))
class DeleteImage(HostOperation[int], frozen=True):
    """Delete an ISO image; answers 0. One that a machine has in a drive is not deleted: the error names it."""

    image_name: FileName
