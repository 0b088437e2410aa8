"""What consoles are open: opened, found, shown; closed with their session, their host, or for want of viewers."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

import structlog

from oms.contract.errors import NotRecorded, OmsError
from oms.contract.operation import Permission
from oms.server.consoles.console import Console, GuestKind, Kind
from oms.server.consoles.far_ends import FarEnds
from oms.server.consoles.looking import NotUnderstood
from oms.server.consoles.recording import Recording
from oms.server.consoles.relay import BROKE, GONE, NOT_REACHED, TAKEN_OVER, Socket, both, inward, outward
from oms.server.consoles.shelf import Shelf
from oms.server.consoles.spots import Spots
from oms.server.consoles.terminal import SIZE, Terminal
from oms.server.consoles.tickets import Shares, Ticket, Tickets
from oms.server.consoles.ways import BROKEN, NoTunnel, NoWay
from oms.server.fleet import Fleet
from oms.server.rules.sessions import Lifetime
from oms.server.store import Store, hosts, now, sessions, tokens
from oms.server.store.hosts import Host
from oms.server.store.sessions import Session

log = structlog.get_logger("oms.consoles")
UNUSED_SECONDS = 60.0
LOOK_SECONDS = 1.0
"""So often each console's session is looked at: consoles close within twice that."""
TOUCH_SECONDS = 30.0
NEEDED: dict[Kind, Permission] = {"vnc": Permission.OPERATOR, "text": Permission.OPERATOR, "ssh": Permission.ADMIN}
MOST_VIEWERS = 16
ELSEWHERE = "The console was opened elsewhere."
MOST_OPEN = 1000


class AlreadyMine(Exception):
    """The session has that console."""

    def __init__(self, console: Console) -> None:
        self.console = console


class Anothers(Exception):
    """Another session has that console."""

    def __init__(self, console: Console) -> None:
        self.console = console


class NoSpot(Exception):
    """All ports are lent, or as many consoles are open as may be."""


Change = Literal["opened", "closed"]


class Ports(Protocol):
    """Who listens."""

    def listen(self, port: int) -> Callable[[], None]:
        """Listen on a port until the function is called that is answered. Raises OSError."""


