"""TagService: words that stand at hosts and guests, by which people find them again."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from oms.contract.errors import ApplicationError, FuncManError, NotThere
from oms.contract.func import Tag
from oms.contract.operation import Permission, ServerOperation, Service, operation
from oms.contract.types import Hostname, TagName, text

SERVICE = Service(
    "tagservices",
    "TagService",
    "Tags of hosts and guests. Level 1 is a host's type, level 2 is set by OMS from what a host says of itself, "
    "and level 3 is freeform: people give it, to hosts and to guests.",
)


class UnknownHostException(ApplicationError):
    """A host type that is none, or a host that is not signed; nothing was changed. `data.unknown` lists them."""

    code = 1020


class ReservedTag(FuncManError):
    """The tag is a host type's, or one that OMS sets by itself: people can neither give it nor take it away."""

    reason = "reserved_tag"


class TooManyTags(FuncManError):
    """There are as many tags already as there may be, at this host or guest, or in all."""

    reason = "too_many_tags"


class TagTaken(FuncManError):
    """There is a tag of the new name already: renaming would make two tags one, for ever."""

    reason = "tag_taken"


class HostType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host, and the type that it is to have."""

    name: Annotated[str, Meta(max_length=255)]
    type: Annotated[str, Meta(max_length=64)]


HostTypes = Annotated[
    tuple[HostType, ...],
    Meta(
        min_length=1,
        max_length=1000,
        description='a list of hosts with their new types: `{"name": ..., "type": ...}`, at least one; the types '
        "are `OpenNode`, `KVM`, `OpenVZ`, `physical`",
        examples=[[{"name": "host_name", "type": "physical"}]],
    ),
]

AnyGuest = Annotated[
    str,
    text(
        r"(?:[A-Za-z0-9][A-Za-z0-9._+-]*)?",
        "a machine's name or UUID, or a container's id; or nothing, for the host itself",
        63,
        "openfiler",
        shortest=0,
    ),
]

GuestType = Literal["", "kvm", "openvz"]
"""Of what kind the guest is; "" is whichever the host has by that name."""


class Bearer(msgspec.Struct, frozen=True):
    """What bears a tag: a `host`, a machine (`kvm`) or a container (`openvz`).

    `id` is the host's own, the machine's UUID, the container's id; `name` as it was last seen.
    """

    type: Literal["host", "kvm", "openvz"]
    host: str
    name: str
    id: str


@operation(SERVICE, Permission.ADMIN, changes=True, raises=(UnknownHostException,))
class ChangeHostType(ServerOperation[int], frozen=True):
    """Change the type of hosts, which is the tag of level 1 of each; answers 0. All of them, or none."""

    hosts: HostTypes


@operation(SERVICE, Permission.VIEWER)
class ListTags(ServerOperation[list[Tag]], frozen=True):
    """List every tag that a host or guest bears, with its level."""


@operation(SERVICE, Permission.OPERATOR, changes=True, raises=(NotThere, ReservedTag, TagTaken))
class EditFreeformTagName(ServerOperation[int], frozen=True):
    """Rename a tag of level 3 wherever it is borne, at once; answers 0."""

    old_tag_name: TagName
    new_tag_name: TagName


@operation(SERVICE, Permission.OPERATOR, timeout=30, changes=True, raises=(NotThere, ReservedTag, TooManyTags))
class AddTag(ServerOperation[int], frozen=True):
    """Give a tag to a host, or to a guest of it; answers 0, also where that bears it already.

    A guest keeps it when it is renamed, changed, or moved to another host. At most 64 for one host or guest.
    """

    tag_name: TagName
    server_hostname: Hostname
    vm_name: AnyGuest = ""
    vm_type: GuestType = ""


@operation(SERVICE, Permission.OPERATOR, timeout=30, changes=True, raises=(NotThere, ReservedTag))
class RemoveTag(ServerOperation[int], frozen=True):
    """Take a tag from a host, or from a guest of it; answers 0."""

    tag_name: TagName
    server_hostname: Hostname
    vm_name: AnyGuest = ""
    vm_type: GuestType = ""


@operation(SERVICE, Permission.VIEWER)
class ListTagged(ServerOperation[list[Bearer]], frozen=True):
    """List the hosts and guests that bear a tag, by the records of OMS: no host is asked."""

    tag_name: TagName
