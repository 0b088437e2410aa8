"""ConsoleService: screens and text consoles through OMS's one address, for several people at once."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from oms.contract.errors import NotThere
from oms.contract.operation import Permission, ServerOperation, Service, operation
from oms.contract.types import Hostname, text

SERVICE = Service(
    "consoleservices",
    "ConsoleService",
    "Screens of machines, text consoles of guests and terminals on hosts, all through OMS's one address.",
)

Kind = Annotated[
    Literal["vnc", "text", "ssh"],
    Meta(
        description="`vnc`, a machine's screen; `text`, a guest's text console; `ssh`, a terminal on the host",
        examples=["text"],
    ),
]

GuestKind = Annotated[
    Literal["kvm", "openvz"], Meta(description="what the guest is: a machine or a container", examples=["kvm"])
]

Guest = Annotated[
    str,
    text(
        r"(?:[A-Za-z0-9][A-Za-z0-9._+-]*)?",
        "a machine's name or UUID or a container's id; nothing for a terminal on the host",
        63,
        "openfiler",
        shortest=0,
    ),
]

ConsoleId = Annotated[
    str, text(r"[0-9a-f]{32}", "a console's id: 32 hexadecimal digits", 32, "0123456789abcdef0123456789abcdef")
]

Minutes = Annotated[int, Meta(ge=1, le=1440, description="whole minutes, 1 to 1440", examples=[30])]


class OpenedConsole(msgspec.Struct, frozen=True):
    """A console of this session. A browser opens `page` at OMS's address, with `&SESSID=SESSID` behind it."""

    id: str
    title: str
    page: str


class ListedConsole(msgspec.Struct, frozen=True):
    """A console. `port` is 0 where it has none of its own; `since` is RFC 3339; `viewers` look at it now."""

    id: str
    kind: str
    host: str
    guest: str
    user: str
    port: int
    since: str
    viewers: int
    recorded: bool


class Share(msgspec.Struct, frozen=True):
    """A link. Whoever opens `page` at OMS's address by `until` (RFC 3339) sees the console, without a session."""

    page: str
    until: str


@operation(SERVICE, Permission.OPERATOR, timeout=30, changes=True, raises=(NotThere,))
class OpenConsole(ServerOperation[OpenedConsole], frozen=True):
    """Open a console of a guest, or a terminal on a host, which administrators alone may have.

    A console that this session has already is answered as it is; one that another session has can be taken over.
    What nobody looks at for a minute is closed, as is everything of a session that ends.
    """

    server_hostname: Hostname
    kind: Kind
    guest: Guest = ""
    guest_kind: GuestKind = "kvm"


@operation(SERVICE, Permission.OPERATOR)
class ListConsoles(ServerOperation[list[ListedConsole]], frozen=True):
    """The consoles that are open: all of them for administrators, else one's own."""


@operation(SERVICE, Permission.OPERATOR, changes=True, raises=(NotThere,))
class CloseConsole(ServerOperation[int], frozen=True):
    """Close a console, whoever looks at it; answers 0. Others' are closed by administrators."""

    console: ConsoleId


@operation(SERVICE, Permission.OPERATOR, changes=True, raises=(NotThere,))
class TakeOverConsole(ServerOperation[OpenedConsole], frozen=True):
    """Make another session's console one's own, for administrators, who then see what its user saw last.

    Whoever typed in it before is shown that it was opened elsewhere.
    """

    console: ConsoleId


@operation(SERVICE, Permission.OPERATOR, changes=True, raises=(NotThere,))
class ShareConsole(ServerOperation[Share], frozen=True):
    """Make a link by which others look at a console of one's own; they can type nothing.

    It ends when the time is over or the console is closed, whichever comes first.
    """

    console: ConsoleId
    minutes: Minutes = 30
