"""A whole Debian in an unprivileged container: it boots, is reached at its address, and shuts down when it is
asked."""

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator

import pytest

from oms.agent.guests.containers import ContainerChange, ContainerSettings, NewContainer
from oms.agent.guests.lxc import LxcContainers
from oms.contract.types import Secret
from tests.hosts import rootfs
from tests.hosts.containers import lxc
from tests.hosts.lxc_path import attached, lxc_path

pytestmark = pytest.mark.hosts
ADDRESS, OTHER = "10.97.0.2", "10.97.0.3"


@pytest.fixture
async def containers() -> AsyncIterator[LxcContainers]:
    with lxc_path() as path:
        made = await lxc(path)
        yield made
        await made.close()


def unpacked(place: str) -> None:
    subprocess.run(["tar", "--numeric-owner", "-xzpf", rootfs.debian(), "-C", place], check=True)


@pytest.mark.timeout(1800)  # where no Debian is kept yet, it is made first
async def test_a_debian_boots_is_reached_and_shuts_down(containers: LxcContainers) -> None:
    place = await containers.prepare("a" * 32, 0)
    await asyncio.to_thread(unpacked, str(place))
    await asyncio.to_thread(rootfs.give, place, containers.capabilities.ids)
    settings = ContainerSettings(
        hostname="debian.example.org",
        memory_kb=256 * 1024,
        vcpus=1,
        addresses=(ADDRESS,),
        nameservers=("192.0.2.53",),
        searchdomains=("example.org",),
    )
    await containers.create("a" * 32, NewContainer("104", settings, password=Secret("a root's password")))
    await containers.start("104")
    assert (await asyncio.to_thread(said, ADDRESS)).startswith(b"SSH-2.0-OpenSSH")
    assert (await containers.find("104")).settings == settings
    inside = await asyncio.to_thread(lambda: attached(containers.home, "104", "/bin/hostname"))
    assert inside == "debian.example.org"
    await containers.configure("104", ContainerChange(addresses=(ADDRESS, OTHER)))
    assert await containers.set_live("104", ContainerChange(addresses=(ADDRESS, OTHER))) == {}
    assert (await asyncio.to_thread(said, OTHER)).startswith(b"SSH-2.0-OpenSSH")
    uses = await containers.use(frozenset({"memory", "df", "network"}))
    memory = uses["104"].memory
    assert memory is not None
    assert 1024 < memory.used_kb < memory.total_kb == 256 * 1024
    files = (containers.home / "104/rootfs/etc/passwd").stat()
    assert files.st_uid == containers.capabilities.ids[0].outside
    await containers.ask_off("104")
    assert await containers.goes_off("104", seconds=30)
    await containers.destroy("104")
    assert await containers.states() == []


def said(address: str, seconds: float = 180) -> bytes:
    """The first words of the SSH server there."""
    end = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((address, 22), timeout=5) as line:
                return line.recv(64)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
