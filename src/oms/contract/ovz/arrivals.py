"""OpenVZService: container templates brought in, by upload, from the web, or from another host."""

from oms.contract.errors import AlreadyThere, NoSpace, NotFetched, NotThere, Unusable
from oms.contract.incoming import OptionalSha256, Received, SizeBytes, Upload, Url
from oms.contract.kvm.templates import TemplateName
from oms.contract.operation import HostOperation, Permission, operation
from oms.contract.ovz import SERVICE
from oms.contract.types import Hostname


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=30,
    changes=True,
    target="template_name",
    raises=(AlreadyThere, NoSpace, Unusable),
)
class UploadTemplate(HostOperation[Upload], frozen=True):
    """Begin to bring a container template, packed by gzip, xz or zstd; answers where its bytes are to be PUT.

    It is an archive of a root file system, as in `debian.tar.xz`. All is as with `isoservices.upload_image`. What
    has come is looked at as a whole; an archive that is damaged or hostile is refused and nothing of it kept.
    """

    template_name: TemplateName
    size_bytes: SizeBytes
    sha256: OptionalSha256 = ""


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=60,
    changes=True,
    target="template_name",
    raises=(AlreadyThere, NoSpace, NotFetched, Unusable),
)
class FetchTemplate(HostOperation[Received], frozen=True):
    """Have the host fetch a container template from the web; answers its size and checksum.

    All is as with `isoservices.fetch_image`; what has come is looked at as with `upload_template`.
    """

    template_name: TemplateName
    url: Url
    sha256: OptionalSha256 = ""


@operation(
    SERVICE,
    Permission.OPERATOR,
    timeout=60,
    changes=True,
    target="template_name",
    raises=(AlreadyThere, NotThere, NoSpace, Unusable),
)
class CopyTemplate(HostOperation[Received], frozen=True):
    """Copy a container template from another host to this one, through OMS; answers its size and checksum.

    An .ovf that lies beside it there is not copied; one that lies in it is.
    """

    template_name: TemplateName
    from_hostname: Hostname