class Consoles:
    """All of this server."""

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        far_ends: FarEnds,
        lifetime: Lifetime,
        *,
        ports: Ports,
        pools: dict[Kind, Spots],
        shelf: Shelf,
        record: bool,
        server: str,
        tell: Callable[[Console, str, Change], None] = lambda _console, _user, _change: None,
    ) -> None:
        """`record`: whether what text consoles say is kept on the shelf. `server`: this one's id, with which the
        ids of its consoles begin. `tell` hears of each console that is opened or closed, and for which user."""
        self._tell_of = tell
        self._store, self._fleet, self._far_ends, self._lifetime = store, fleet, far_ends, lifetime
        self._ports, self._pools, self._record = ports, pools, record
        self._all: dict[str, Console] = {}
        self._closers: dict[str, Callable[[], None]] = {}
        self.shelf = shelf
        self._server = server
        self.tickets = Tickets(server)
        self.shares = Shares(server)

    # --- opening

    async def open(
        self,
        kind: Kind,
        session: Session,
        host_name: str,
        guest: str = "",
        *,
        guest_kind: GuestKind = "kvm",
        at_port: bool = False,
    ) -> Console:
        """A new console; `at_port`: one that has a port of its own.

        Raises AlreadyMine, Anothers, NoWay, NoTunnel, NoSpot; NotRecorded; OmsError where the host or the guest is
        not there.
        """
        await self._tidy()
        host = await self._fleet.host(host_name)
        console = Console(
            self._server + secrets.token_hex(16 - len(self._server) // 2), kind, session, host, guest, guest_kind
        )
        await self._far_ends.identify(console)
        self._check_free(console)
        await self._far_ends.try_out(console)
        try:
            if console.terminal is not None and self._record:
                await self._begin_recording(console, console.terminal)
            self._check_free(console)
            self._admit(console, at_port=at_port)
        except BaseException:
            await self._end(console)
            raise
        self._tell_of(console, session.user, "opened")
        log.info("console opened", id=console.id, kind=kind, user=session.user, title=console.title)
        return console

    def _check_free(self, console: Console) -> None:
        for other in self._all.values():
            if other.target == console.target:
                raise (AlreadyMine if other.session.digest == console.session.digest else Anothers)(other)

    def _admit(self, console: Console, *, at_port: bool) -> None:
        """Raises NoSpot."""
        if len(self._all) >= MOST_OPEN:
            raise NoSpot
        if at_port:
            self.lend(console)
        self._all[console.id] = console

    async def _begin_recording(self, console: Console, terminal: Terminal) -> None:
        """Raises NotRecorded: without a recording there is no console."""
        console.recording = await Recording.begin(self.shelf, console.about, console.title, SIZE)
        terminal.record(console.recording)

    def lend(self, console: Console) -> None:
        """A port that can be listened on. Raises NoSpot."""
        pool = self._pools[console.kind]
        for port in pool.free():
            try:
                self._closers[console.id] = self._ports.listen(port)
            except OSError as failure:  # somebody else's: the next one
                log.warning("port for consoles taken", port=port, why=failure.strerror)
                continue
            pool.lend(port)
            console.port = port
            return
        raise NoSpot

    # --- finding

    def all(self) -> list[Console]:
        """The oldest first."""
        return list(self._all.values())

    def at_port(self, port: int) -> Console | None:
        """The console that has that port."""
        return next((console for console in self._all.values() if console.port == port), None)

    def is_for_screens(self, port: int) -> bool:
        """Whether screens are shown at that port, now or at some time."""
        return port in self._pools["vnc"]

    def of(self, session: Session, kind: Kind) -> list[Console]:
        """The consoles of a session, the oldest first."""
        return [c for c in self._all.values() if c.kind == kind and c.session.digest == session.digest]

    def find(self, console_id: str) -> Console | None:
        """The console of that id."""
        return self._all.get(console_id)

    async def check(self, console: Console) -> None:
        """See that it can still be shown. Raises NoWay, NoTunnel, OmsError."""
        await self._far_ends.try_out(console)

    # --- showing

    async def show(self, console: Console, socket: Socket, ticket: Ticket) -> None:
        """Let a browser look at it until it goes. Who looked at it before, and might type, looks no more."""
        if len(console.viewers) >= MOST_VIEWERS:
            await socket.close(NOT_REACHED, "As many look at this console as may.")
            return
        if not ticket.view_only and _is_for(ticket, console):
            await self._send_off(console)
        if not _is_for(ticket, console):
            await socket.close(TAKEN_OVER, ELSEWHERE)
            return
        console.viewers[socket] = ticket.view_only
        try:
            await self._shown(console, socket, view_only=ticket.view_only)
        except (NoWay, NoTunnel, NotUnderstood) as why:
            await socket.close(NOT_REACHED, str(why))
        except OmsError as why:
            await socket.close(NOT_REACHED, why.message)
        except BROKEN:
            await socket.close(BROKE, f"The connection to {console.host.name} broke.")
        else:
            await socket.close(1000, "The other side has ended.")
        finally:
            console.viewers.pop(socket, None)
            console.left = time.monotonic()

    async def _shown(self, console: Console, socket: Socket, *, view_only: bool) -> None:
        if console.kind == "vnc":
            async with contextlib.AsyncExitStack() as channel:
                reader, writer = await self._far_ends.screen(console, channel)
                await both(outward(reader, socket), inward(socket, writer, console.touch, view_only=view_only))
            return
        terminal = await self._running(console)
        await terminal.show(socket, console.touch, view_only=view_only)

    async def _running(self, console: Console) -> Terminal:
        """Its program, begun anew where it has ended. Raises NoWay, NoTunnel, OmsError."""
        async with console.turn:
            if console.terminal is not None:
                if not console.terminal.over:
                    return console.terminal
                await console.terminal.end()
            console.terminal = begun = await self._far_ends.terminal(console)
            begun.recording = console.recording
            if console.id not in self._all:  # closed meanwhile
                await begun.end()
            return begun

    async def _send_off(self, console: Console, *, onlookers: bool = False) -> None:
        """Those who might type, or all."""
        for viewer in [viewer for viewer, only_looks in console.viewers.items() if onlookers or not only_looks]:
            console.viewers.pop(viewer, None)
            with contextlib.suppress(OSError):
                await viewer.close(TAKEN_OVER, ELSEWHERE)

    async def take_over(self, console: Console, session: Session) -> None:
        """It is that session's from now on; of another user's time in it there is another recording, and the links
        that the one before gave lead nowhere.

        Raises NotRecorded; then nothing was changed.
        """
        before, owner = console.recording, console.session
        console.session = session
        is_anothers = owner.user != session.user
        if before is not None and console.terminal is not None and is_anothers:
            try:
                await self._begin_recording(console, console.terminal)
            except NotRecorded:
                console.session = owner
                raise
            await before.close()
        self._tell_of(console, owner.user, "closed")
        self._tell_of(console, session.user, "opened")
        console.left = time.monotonic()
        if is_anothers:
            self.shares.forget(console.id)
        await self._send_off(console, onlookers=is_anothers)

    # --- closing

    async def remove(self, console: Console, why: str = "The console was removed.") -> None:
        """Take it away from whoever looks at it, and its port from whoever would."""
        if self._all.pop(console.id, None) is None:
            return
        self._tell_of(console, console.session.user, "closed")
        self.shares.forget(console.id)
        for viewer in list(console.viewers):
            with contextlib.suppress(OSError):
                await viewer.close(GONE, why)
        await self._end(console)
        log.info("console closed", id=console.id, why=why)

    async def _end(self, console: Console) -> None:
        """What there is for it, here and on its host, is there no more."""
        if console.port is not None:
            self._pools[console.kind].give_back(console.port)
            self._closers.pop(console.id)()
        if console.terminal is not None:
            await console.terminal.end()
        if console.recording is not None:
            await console.recording.close()

    async def forget(self, host: Host) -> None:
        """A host was removed: so is all that leads there."""
        self._far_ends.cut(host.id)
        for console in [console for console in self._all.values() if console.host.id == host.id]:
            await self.remove(console, "The host was removed.")

    async def watch(self) -> None:
        """For ever: close what is over."""
        told = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._tidy()
                if time.monotonic() - told > TOUCH_SECONDS:
                    told = time.monotonic()
                    await self._touch()
            except OmsError as failure:
                log.warning("sessions of consoles not looked at", failure=failure.message)

    async def _tidy(self) -> None:
        for host in await self._removed():
            await self.forget(host)
        asked = {console.session.digest for console in self._all.values()}
        alive = await self._alive(asked)
        for console, why in list(self._over(asked, alive)):
            await self.remove(console, why)

    async def _removed(self) -> list[Host]:
        """Hosts of consoles that are signed no more: another server removed them."""
        open_to = {console.host.id: console.host for console in self._all.values()}
        if not open_to:
            return []
        return await self._store.read(
            lambda tx: [host for host in open_to.values() if hosts.by_id(tx, host.id) is None]
        )

    async def _alive(self, wanted: set[str]) -> dict[str, Session]:
        """Those of these sessions that may still be used, as they are now."""
        if not wanted:
            return {}
        found = await self._store.read(
            lambda tx: [sessions.find(tx, digest) or tokens.find(tx, digest) for digest in wanted]
        )
        moment = now()
        lifetime = self._lifetime
        return {
            session.digest: session
            for session in found
            if session
            and (session.token or moment < min(session.used + lifetime.idle, session.created + lifetime.absolute))
        }

    def _over(self, asked: set[str], alive: dict[str, Session]) -> Iterator[tuple[Console, str]]:
        """Consoles to close, and why. One whose session was not asked for was opened or taken over since then."""
        moment = time.monotonic()
        for console in self._all.values():
            session = alive.get(console.session.digest)
            if console.session.digest in asked and (session is None or session.role < NEEDED[console.kind]):
                yield console, "The session has ended."
            elif console.recording is not None and console.recording.failed:
                yield console, f"It {console.recording.failed}."
            elif not console.viewers and moment - console.left > UNUSED_SECONDS:
                yield console, "Nobody looked at it."

    async def _touch(self) -> None:
        """Who types in a console uses his session."""
        used = [console for console in self._all.values() if console.used]
        for console in used:
            console.used = False
        if used:
            uses = dict.fromkeys((console.session.digest for console in used), now())
            await self._store.write(lambda tx: sessions.touch_all(tx, uses))

    async def close(self) -> None:
        """Close all."""
        for console in list(self._all.values()):
            await self.remove(console, "OMS is being stopped.")
        await self._far_ends.close()


def _is_for(ticket: Ticket, console: Console) -> bool:
    """Whether it was given to whoever has the console now."""
    return ticket.session == console.session.digest
