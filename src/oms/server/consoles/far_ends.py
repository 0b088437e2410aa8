"""The far end of each console, as it is now: asked of the host's agent each time, and gone to by SSH."""

import contextlib
import shlex

from oms.bus.call import Caller
from oms.contract.errors import FuncManError
from oms.contract.internal import FindScreen, FindTerminal
from oms.server.consoles.console import Console
from oms.server.consoles.relay import Sink, Source
from oms.server.consoles.terminal import Terminal
from oms.server.consoles.ways import NoWay, Way, Ways, reaching
from oms.server.store import Store, hosts


class FarEnds:
    """The ways there."""

    def __init__(self, store: Store, caller: Caller) -> None:
        self._store, self._caller = store, caller
        self._ways = Ways(self._way)

    async def identify(self, console: Console) -> None:
        """Find out which guest is meant. Raises OmsError where there is none, or it has no such console."""
        if console.kind == "vnc":
            screen = await self._caller.ask(console.host.id, FindScreen(console.guest))
            console.guest, console.uuid = screen.name, screen.uuid
        elif console.kind == "text":
            found = await self._caller.ask(console.host.id, FindTerminal(console.guest_kind, console.guest))
            console.guest, console.uuid = found.name, found.uuid

    async def try_out(self, console: Console) -> None:
        """See that it can be shown. Raises NoWay, NoTunnel, OmsError."""
        if console.kind == "vnc":
            async with contextlib.AsyncExitStack() as channel:
                await self.screen(console, channel)
        elif console.terminal is None:
            console.terminal = await self.terminal(console)
        elif console.terminal.over:
            (await self._ways.own(console.host.id)).abort()

    async def screen(self, console: Console, channel: contextlib.AsyncExitStack) -> tuple[Source, Sink]:
        """The channel to a machine's screen, where that is now. Raises NoWay, NoTunnel, OmsError."""
        screen = await self._caller.ask(console.host.id, FindScreen(console.uuid))
        _check_same(screen.uuid, console)
        connection = await self._ways.shared(console.host.id)
        with reaching(f"The screen of {screen.name}", console.host.name):
            if screen.socket:
                reader, writer = await connection.open_unix_connection(screen.socket, encoding=None)
            else:
                reader, writer = await connection.open_connection("127.0.0.1", screen.port, encoding=None)
        channel.callback(writer.close)
        return reader, writer

    async def terminal(self, console: Console) -> Terminal:
        """A new shell on the host, or the text console of a guest. Raises NoWay, NoTunnel, OmsError."""
        command = None
        if console.kind == "text":
            found = await self._caller.ask(console.host.id, FindTerminal(console.guest_kind, console.guest))
            _check_same(found.uuid, console)
            command = shlex.join(found.argv)
        connection = await self._ways.own(console.host.id)
        return await Terminal.begin(connection, command, f"The console of {console.title}", console.host.name)

    def cut(self, host_id: str) -> None:
        """End the connection to a host."""
        self._ways.cut(host_id)

    async def close(self) -> None:
        """End all connections."""
        await self._ways.close()

    async def _way(self, host_id: str) -> Way:
        """Raises NoWay."""
        host, private = await self._store.read(
            lambda tx: (hosts.by_id(tx, host_id), hosts.ssh_private_key(tx, host_id))
        )
        if host is None or private is None:
            raise NoWay("That host is not signed here any more.")
        name, _, port = hosts.facts_of(host).ssh_address.rpartition(":")
        if not name or not host.ssh_host_keys:
            raise NoWay(
                f"{host.name} has no SSH server that OMS knows of: install openssh-server there, then start its "
                "agent anew."
            )
        return Way(host.name, name.strip("[]"), int(port), private, tuple(host.ssh_host_keys.split("\n")))


def _check_same(uuid: str, console: Console) -> None:
    """A name may mean another guest by now."""
    if uuid != console.uuid:
        raise FuncManError(f"{console.title} is another guest now: open its console anew.")
