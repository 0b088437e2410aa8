"""Ports for consoles: as many as there are, each lent once, and given back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from oms.contract.internal import FindScreen, Screen
from oms.server.consoles import consoles
from oms.server.consoles.console import Console
from oms.server.consoles.far_ends import FarEnds
from oms.server.edge.ports import MorePorts
from tests.server.rig import Oms, Person, Seed
from tests.waiting import eventually

GUESTS = 101


async def find_screen(op: FindScreen) -> Screen:
    """Any machine that is asked for is there."""
    return Screen(op.guest, op.guest, socket="/there")


class SilentTerminal:
    """A shell that says nothing."""

    over = False

    async def end(self) -> None:
        """It has nothing to end."""


@pytest.fixture
def listened(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The ports that are listened on now. Every host is reached."""
    ports: set[int] = set()

    def listen(_: MorePorts, port: int) -> Callable[[], None]:
        ports.add(port)
        return lambda: ports.remove(port)

    async def screen(_: FarEnds, _console: Console, _channel: object) -> None:
        await asyncio.sleep(0)

    async def terminal(_: FarEnds, _console: Console) -> Any:
        return SilentTerminal()

    monkeypatch.setattr(MorePorts, "listen", listen)
    monkeypatch.setattr(FarEnds, "screen", screen)
    monkeypatch.setattr(FarEnds, "terminal", terminal)
    monkeypatch.setattr(consoles, "LOOK_SECONDS", 0.05)
    return ports


@pytest.fixture
async def admin(seed: Seed, folder: Path, listened: set[int]) -> AsyncIterator[Person]:
    async with Oms(seed, folder, ssh_ports="6900-6901") as oms:
        for name in ("h1", "h2", "h3"):
            await oms.sign_in_host(name, {FindScreen: find_screen})
        yield await oms.as_admin()


async def test_the_101st_screen_is_told_that_there_is_no_port_and_each_given_back_is_lent_again(
    admin: Person, listened: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-POOL-1."""

    async def set_up(guest: str) -> int:
        return int(await admin.ask("kvmservices.set_up_vnc_connection", 0, "h1", guest))

    ports = [await set_up(f"vm{number}") for number in range(GUESTS - 1)]
    assert (ports, listened) == (list(range(6800, 6900)), set(ports))
    refused = await admin.error("kvmservices.set_up_vnc_connection", 0, "h1", "one-more")
    assert (refused.name, "vnc_ports" in refused.message) == ("VNCPoolSpotSetUpError", True)
    assert listened == set(ports)
    await admin.ask("kvmservices.remove_vnc_connection", 0, "h1", "vm7")
    assert await set_up("one-more") == 6807
    monkeypatch.setattr(consoles, "UNUSED_SECONDS", 0.0)  # of the sixty that one may be unused for
    await eventually(lambda: not listened)
    assert await admin.ask("kvmservices.list_session_vnc_connections", 0) == []


async def test_terminals_have_ports_of_their_own_until_nobody_looks_at_them(
    admin: Person, listened: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-POOL-1."""
    assert [await admin.ask("sshservices.set_up_ssh_connection", 0, host) for host in ("h1", "h2")] == [
        "6900",
        "6901",
    ]
    refused = await admin.error("sshservices.set_up_ssh_connection", 0, "h3")
    assert (refused.name, "ssh_ports" in refused.message) == ("SSHPoolSpotSetUpError", True)
    monkeypatch.setattr(consoles, "UNUSED_SECONDS", 0.0)
    await eventually(lambda: not listened)
