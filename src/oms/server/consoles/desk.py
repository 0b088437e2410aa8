"""What consoles are set up: made, found, shown; removed with their session, their host, or for want of viewers."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec
import structlog

from oms.bus.call import Caller
from oms.contract.errors import FuncManError, OmsError
from oms.contract.internal import FindScreen, HostFacts
from oms.contract.operation import Permission
from oms.server.consoles.console import Console, Kind
from oms.server.consoles.relay import Sink, Socket, Source, both, inward, outward
from oms.server.consoles.spots import Spots
from oms.server.consoles.terminal import Terminal
from oms.server.consoles.tickets import Tickets
from oms.server.consoles.ways import NoTunnel, NoWay, Way, Ways, reaching
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
GONE, TAKEN_OVER, NOT_REACHED = 4001, 4002, 4003
"""Why a WebSocket was closed: its console was removed; another viewer has it now; it is not to be reached."""
_facts = msgspec.json.Decoder(HostFacts)


class AlreadyMine(Exception):
    """The session has that console."""

    def __init__(self, console: Console) -> None:
        self.console = console


class Anothers(Exception):
    """Another session has that console."""

    def __init__(self, console: Console) -> None:
        self.console = console


class NoSpot(Exception):
    """All ports are lent."""


class Ports(Protocol):
    """Who listens."""

    def listen(self, port: int) -> Callable[[], None]:
        """Listen on a port until the function is called that is answered. Raises OSError."""


class Consoles:
    """All of this server."""

    def __init__(
        self,
        store: Store,
        caller: Caller,
        fleet: Fleet,
        lifetime: Lifetime,
        *,
        ports: Ports,
        pools: dict[Kind, Spots],
    ) -> None:
        self._store, self._caller, self._fleet, self._lifetime = store, caller, fleet, lifetime
        self._ports, self._pools = ports, pools
        self._all: dict[str, Console] = {}
        self._closers: dict[str, Callable[[], None]] = {}
        self._ways = Ways(self._way)
        self.tickets = Tickets()

    # --- setting up

    async def set_up(self, kind: Kind, session: Session, host_name: str, guest: str = "") -> Console:
        """A new console at a port of its own.

        Raises AlreadyMine, Anothers, NoWay, NoTunnel, NoSpot; OmsError where the host or the guest is not there.
        """
        await self._tidy()
        host = await self._fleet.host(host_name)
        console = Console(secrets.token_hex(16), kind, session, host, guest)
        if kind == "vnc":
            screen = await self._caller.ask(host.id, FindScreen(guest))
            console.guest, console.uuid = screen.name, screen.uuid
        self._check_free(console)
        await self._try(console)
        try:
            self._check_free(console)
        except (AlreadyMine, Anothers):
            await _ended(console)
            raise
        try:
            self._lend(console)
        except NoSpot:
            await _ended(console)
            raise
        self._all[console.id] = console
        log.info("console set up", id=console.id, kind=kind, user=session.user, title=console.title)
        return console

    def _check_free(self, console: Console) -> None:
        for other in self._all.values():
            if other.target == console.target:
                raise (AlreadyMine if other.session.digest == console.session.digest else Anothers)(other)

    async def _try(self, console: Console) -> None:
        """See that it can be shown. Raises NoWay, NoTunnel."""
        if console.kind == "ssh":
            console.terminal = await self._terminal(console)
        elif console.kind == "vnc":
            async with contextlib.AsyncExitStack() as channel:
                await self._screen(console, channel)

    def _lend(self, console: Console) -> None:
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
        if console.kind == "vnc":
            async with contextlib.AsyncExitStack() as channel:
                await self._screen(console, channel)
        elif console.terminal is None or console.terminal.over:
            (await self._ways.own(console.host.id)).abort()

    # --- showing

    async def show(self, console: Console, socket: Socket, *, view_only: bool) -> None:
        """Let a browser look at it until it goes. Who looked at it before, and might type, looks no more."""
        if not view_only:
            for other in [viewer for viewer, looks in console.viewers.items() if not looks]:
                del console.viewers[other]
                with contextlib.suppress(OSError):
                    await other.close(TAKEN_OVER, "The console was opened elsewhere.")
        console.viewers[socket] = view_only
        try:
            await self._shown(console, socket, view_only=view_only)
        except (NoWay, NoTunnel) as why:
            await socket.close(NOT_REACHED, str(why))
        except OmsError as why:
            await socket.close(NOT_REACHED, why.message)
        else:
            await socket.close(1000, "The other side has ended.")
        finally:
            console.viewers.pop(socket, None)
            console.left = time.monotonic()

    async def _shown(self, console: Console, socket: Socket, *, view_only: bool) -> None:
        if console.kind != "vnc":
            if console.terminal is None or console.terminal.over:
                console.terminal = await self._terminal(console)
            await console.terminal.show(socket, console.touch, view_only=view_only)
            return
        async with contextlib.AsyncExitStack() as channel:
            reader, writer = await self._screen(console, channel)
            await both(outward(reader, socket), inward(socket, writer, console.touch))

    async def _screen(self, console: Console, channel: contextlib.AsyncExitStack) -> tuple[Source, Sink]:
        """The channel to a machine's screen, where that is now. Raises NoWay, NoTunnel, OmsError."""
        screen = await self._caller.ask(console.host.id, FindScreen(console.uuid))
        if screen.uuid != console.uuid:
            raise FuncManError("Another machine is there now: set its screen up anew.")
        connection = await self._ways.shared(console.host.id)
        with reaching(f"The screen of {screen.name}", console.host.name):
            if screen.socket:
                reader, writer = await connection.open_unix_connection(screen.socket, encoding=None)
            else:
                reader, writer = await connection.open_connection("127.0.0.1", screen.port, encoding=None)
        channel.callback(writer.close)
        return reader, writer

    async def _terminal(self, console: Console) -> Terminal:
        connection = await self._ways.own(console.host.id)
        return await Terminal.begin(connection, None, "A terminal", console.host.name)

    async def _way(self, host_id: str) -> Way:
        """Raises NoWay."""
        host, private = await self._store.read(
            lambda tx: (hosts.by_id(tx, host_id), hosts.ssh_private_key(tx, host_id))
        )
        if host is None or private is None:
            raise NoWay("That host is not signed here any more.")
        facts = _facts.decode(host.facts) if host.facts else HostFacts("")
        name, _, port = facts.ssh_address.rpartition(":")
        if not name or not host.ssh_host_keys:
            raise NoWay(
                f"{host.name} has no SSH server that OMS knows of: install openssh-server there, then start its "
                "agent anew."
            )
        return Way(host.name, name.strip("[]"), int(port), private, tuple(host.ssh_host_keys.split("\n")))

    # --- removing

    async def remove(self, console: Console, why: str = "The console was removed.") -> None:
        """Take it away from whoever looks at it, and its port from whoever would."""
        if self._all.pop(console.id, None) is None:
            return
        if console.port is not None:
            self._pools[console.kind].give_back(console.port)
            self._closers.pop(console.id)()
        for viewer in list(console.viewers):
            with contextlib.suppress(OSError):
                await viewer.close(GONE, why)
        await _ended(console)
        log.info("console removed", id=console.id, why=why)

    async def forget(self, host: Host) -> None:
        """A host was removed: so is all that leads there."""
        self._ways.cut(host.id)
        for console in [console for console in self._all.values() if console.host.id == host.id]:
            await self.remove(console, "The host was removed.")

    async def watch(self) -> None:
        """For ever: remove what is over."""
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
        alive = await self._alive()
        for console, why in list(self._over(alive)):
            await self.remove(console, why)

    async def _alive(self) -> dict[str, Session]:
        """Those sessions of consoles that may still be used, as they are now."""
        wanted = {console.session.digest for console in self._all.values()}
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

    def _over(self, alive: dict[str, Session]) -> Iterator[tuple[Console, str]]:
        moment = time.monotonic()
        for console in self._all.values():
            session = alive.get(console.session.digest)
            if session is None or session.role < NEEDED[console.kind]:
                yield console, "The session has ended."
            elif not console.viewers and moment - console.left > UNUSED_SECONDS:
                yield console, "Nobody looked at it."

    async def _touch(self) -> None:
        used = [console for console in self._all.values() if console.used]
        for console in used:
            console.used = False
        if used:
            digests = {console.session.digest for console in used}
            await self._store.write(lambda tx: sessions.touch_all(tx, digests, now()))

    async def close(self) -> None:
        """Remove all."""
        for console in list(self._all.values()):
            await self.remove(console, "OMS is being stopped.")
        await self._ways.close()


async def _ended(console: Console) -> None:
    """What runs for it on its host runs no more."""
    if console.terminal is not None:
        await console.terminal.end()
