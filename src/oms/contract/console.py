"""ConsoleService: screens and text consoles through OMS's one address, for several people at once."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from oms.contract.errors import InUse, NotRecorded, NotThere
from oms.contract.operation import Permission, ServerOperation, Service, operation
from oms.contract.types import AnyHost, Hostname, text
from oms.contract.user import AnyUser

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

_RECORDING = "a recording's id: 32 hexadecimal digits"
RecordingId = Annotated[str, text(r"[0-9a-f]{32}", _RECORDING, 32, "0123456789abcdef0123456789abcdef")]
AnyRecording = Annotated[
    str,
    text(r"(?:[0-9a-f]{32})?", f"{_RECORDING}; or nothing", 32, "0123456789abcdef0123456789abcdef", shortest=0),
]
Offset = Annotated[int, Meta(ge=0, le=2**53, description="bytes from the beginning", examples=[0])]
MostRecordings = Annotated[int, Meta(ge=1, le=500, description="how many at most, 1 to 500", examples=[100])]

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


class Recording(msgspec.Struct, frozen=True):
    """What a console said: of its user's time in it, in one or more of these. Times are RFC 3339.

    `until` is when it was last written; `bytes` are its size; `written`: more will come, its console is open.
    """

    id: str
    console: str
    kind: str
    host: str
    guest: str
    user: str
    since: str
    until: str
    bytes: int
    written: bool


class RecordingPage(msgspec.Struct, frozen=True):
    """Recordings, the newest first. `before` asks for the page that follows; empty where there is none."""

    recordings: list[Recording]
    before: str


class RecordingPiece(msgspec.Struct, frozen=True):
    """Some of a recording's file (asciicast version 2). `next` is the offset of what follows; `bytes` is the size
    of all that there is now, so with `next` as large nothing follows."""

    text: str
    next: int
    bytes: int


@operation(SERVICE, Permission.OPERATOR, timeout=30, changes=True, raises=(NotThere, NotRecorded))
class OpenConsole(ServerOperation[OpenedConsole], frozen=True):
    """Open a console of a guest, or a terminal on a host, which administrators alone may have.

    A console that the caller's session has already is answered as it is, and so is one that the user opened in
    this way in another session and that nobody looks at now. Any other can be taken over. What nobody looks at for
    a minute is closed, as is everything of a session that ends.
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


@operation(SERVICE, Permission.OPERATOR, changes=True, raises=(NotThere, NotRecorded))
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


@operation(SERVICE, Permission.OPERATOR, raises=(NotThere,))
class ListRecordings(ServerOperation[RecordingPage], frozen=True):
    """List what was recorded of consoles, the newest first: all of it for administrators, else of one's own.

    All of it, or that of a host, guest or user. The first page is asked for with an empty `before`, each following
    one with what the page before it says.
    """

    host: AnyHost = ""
    guest: Guest = ""
    user_name: AnyUser = ""
    before: AnyRecording = ""
    most: MostRecordings = 100


@operation(SERVICE, Permission.OPERATOR, raises=(NotThere,))
class ReadRecording(ServerOperation[RecordingPiece], frozen=True):
    """Answer at most 512 KiB of a recording, from an offset on; one after the other they are its file.

    Administrators read all, others their own. Each call is a row of the audit log.
    """

    recording: RecordingId
    offset: Offset = 0


@operation(SERVICE, Permission.ADMIN, changes=True, raises=(NotThere, InUse))
class DeleteRecording(ServerOperation[int], frozen=True):
    """Delete a recording whose console is closed; answers 0. For administrators: nobody deletes his own traces."""

    recording: RecordingId
