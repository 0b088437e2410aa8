"""consoleservices: consoles through the one address, and what administrators do with others'."""

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oms.contract import console as api
from oms.contract.console import ListedConsole, OpenedConsole, Recording, RecordingPage, RecordingPiece, Share
from oms.contract.errors import AuthError, FuncManError, InUse, NotThere
from oms.contract.operation import Permission
from oms.server.consoles.console import Console
from oms.server.consoles.consoles import NEEDED, AlreadyMine, Anothers, NoSpot
from oms.server.consoles.shelf import Recorded, not_there
from oms.server.consoles.ways import NoTunnel, NoWay
from oms.server.desk import Desk, Table
from oms.server.store import users
from oms.server.store.moments import moment, now, second

handlers = Table()


@handlers.handles(api.OpenConsole)
async def open_console(op: api.OpenConsole, desk: Desk) -> OpenedConsole:
    """Without a port of its own."""
    if desk.role < NEEDED[op.kind]:
        raise AuthError(f"A terminal on a host is for administrators; {desk.user} is {desk.role.name.lower()}.")
    if (op.kind == "ssh") == bool(op.guest):
        raise FuncManError("A terminal on a host (kind ssh) has no guest; every other console has one.")
    session = await desk.session()
    with _told():
        try:
            console = await desk.house.consoles.open(
                op.kind, session, op.server_hostname, op.guest, guest_kind=op.guest_kind
            )
        except AlreadyMine as mine:
            console = mine.console
        except Anothers as other:
            # Whose connection broke comes back with a new session, and nobody loses anything by it.
            if not _is_left(other.console, desk):
                raise
            console = other.console
            await desk.house.consoles.take_over(console, session)
    return _opened(console)


@handlers.handles(api.ListConsoles)
async def list_consoles(op: api.ListConsoles, desk: Desk) -> list[ListedConsole]:
    """The oldest first."""
    return [_listed(console) for console in desk.house.consoles.all() if _may(console, desk)]


@handlers.handles(api.CloseConsole)
async def close_console(op: api.CloseConsole, desk: Desk) -> int:
    """Whoever looks at it."""
    await desk.house.consoles.remove(_found(op.console, desk))
    return 0


@handlers.handles(api.TakeOverConsole)
async def take_over_console(op: api.TakeOverConsole, desk: Desk) -> OpenedConsole:
    """Also one's own, from another session."""
    console = _found(op.console, desk)
    await desk.house.consoles.take_over(console, await desk.session())
    return _opened(console)


@handlers.handles(api.ShareConsole)
async def share_console(op: api.ShareConsole, desk: Desk) -> Share:
    """What is after `#` is in no log: browsers send it to nobody."""
    console = _found(op.console, desk)
    seconds = op.minutes * 60
    link = desk.house.consoles.shares.give(console.id, seconds)
    return Share(f"{_page(console)}#share={link}", second(now() + seconds))


@handlers.handles(api.ListRecordings)
async def list_recordings(op: api.ListRecordings, desk: Desk) -> RecordingPage:
    """The directory is read each time: it is all there is."""
    may = await _may_read(desk)
    there = [
        recorded
        for recorded in await asyncio.to_thread(desk.house.consoles.shelf.all)
        if may(recorded)
        and op.host in ("", recorded.about.host)
        and op.guest in ("", recorded.about.guest)
        and op.user_name.lower() in ("", recorded.about.user)
    ]
    ids = [recorded.id for recorded in there]
    if op.before and op.before not in ids:
        raise not_there(op.before)
    begin = ids.index(op.before) + 1 if op.before else 0
    page = there[begin : begin + op.most]
    follows = len(there) > begin + op.most
    return RecordingPage([_recording(recorded) for recorded in page], page[-1].id if follows else "")


@handlers.handles(api.ReadRecording)
async def read_recording(op: api.ReadRecording, desk: Desk) -> RecordingPiece:
    """Of what others may not know of, not even that it is there."""
    shelf, may = desk.house.consoles.shelf, await _may_read(desk)
    if not may(await asyncio.to_thread(shelf.find, op.recording)):
        raise not_there(op.recording)
    piece = await asyncio.to_thread(shelf.read, op.recording, op.offset)
    return RecordingPiece(piece.text, piece.end, piece.size)


@handlers.handles(api.DeleteRecording)
async def delete_recording(op: api.DeleteRecording, desk: Desk) -> int:
    """For good."""
    await asyncio.to_thread(desk.house.consoles.shelf.delete, op.recording)
    return 0


async def _may_read(desk: Desk) -> Callable[[Recorded], bool]:
    """Which recordings the caller may read. One of his name may have been here before him."""
    if desk.role >= Permission.ADMIN:
        return lambda _: True
    user = await desk.house.store.read(lambda tx: users.by_name(tx, desk.user))
    known_since = user.created if user else math.inf
    return lambda recorded: (
        recorded.about.user == desk.user
        and recorded.since >= int(known_since)
        and recorded.about.kind in NEEDED
        and desk.role >= NEEDED[recorded.about.kind]
    )


def _recording(recorded: Recorded) -> Recording:
    about = recorded.about
    return Recording(
        id=recorded.id,
        console=about.console,
        kind=about.kind,
        host=about.host,
        guest=about.guest,
        user=about.user,
        since=moment(recorded.since),
        until=moment(recorded.until),
        bytes=recorded.size,
        written=recorded.written,
    )


def _found(console_id: str, desk: Desk) -> Console:
    console = desk.house.consoles.find(console_id)
    if console is None or not _may(console, desk):
        raise NotThere(f"No console {console_id} is open: list_consoles lists those that are.")
    return console


def _may(console: Console, desk: Desk) -> bool:
    """A token may do less than its owner, who has opened a console by himself."""
    if desk.role < NEEDED[console.kind]:
        return False
    return desk.role >= Permission.ADMIN or console.session.user == desk.user


def _is_left(console: Console, desk: Desk) -> bool:
    """Whether it is another session's of the caller, who is not there, nor needs its port."""
    return console.session.user == desk.user and console.port is None and not console.viewers


def _opened(console: Console) -> OpenedConsole:
    return OpenedConsole(console.id, console.title, _page(console))


def _page(console: Console) -> str:
    return f"/console/{'vnc' if console.kind == 'vnc' else 'terminal'}.html?console={console.id}"


def _listed(console: Console) -> ListedConsole:
    return ListedConsole(
        id=console.id,
        kind=console.kind,
        host=console.host.name,
        guest=console.guest,
        user=console.session.user,
        port=console.port or 0,
        since=second(console.set_up),
        viewers=len(console.viewers),
        recorded=console.recording is not None,
    )


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except Anothers as why:
        other = why.console
        raise InUse(
            f"{other.session.user} has that console open: take_over_console {other.id} makes it yours.",
            console=other.id,
        ) from why
    except NoSpot as why:
        raise FuncManError("As many consoles are open as may be: close some.") from why
    except (NoWay, NoTunnel) as why:
        raise FuncManError(str(why)) from why
