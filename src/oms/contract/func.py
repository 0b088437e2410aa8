"""FuncService: the hosts that ask to join, and those that were let in."""

from typing import Annotated

import msgspec
from msgspec import Meta

from oms.contract.errors import ApplicationError, FuncManError
from oms.contract.operation import Permission, ServerOperation, Service, operation
from oms.contract.types import Hostname, TagName, text

SERVICE = Service(
    "funcservices",
    "FuncService",
    "Hosts join by asking for a certificate, which an administrator signs, and leave when it is removed.",
)

HostList = Annotated[
    tuple[Annotated[str, Meta(max_length=255)], ...],
    Meta(min_length=1, max_length=1000, description="host names, at least one", examples=[["funcclient"]]),
]
"""Names as the caller wrote them: each is compared literally with those known, none is a pattern."""


KeySha256 = Annotated[
    str,
    text(
        r"[0-9a-fA-F]{64}",
        "the fingerprint of a key as the host's agent shows it: 64 hexadecimal digits",
        64,
        "9b1d" * 16,
        shortest=64,
    ),
]


class RequestRefused(FuncManError):
    """A request cannot be signed as things stand: two keys want its name, the name is signed already, or its key
    is not the one that was compared."""

    reason = "request_refused"


class UnknownSignRequestsError(ApplicationError):
    """Some of the hosts to be signed have no request waiting; nothing was signed. `data.unknown` lists them."""

    code = 1012


class SSHKeyCreateError(ApplicationError):
    """The SSH key pair for a host could not be made; nothing was signed."""

    code = 1013


class SSHKeyAddError(ApplicationError):
    """The SSH key of a host could not be stored; nothing was signed."""

    code = 1014


class UnknownRemoveRequestError(ApplicationError):
    """Some of the hosts have no request waiting; nothing was removed. `data.unknown` lists them."""

    code = 1015


class UnknownRemoveSignedError(ApplicationError):
    """Some of the hosts are not signed; nothing was removed. `data.unknown` lists them."""

    code = 1016


class SSHKeyRemoveError(ApplicationError):
    """The SSH key of a host could not be removed."""

    code = 1017


class HostType(msgspec.Struct, frozen=True):
    """The type of a host, its tag of level 1."""

    type: str


class HostName(msgspec.Struct, frozen=True):
    """A host, by name."""

    name: str


class Tag(msgspec.Struct, frozen=True):
    """A tag: level 1 is the host's type, 2 was found by OMS, 3 was given by people."""

    tag: str
    level: int


class SignedHost(msgspec.Struct, frozen=True):
    """A signed host: `status` 1 = its agent is connected now; `vmcount` = KVM machines and containers."""

    name: str
    status: int
    vmcount: int
    tags: list[Tag]


class Removal(msgspec.Struct, frozen=True):
    """`failed_removals`: hosts whose certificate is revoked, but of which it could not be confirmed that their
    connection is cut."""

    failed_removals: list[str]


class HostDescription(msgspec.Struct, frozen=True):
    """What OMS knows of a signed host. Times are RFC 3339 in UTC; `facts` are the agent's own words."""

    name: str
    id: str
    status: int
    type: str
    agent_version: str
    key_sha256: str
    certificate_sha256: str
    certificate_not_after: str
    signed_at: str
    last_seen: str
    facts: dict[str, str | int | list[str]]
    tags: list[Tag]


class CaFingerprint(msgspec.Struct, frozen=True):
    """`sha256`: of the certificate by which agents know OMS, in hexadecimal."""

    sha256: str


@operation(SERVICE, Permission.VIEWER)
class ListRequests(ServerOperation[list[HostName]], frozen=True):
    """List the hosts whose requests wait to be signed."""


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=60,
    changes=True,
    raises=(UnknownSignRequestsError, SSHKeyCreateError, SSHKeyAddError, RequestRefused),
)
class SignRequests(ServerOperation[list[HostName]], frozen=True):
    """Sign the given hosts' requests; answers those whose type could not be found.

    Each host gets a certificate for 90 days, an SSH key pair, and its type as a tag of level 1, found from what
    its agent says of it. Hosts of which nothing could be found are called `physical` and are the answer. Where
    two different keys ask for one name, signing that name is refused until one of the requests is removed.
    """

    hostname_list: HostList


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=60,
    changes=True,
    raises=(UnknownSignRequestsError, SSHKeyCreateError, SSHKeyAddError, RequestRefused),
)
class SignKey(ServerOperation[HostType], frozen=True):
    """Sign the request of one host if it asks with the key that was compared; answers the type that was found.

    As `sign_requests`, for whoever has the fingerprint before him that the host's agent shows: should another key
    ask under that name by now, nothing is signed.
    """

    server_hostname: Hostname
    key_sha256: KeySha256


@operation(SERVICE, Permission.ADMIN, changes=True, raises=(UnknownRemoveRequestError,))
class RemoveRequests(ServerOperation[int], frozen=True):
    """Drop the requests of the given hosts; answers 0."""

    hostname_list: HostList


@operation(SERVICE, Permission.VIEWER)
class ListSigned(ServerOperation[list[SignedHost]], frozen=True):
    """List the signed hosts, all of them or those that bear a tag."""

    optional_tag_name: TagName | None = None


@operation(
    SERVICE,
    Permission.ADMIN,
    timeout=60,
    changes=True,
    raises=(UnknownRemoveSignedError, SSHKeyRemoveError),
)
class RemoveSigned(ServerOperation[Removal], frozen=True):
    """Revoke the certificates of the given hosts and cut their connections before answering.

    Their SSH keys are removed. The agent of a removed host throws its certificate away and asks again, with a
    new key, about two minutes later.
    """

    hostname_list: HostList


@operation(SERVICE, Permission.VIEWER)
class DescribeHost(ServerOperation[HostDescription], frozen=True):
    """Tell all that OMS knows of a signed host: facts, agent, certificate, when it was last seen."""

    server_hostname: Hostname


@operation(SERVICE, Permission.VIEWER)
class CaSha256(ServerOperation[CaFingerprint], frozen=True):
    """Tell the fingerprint by which a new host's agent knows this OMS (`oms agent --ca-sha256`)."""
