"""A hundred screens and a hundred text consoles at once: what they take of the server's memory, and whether each
still answers; all of it twice, so that what is not given back is seen."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import libvirt
import psutil
from websockets import Origin
from websockets.asyncio.client import ClientConnection, connect

from bench.containers import FIRST, running
from bench.figures import Goal, Pairs, say
from bench.machine import memory_mb
from bench.relays import SCREEN
from bench.setting import Setting
from tests.hosts.browser_socket import TRUSTING, ask_ticket
from tests.hosts.guests import domain_xml
from tests.hosts.lxc_path import why_not
from tests.hosts.sshd import PrivateSshd

EACH = 100
ROUNDS = 2
LOOKS = 5
SETTLE_SECONDS = 3
SCREENS, TEXTS = "screens1", "texts1"
"""Two hosts."""
PATIENT = "#!/bin/sh\necho login:\nexec cat\n"
"""In place of a login that gives up after a minute: opening all of them takes longer on a crowded machine."""
ASK = b"\x03\x00" + bytes(4) + b"\x00\x10\x00\x10"
"""For the picture of 16 by 16 points at the corner."""


@dataclass(frozen=True)
class Seen:
    """The server at a moment: memory in MB, descriptors."""

    memory: float
    descriptors: int


def consoles(on: Setting) -> None:
    """Open all, look at all at once, close all; and again."""
    if reason := why_not():
        print(f"consoles are left out: {reason}")
        return
    before = _seen(on)
    print(f"  server before: {before.memory:.0f} MB, {before.descriptors} descriptors", flush=True)
    rounds = []
    with _guests(on):
        for number in range(1, ROUNDS + 1):
            rounds.append(asyncio.run(_round(on)))
            _tell(number, before, *rounds[-1])
    (open_1, closed_1, _), (open_2, closed_2, _) = rounds
    flat = Pairs([open_2.memory], [open_1.memory])
    say("memory with all open: the second time / the first", flat, Goal("<=", 1.05), "MB")
    say("  all closed: the same", Pairs([closed_2.memory], [closed_1.memory]), Goal("<=", 1.05), "MB")
    kept = Pairs([float(closed_2.descriptors)], [float(closed_1.descriptors)])
    say("  descriptors, all closed: the same", kept, Goal("<=", 1), "")


def _tell(number: int, before: Seen, opened: Seen, closed: Seen, took: list[float]) -> None:
    each = (opened.memory - before.memory) * 1000 / (2 * EACH)
    print(
        f"  round {number}, {2 * EACH} open: {opened.memory:.0f} MB ({each:.0f} kB each), "
        f"{opened.descriptors} descriptors; closed: {closed.memory:.0f} MB, {closed.descriptors}"
    )
    print(f"  asked all at once: median {statistics.median(took):.0f} ms, slowest {max(took):.0f} ms", flush=True)


@contextmanager
def _guests(on: Setting) -> Iterator[None]:
    """Machines that stand still, each with a screen; and containers that wait for a login."""
    with (
        PrivateSshd(on.directory / "screens-sshd", on.daemon) as screens,
        PrivateSshd(on.directory / "texts-sshd") as texts,
        _machines(on),
        running(on, TEXTS, **texts.agent_settings) as containers,
    ):
        for number in range(FIRST, FIRST + EACH):
            login = containers / str(number) / "rootfs/bin/login"
            login.unlink()
            login.write_text(PATIENT)
            login.chmod(0o755)
        on.oms.join(SCREENS, **screens.agent_settings)
        yield


@contextmanager
def _machines(on: Setting) -> Iterator[None]:
    made: list[libvirt.virDomain] = []
    try:
        for number in range(EACH):
            console = on.directory / "screen.console"
            name = f"screen-{number}"
            xml = domain_xml(name, memory_mb=8, vcpu=1, console=console, disk=None, image=None, devices=SCREEN)
            made.append(on.bare.createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED))
        yield
    finally:
        for machine in made:
            machine.destroy()


async def _round(on: Setting) -> tuple[Seen, Seen, list[float]]:
    """The server with all open, and after that; milliseconds until each had answered, asked all at once."""
    ids: list[str] = []
    looking: list[tuple[ClientConnection, Callable[[ClientConnection], Awaitable[None]]]] = []
    for number in range(EACH):
        for words, begin, ask in (
            ((SCREENS, "vnc", f"screen-{number}"), _handshake, _ask_screen),
            ((TEXTS, "text", str(FIRST + number), "openvz"), _first_words, _ask_text),
        ):
            console = await asyncio.to_thread(_call, on, "open_console", *words)
            ids.append(console["id"])
            socket = await _look(on, console["id"])
            await begin(socket)
            looking.append((socket, ask))
    took: list[float] = []
    for _ in range(LOOKS):
        took += await asyncio.gather(*(_timed(socket, ask) for socket, ask in looking))
    opened = _seen(on)
    for console_id in ids:
        await asyncio.to_thread(_call, on, "close_console", console_id)
    await asyncio.gather(*(socket.close() for socket, _ in looking))
    await asyncio.sleep(SETTLE_SECONDS)
    assert not await asyncio.to_thread(_call, on, "list_consoles")
    return opened, _seen(on), took


async def _look(on: Setting, console: str) -> ClientConnection:
    origin = f"https://127.0.0.1:{on.oms.port}"
    wanted = {"console": console}
    status, given = await asyncio.to_thread(
        ask_ticket, on.oms.port, on.caller.sessid, wanted, path="/console/ticket", origin=origin
    )
    assert status == 200, given
    address = f"wss://127.0.0.1:{on.oms.port}/console/ws?ticket={given['ticket']}"
    return await connect(address, ssl=TRUSTING, origin=Origin(origin), compression=None, open_timeout=60)


async def _handshake(socket: ClientConnection) -> None:
    """RFB's, up to where the machine waits to be asked for its picture."""
    await socket.recv()
    await socket.send(b"RFB 003.008\n")
    await socket.recv()
    await socket.send(b"\x01")
    await socket.recv()
    await socket.send(b"\x01")
    await socket.recv()


async def _first_words(socket: ClientConnection) -> None:
    await socket.recv()


async def _ask_screen(socket: ClientConnection) -> None:
    await socket.send(ASK)
    await _quiet(socket, 4 + 12 + 16 * 16 * 4)


async def _ask_text(socket: ClientConnection) -> None:
    await socket.send(b"z")
    while b"z" not in bytes(await socket.recv(decode=False)):
        pass


async def _quiet(socket: ClientConnection, count: int) -> None:
    while count > 0:
        count -= len(await socket.recv())


async def _timed(socket: ClientConnection, ask: Callable[[ClientConnection], Awaitable[None]]) -> float:
    began = time.perf_counter()
    async with asyncio.timeout(60):
        await ask(socket)
    return (time.perf_counter() - began) * 1000


def _call(on: Setting, method: str, *params: object) -> Any:
    return on.caller.call("consoleservices", method, on.caller.sessid, 0, *params)


def _seen(on: Setting) -> Seen:
    pid = on.oms.pid("server")
    return Seen(memory_mb(pid)[0], psutil.Process(pid).num_fds())
