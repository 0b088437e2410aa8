"""What containers have of their host: addresses that are theirs alone, and a start when it boots."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from oms.agent.guests.containers import ContainerSettings
from oms.agent.guests.lxc import LxcContainers, boot, sources
from tests.hosts.containers import lxc, make
from tests.hosts.lxc_path import lxc_path, why_not

pytestmark = pytest.mark.hosts
HOST, OWN, FOREIGN = "203.0.113.1", "10.95.0.2", "203.0.113.9"
RP_FILTER = "/proc/sys/net/ipv4/conf/{}/rp_filter"
SEND = "import socket, sys; s = socket.socket(2, 2); s.bind((sys.argv[1], 0)); s.sendto(b'x', (sys.argv[2], 9999))"


@pytest.fixture
def path() -> Iterator[Path]:
    if reason := why_not():
        pytest.skip(reason)
    with lxc_path() as made:
        yield made


@pytest.fixture
async def containers(path: Path) -> AsyncIterator[LxcContainers]:
    made = await lxc(path)
    yield made
    await made.close()


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def inside(pid: int, *words: str) -> None:
    """Run a program of the host in the container's network."""
    subprocess.run(["nsenter", "-t", str(pid), "-n", "--", *words], check=True, timeout=30)


def send(pid: int, source: str) -> None:
    """A packet out of the container's network."""
    inside(pid, sys.executable, "-c", SEND, source, HOST)


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    """At an address of the host that is on no network; the kernel's own look at sources is off meanwhile."""
    everywhere = Path(RP_FILTER.format("all"))
    before = everywhere.read_text()
    everywhere.write_text("0")
    ip("addr", "add", f"{HOST}/32", "dev", "lo")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.bind((HOST, 9999))
            line.settimeout(30)
            yield line
    finally:
        ip("addr", "del", f"{HOST}/32", "dev", "lo")
        everywhere.write_text(before)


async def test_a_routed_container_sends_from_its_own_addresses_alone(containers: LxcContainers) -> None:
    assert await sources.check() == ""  # once more does no harm
    await make(containers, "951", ContainerSettings(addresses=(OWN,)))
    await containers.start("951")
    pid = (await containers.find("951")).pid
    Path(RP_FILTER.format("venet951")).write_text("0")
    inside(pid, "ip", "addr", "add", f"{FOREIGN}/32", "dev", "lo")
    with listening() as line:
        send(pid, FOREIGN)
        send(pid, OWN)
        assert line.recvfrom(16)[1][0] == OWN


async def test_what_is_to_start_with_the_host_does_once_for_each_boot(
    path: Path, containers: LxcContainers
) -> None:
    await make(containers, "952", ContainerSettings(onboot=True))
    await make(containers, "953", ContainerSettings())
    assert await running(path) == []  # the host runs already when OMS comes
    (path / boot.NOTE).write_text("the boot before\n")
    assert await running(path) == ["952"]
    await containers.stop("952")
    assert await running(path) == []


async def running(path: Path) -> list[str]:
    """Which containers run after the agent has started and done what it does then."""
    anew = await lxc(path)
    await anew.started_with_host()
    states = await anew.states()
    await anew.close()
    return [state.ctid for state in states if state.state == "running"]
