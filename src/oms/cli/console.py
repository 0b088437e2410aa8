"""`oms console`, `oms vnc`: a guest's text console or a host's shell in this terminal, and a screen's page.

The terminal hands on every key but one: Ctrl-] leaves. The way there is that of the pages: a ticket, which lets
one WebSocket in, once.
"""

import asyncio
import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from oms.cli import profiles, suggesting
from oms.cli.failures import printable, said
from oms.client import Client, ClientError, OutOfReach
from oms.contract import kvmplusovz
from oms.contract.console import CloseConsole, OpenConsole, OpenedConsole
from oms.contract.errors import NoSuchMachine, OmsError
from oms.contract.partly import GuestType

LEAVE = b"\x1d"
"""Ctrl-]."""
LEFT = "You have left the console."
SECONDS = 20.0
LARGEST_BYTES = 1024 * 1024


class Ticket(msgspec.Struct):
    """What lets a WebSocket in."""

    ticket: str


def run(host: str, guest: str, profile: str | None) -> None:
    """Be at the console until the key that leaves, or its end."""
    with said("console"):
        _typed_at(sys.stdin.fileno())
        asyncio.run(_be_there(host, guest, profile))


def _typed_at(place: int) -> None:
    """Raises ClientError where nothing can be waited for, as at a file."""
    try:
        with select.epoll() as waiting:
            waiting.register(place)
    except PermissionError:
        raise ClientError("A console takes a terminal, or a pipe, as its standard input.") from None


def address(host: str, guest: str, profile: str | None) -> str:
    """Open a machine's screen; the address of its page, which carries the session."""
    with said("vnc"):
        return asyncio.run(_page(host, guest, profile))
    raise AssertionError


async def _page(host: str, guest: str, profile: str | None) -> str:
    async with profiles.logged_in(profile).client() as client:
        opened = await _opened(client, OpenConsole(host, "vnc", guest))
        return f"{client.url}{opened.page}&SESSID={client.sessid}"


async def _opened(client: Client, op: OpenConsole) -> OpenedConsole:
    try:
        return await client.call(op)
    except OmsError as error:
        error.message = await suggesting.meant(client, error, op.server_hostname, [op.server_hostname, op.guest])
        raise


async def _be_there(host: str, guest: str, profile: str | None) -> None:
    async with profiles.logged_in(profile).client() as client:
        kind: GuestType = await _kind(client, host, guest) if guest else "kvm"
        opened = await _opened(client, OpenConsole(host, "text" if guest else "ssh", guest, kind))
        ticket = await _ticket(client, opened.id)
        at = client.url.removeprefix("https://")
        try:
            async with connect(
                f"wss://{at}/console/ws?ticket={ticket}",
                ssl=client.ways.trusted,
                origin=Origin(client.url),
                proxy=None,
                compression=None,
                max_size=LARGEST_BYTES,
            ) as line:
                left = await _joined(line, f"{printable(opened.title)}. Ctrl-] leaves.")
        except (InvalidStatus, OSError) as failure:
            raise OutOfReach(f"{client.url} does not let this terminal in: {failure}.") from failure
        print(f"\n{printable(left)}", file=sys.stderr)
        if left == LEFT:
            await client.call(CloseConsole(opened.id))


async def _kind(client: Client, host: str, guest: str) -> GuestType:
    """Whether that guest is a machine or a container. Raises NoSuchMachine."""
    found = (await client.call(kvmplusovz.ListVms(), host=host)).result
    for each in found:
        if guest in (each.name, str(each.id), each.uuid):
            return each.type
    names = [str(each.name) for each in found]
    why = f"There is no machine or container {guest} on {host}."
    raise NoSuchMachine(suggesting.with_near(why, suggesting.nearest([guest], names)))


async def _ticket(client: Client, console: str) -> str:
    body = msgspec.json.encode({"console": console})
    who = {"Authorization": f"Bearer {client.sessid}"}
    answer = await client.ways.request("POST", f"{client.url}/console/ticket", body, who, SECONDS)
    if answer.status != 200:
        raise ClientError(f"{client.url} gives no ticket for the console: {answer.text}")
    return msgspec.json.decode(answer.body, type=Ticket).ticket


async def _joined(line: ClientConnection, greeting: str) -> str:
    """The terminal and the console, one, from the greeting on; why that ended."""
    loop, typed = asyncio.get_running_loop(), asyncio.Queue[bytes]()
    with _raw(sys.stdin.fileno()):
        print(greeting, end="\r\n", file=sys.stderr)
        loop.add_reader(sys.stdin.fileno(), lambda: typed.put_nowait(os.read(sys.stdin.fileno(), 4096)))
        with contextlib.suppress(ValueError, RuntimeError):
            loop.add_signal_handler(signal.SIGWINCH, lambda: asyncio.ensure_future(_size(line)))
        try:
            await _size(line)
            hearing, typing = asyncio.create_task(_hear(line)), asyncio.create_task(_type(line, typed))
            await asyncio.wait((hearing, typing), return_when=asyncio.FIRST_COMPLETED)
            ended = hearing if hearing.done() else typing
            for task in (hearing, typing):
                task.cancel()
            return ended.result()
        finally:
            loop.remove_reader(sys.stdin.fileno())


async def _hear(line: ClientConnection) -> str:
    try:
        async for part in line:
            os.write(sys.stdout.fileno(), part if isinstance(part, bytes) else part.encode())
    except ConnectionClosed as closed:
        return (closed.rcvd.reason if closed.rcvd else "") or "The connection to the console was lost."
    return line.close_reason or "The console was closed."


async def _type(line: ClientConnection, typed: "asyncio.Queue[bytes]") -> str:
    while True:
        keys = await typed.get()
        before, leave, _ = keys.partition(LEAVE)
        with contextlib.suppress(ConnectionClosed):
            if before:
                await line.send(before)
        if leave or not keys:
            return LEFT


async def _size(line: ClientConnection) -> None:
    size = shutil.get_terminal_size()
    with contextlib.suppress(ConnectionClosed):
        await line.send(msgspec.json.encode({"columns": size.columns, "rows": size.lines}).decode())


@contextlib.contextmanager
def _raw(terminal: int) -> Iterator[None]:
    """Every key as it is, if that is a terminal, also those pressed before; it is as before afterwards."""
    if not os.isatty(terminal):
        yield
        return
    before = termios.tcgetattr(terminal)
    tty.setraw(terminal, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
