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
from tests.hosts.lxc_path import lxc_path
from tests.waiting import until

pytestmark = pytest.mark.hosts
HOST, OWN, FOREIGN = "203.0.113.1", "10.95.0.2", "203.0.113.9"
HOST6, OWN6, FOREIGN6 = "2001:db8:113::1", "2001:db8:95::2", "2001:db8:113::9"
RP_FILTER = "/proc/sys/net/ipv4/conf/{}/rp_filter"
FORWARDING6 = Path("/proc/sys/net/ipv6/conf/all/forwarding")
SEND = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as line:
    line.bind((sys.argv[1], 0))
    line.sendto(b"x", (sys.argv[2], 9999))
"""


@pytest.fixture
def path() -> Iterator[Path]:
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


def said(pid: int, *words: str) -> str:
    """What such a program prints."""
    front = ["nsenter", "-t", str(pid), "-n", "--"]
    return subprocess.run([*front, *words], check=True, timeout=30, capture_output=True, text=True).stdout


def send(pid: int, source: str, to: str = HOST) -> None:
    """A packet out of the container's network."""
    inside(pid, sys.executable, "-c", SEND, source, to)


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


@contextlib.contextmanager
def listening6() -> Iterator[socket.socket]:
    """The same by IPv6, and the host passes its packets on meanwhile: routed containers have such addresses only
    there."""
    before = FORWARDING6.read_text()
    FORWARDING6.write_text("1")
    ip("addr", "add", f"{HOST6}/128", "dev", "lo", "nodad")  # or it could not be had for a moment
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as line:
            line.bind((HOST6, 9999))
            line.settimeout(30)
            yield line
    finally:
        ip("addr", "del", f"{HOST6}/128", "dev", "lo")
        FORWARDING6.write_text(before)


async def test_by_ipv6_too(containers: LxcContainers) -> None:
    """Its own packets come through only after both sides have asked each other for their hardware addresses, which
    the rule lets pass."""
    if not FORWARDING6.exists():
        pytest.skip("needs IPv6")
    with listening6() as line:
        await make(containers, "954", ContainerSettings(addresses=(OWN6,)))
        await containers.start("954")
        pid = (await containers.find("954")).pid
        inside(pid, "ip", "-6", "addr", "add", f"{FOREIGN6}/128", "dev", "lo", "nodad")
        until(lambda: "tentative" not in said(pid, "ip", "-6", "addr"))
        for _ in range(3):
            send(pid, FOREIGN6, HOST6)
        send(pid, OWN6, HOST6)
        assert line.recvfrom(16)[1][0] == OWN6


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
